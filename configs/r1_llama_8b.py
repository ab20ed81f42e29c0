"""The paper's setting on R1-Distill-Llama-8B, on two nodes of eight 80 GB GPUs.

  python -m siri_jax.main --config=configs/r1_llama_8b.py --dry_run

The third model family: everything but the model is that of
configs/cosine640_7b.py. Nothing of this has been run yet. The positions of a
response are scaled as Llama 3.1's (config.json, rope_scaling), beyond 8,192 as
well as below. The template writes <|begin▁of▁sentence|>, and siri_jax adds no
second one. Responses end at the end token of generation_config.json, 128,001.
"""

from configs import cosine640_7b


def get_config():
  c = cosine640_7b.get_config()
  # The newest commit, of which many caches of public repositories are.
  c.model_path = (
    'deepseek-ai/DeepSeek-R1-Distill-Llama-8B'
    '@6a6f4aa4197940add57724a7707d069478df56b1'
  )
  return c
