#!/usr/bin/env bash
# A run on two nodes of eight GPUs, by Slurm:
#
#   sbatch tools/launch_slurm.sh --config=configs/cosine640_7b.py \
#     --config.model_path=MODEL --config.task_kw.tokenizer=MODEL ...
#
# The arguments are siri_jax.main's. sbatch's own come before the file and win
# over those below: sbatch --nodes=1 --time=12:00:00 tools/launch_slurm.sh ...
# Checkout, model, problems and the run's folder lie where all nodes see them.
# Started anew where it was killed, hung or crashed; the same command goes on.
#SBATCH --job-name=siri_jax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
# TERM so many seconds before the time is over: the run saves and ends.
#SBATCH --signal=TERM@150
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:?start me by sbatch}"
# A process a node, and all of its GPUs: JAX would take one a process.
last=$((${SLURM_GPUS_ON_NODE:-8} - 1))
export JAX_LOCAL_DEVICE_IDS
JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 "$last")
# Many clusters bind a task that does not say how many to one core.
# No shell between srun and the run: it would hear of a TERM twice, by Slurm
# and by the shell, and the second one ends it at once.
exec bash tools/supervise.sh \
  srun --cpu-bind=none --kill-on-bad-exit=1 "${PYTHON:-.venv/bin/python}" -m siri_jax.main \
  "$@" --config.hosts_kw.count="$SLURM_NTASKS"
