#!/usr/bin/env bash
# Trains with vLLM on one node of Slurm, servers and trainer in one job:
#
#   sbatch tools/launch_slurm_vllm.sh --config=configs/cosine640.py \
#     --config.model_path=MODEL --config.mesh_kw.fsdp=4 ...
#
# The arguments are those of siri_jax.main. The first half of the GPUs serves,
# a copy of the model each, and the others train; SERVER_GPUS=2 gives two to the
# server. SERVER_PORT is its port, 8000. The job restarts a server or a run that
# was killed, hung or crashed. The same command resumes a run whose job ended.
# Slurm sends TERM 150 seconds before the time limit: the run saves and ends.
#SBATCH --job-name=siri_jax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@150
set -euo pipefail

if [[ -z ${SLURM_SUBMIT_DIR:-} ]]; then # Slurm copies this file elsewhere.
  source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
  echo 'not a Slurm job; start it with: sbatch tools/launch_slurm_vllm.sh' >&2
  exit 2
fi
cd "$SLURM_SUBMIT_DIR"
python=${PYTHON:-.venv/bin/python}
gpus=${SLURM_GPUS_ON_NODE:-8}
serving=${SERVER_GPUS:-$((gpus / 2))}
port=${SERVER_PORT:-8000}
export SIRI_SERVER_KEY=${SIRI_SERVER_KEY:-$("$python" -c 'import secrets; print(secrets.token_hex(16))')}
# The last value of a flag counts, so the job's own arguments override these.
settings=(--config.engine=vllm --config.server_kw.data="$serving"
  --config.server_kw.urls="http://127.0.0.1:$port" "$@")

server='' trainer='' ended=''
# Each is sent TERM once: a second one would end the run before it has saved.
stop() {
  ended=1
  kill -s TERM "${trainer:-$server}" 2>/dev/null || true
}
trap stop TERM INT
trap 'kill -s TERM "$server" 2>/dev/null && wait "$server"' EXIT

CUDA_VISIBLE_DEVICES=$(seq -s, 0 $((serving - 1))) \
  bash tools/supervise.sh "$python" -m siri_jax.commands.serve --port="$port" "${settings[@]}" &
server=$!
# The server listens once it has loaded the model.
until (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null; do
  if [[ $ended ]]; then exit 143; fi
  if ! kill -0 "$server" 2>/dev/null; then
    status=0
    wait "$server" || status=$?
    echo "the server ended with status $status; its message is above" >&2
    exit "$status"
  fi
  sleep 1
done
if [[ $ended ]]; then exit 143; fi
CUDA_VISIBLE_DEVICES=$(seq -s, "$serving" $((gpus - 1))) \
  bash tools/supervise.sh "$python" -m siri_jax.main "${settings[@]}" &
trainer=$!
status=0
wait "$trainer" || status=$?
while kill -0 "$trainer" 2>/dev/null; do # A signal ends `wait` early.
  status=0
  wait "$trainer" || status=$?
done
exit "$status"
