#!/usr/bin/env bash
# The tests that read programs compiled for GPUs; they need none:
#
#   bash tools/test_gpu_programs.sh [pytest arguments]
#
# Fetches jax's CUDA plug-in on the first call, half a GB, into a folder of
# its own: beside the rest it would look for a GPU at every start. Where it
# cannot be had, the last line says SKIPPED.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv-test requirements-test.txt
version=$("$python" -c 'import importlib.metadata as m; print(m.version("jaxlib"))')
folder=$PWD/.venv-test/cuda-plugin-$version
if ! [ -e "$folder" ]; then
  if ! "$python" -m pip install --no-input --no-deps --target "$folder.new" \
    --upgrade "jax-cuda12-plugin==$version" "jax-cuda12-pjrt==$version"; then
    echo 'SKIPPED: the programs for GPUs. The plug-in that compiles them' \
      'cannot be had here; what was said above tells why.' >&2
    exit
  fi
  mv "$folder.new" "$folder"
fi
export PYTHONPATH=$folder
exec bash tools/test.sh -n 0 tests/config/test_memory.py -k ForH100s "$@"
