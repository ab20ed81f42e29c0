#!/usr/bin/env bash
# Trains on two nodes of eight GPUs with Slurm:
#
#   sbatch tools/launch_slurm.sh --config=configs/cosine640_7b.py ...
#
# The arguments are those of siri_jax.main. Options of sbatch come before the
# file name and override those below:
#   sbatch --nodes=1 --time=12:00:00 tools/launch_slurm.sh ...
# The checkout, HF_HOME and run folder must be on a shared file system. Before
# the first job, make .venv-gpu: bash tools/train.sh --config=... --dry_run
# The job restarts a run that was killed, hung or crashed. The same command
# resumes a run whose job ended.
#SBATCH --job-name=siri_jax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
# Slurm sends TERM 150 seconds before the time limit: the run saves and ends.
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@150
set -euo pipefail

if [[ -z ${SLURM_SUBMIT_DIR:-} ]]; then # Slurm copies this file elsewhere.
  source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
  echo 'not a Slurm job; start it with: sbatch tools/launch_slurm.sh' >&2
  exit 2
fi
cd "$SLURM_SUBMIT_DIR"
# One process per node with all of its GPUs; by default JAX takes one GPU each.
last=$((${SLURM_GPUS_ON_NODE:-8} - 1))
export JAX_LOCAL_DEVICE_IDS
JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 "$last")
# Without --cpu-bind=none many clusters bind the task to one core.
# No shell between srun and the run: Slurm and the shell would both send TERM,
# and a second TERM ends the run before it has saved.
exec bash tools/supervise.sh \
  srun --cpu-bind=none --kill-on-bad-exit=1 "${PYTHON:-.venv-gpu/bin/python}" -m siri_jax.main \
  "$@" --config.hosts_kw.count="$SLURM_NTASKS"
