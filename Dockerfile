# Trainer and vLLM servers in one image, for machines with NVIDIA GPUs.
#
#   docker build --tag siri_jax .
#   docker run --gpus all --ipc host --volume "$PWD/runs:/siri_jax/runs" \
#     --volume "$HOME/.cache/huggingface:/home/siri/.cache/huggingface" \
#     siri_jax --config=configs/cosine640.py
#
# The arguments are those of siri_jax.main. The user of the image has the id
# 1001 and must be able to write to both folders. The packages bring their own
# CUDA libraries; the host needs a driver for CUDA 13 (580 or later), because
# torch is built for it. This file has not been built yet.
FROM nvidia/cuda:12.9.1-base-ubuntu24.04

# Triton, which vLLM uses, compiles with the C compiler and Python's headers.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends \
    build-essential python3-dev python3-venv \
  && rm -rf /var/lib/apt/lists/*

RUN useradd --uid 1001 --create-home siri \
  && install --directory --owner=siri /siri_jax /siri_jax/runs
USER siri
WORKDIR /siri_jax
ENV PATH=/home/siri/venv/bin:$PATH

COPY requirements.txt ./
RUN python3 -m venv /home/siri/venv \
  && pip install --no-cache-dir --requirement requirements.txt

COPY --chown=siri . ./
RUN pip install --no-cache-dir --no-deps --editable .

ENTRYPOINT ["python", "-m", "siri_jax.main"]
CMD ["--help"]
