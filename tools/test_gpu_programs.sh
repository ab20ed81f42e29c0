#!/usr/bin/env bash
# Runs the tests that compile programs for GPUs; no GPU is needed:
#
#   bash tools/test_gpu_programs.sh [pytest arguments]
#
# Downloads jax's CUDA plug-in (half a GB) on the first call. It has a separate
# folder: in the environment, it would look for a GPU at every start of JAX. If
# the download fails, the last line is SKIPPED.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv-test requirements-test.txt
version=$("$python" -c 'import importlib.metadata as m; print(m.version("jaxlib"))')
folder=$PWD/.venv-test/cuda-plugin-$version
if ! [ -e "$folder" ]; then
  if ! "$python" -m pip install --no-input --no-deps --target "$folder.new" \
    --upgrade "jax-cuda12-plugin==$version" "jax-cuda12-pjrt==$version"; then
    echo "SKIPPED: the programs for GPUs. pip could not install jax's CUDA" \
      'plug-in; see its error above.' >&2
    exit
  fi
  mv "$folder.new" "$folder"
fi
export PYTHONPATH=$folder
exec bash tools/test.sh -n 0 tests/config/test_memory.py \
  tests/tools/test_benchmark_decoding.py -k ForH100s "$@"
