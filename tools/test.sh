#!/usr/bin/env bash
# Runs lint and tests: bash tools/test.sh [pytest arguments]
#
# Makes .venv-test on the first call. The tests run even if lint fails; the exit
# status is pytest's, or 1 if only lint failed. For the fast tests:
# bash tools/test.sh -m "not slow". Three processes share the test files in the
# order of tests/conftest.py: xdist's own order runs the slowest files last. -n 0
# uses one process.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv-test requirements-test.txt

status=0
echo 'Running: ruff check .'
"$python" -m ruff check . || status=1
echo 'Running: ruff format --check .'
"$python" -m ruff format --check . || status=1
export PYTEST_ADDOPTS="--numprocesses=3 --dist=loadfile --no-loadscope-reorder ${PYTEST_ADDOPTS:-}"
echo "Running: pytest $*"
"$python" -m pytest "$@" || status=$?
exit "$status"
