#!/usr/bin/env bash
# Starts a vLLM server on this machine's CPU, for laptops and tests:
#
#   export SIRI_SERVER_KEY=$(openssl rand -hex 16)
#   bash tools/serve_policy.sh --config=configs/quickstart.py
#
# Makes .venv-vllm (4 GB) on the first call. On GPUs, run python -m
# siri_jax.commands.serve in the environment of requirements.txt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
source "$(dirname "${BASH_SOURCE[0]}")/vllm_environment.sh"
exec "$python" -m siri_jax.commands.serve "$@"
