#!/usr/bin/env bash
# The tests that need a real vLLM server, on this machine's CPU.
#
# Makes .venv-vllm for the server on the first call, 4 GB and some minutes, and
# runs the tests in .venv-test.
set -euo pipefail
(source "$(dirname "${BASH_SOURCE[0]}")/vllm_environment.sh")
exec bash "$(dirname "${BASH_SOURCE[0]}")/test.sh" tests/test_real_vllm.py "$@"
