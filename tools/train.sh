#!/usr/bin/env bash
# Trains on this machine's GPUs: bash tools/train.sh --config=configs/cosine640.py
#
# Makes .venv-gpu from requirements.txt on the first call (several GB; Python
# 3.12), then runs siri_jax.main with the arguments given: it fetches the model
# and the problems, starts vLLM servers, trains, evaluates, and prints the table.
# --dry_run shows the plan. The same command resumes the run. Paths in arguments
# are relative to the checkout. Without a GPU: bash tools/quickstart.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
if [ $# = 0 ]; then
  echo 'usage: bash tools/train.sh --config=configs/cosine640.py [flags of siri_jax.main]' >&2
  exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv-gpu requirements.txt
# vLLM finds the project's plug-in by its entry point.
if ! "$python" -I -c "import importlib.metadata as m; m.version('siri_jax')" 2>/dev/null; then
  "$python" -m pip install --no-input --quiet --no-deps --editable .
fi

echo "Running: $python -m siri_jax.main $*"
exec "$python" -m siri_jax.main "$@"
