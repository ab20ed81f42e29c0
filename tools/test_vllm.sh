#!/usr/bin/env bash
# Runs the tests that need a real vLLM server, on this machine's CPU:
#
#   bash tools/test_vllm.sh [pytest arguments]
#
# Makes .venv-vllm for the server on the first call (4 GB, a few minutes). The
# tests run in .venv-test.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
source "$(dirname "${BASH_SOURCE[0]}")/vllm_environment.sh"
export SIRI_VLLM_PYTHON=$PWD/$python
tests=(tests/rollout/test_real_vllm.py tests/rollout/test_real_recipes.py
  tests/faults/test_real_servers.py tests/faults/test_real_command.py)
exec bash tools/test.sh -n 0 "${tests[@]}" "$@"
