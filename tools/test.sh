#!/usr/bin/env bash
# Lint and tests: bash tools/test.sh [pytest arguments]
#
# Makes .venv-test on the first call. All checks run, whatever the first says;
# the status is pytest's, or 1 where only lint failed. For the fast tests:
# bash tools/test.sh -m "not slow". Two processes share the test files, in
# their order: by itself xdist begins with those of the most tests and ends with
# the longest, which are one test each. With -n 0 it is one process.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv-test requirements-test.txt

status=0
echo 'Running: ruff check .'
"$python" -m ruff check . || status=1
echo 'Running: ruff format --check .'
"$python" -m ruff format --check . || status=1
export PYTEST_ADDOPTS="--numprocesses=2 --dist=loadfile --no-loadscope-reorder ${PYTEST_ADDOPTS:-}"
echo "Running: pytest $*"
"$python" -m pytest "$@" || status=$?
exit "$status"
