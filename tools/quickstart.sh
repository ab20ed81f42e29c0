#!/usr/bin/env bash
# Trains the quickstart on this machine: bash tools/quickstart.sh [flags]
#
# Makes .venv on the first call, then runs configs/quickstart.py. The flags are
# those of siri_jax.main, e.g. --dry_run, --config.seed=1 or, for another cap,
# --config=configs/quickstart.py:constant. Paths in flags are relative to the
# checkout.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv requirements-cpu.txt

config=--config=configs/quickstart.py
for flag in "$@"; do
  # --config may be given only once.
  case $flag in --config | --config=*) config= ;; esac
done

if [ $# = 0 ]; then
  echo 'SFT, then 162 updates with 7 evaluations: about 6 minutes on 2 cores.'
fi
echo "Running: $python -m siri_jax.main${config:+ $config}${*:+ $*}"
exec "$python" -m siri_jax.main ${config:+"$config"} "$@"
