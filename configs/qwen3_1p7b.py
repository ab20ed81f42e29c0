"""Qwen3-1.7B under the paper's cosine cap, with or without thoughts.

  python -m siri_jax.main --config=configs/qwen3_1p7b.py
  python -m siri_jax.main --config=configs/qwen3_1p7b.py:off

Another model family in the paper's setting: caps, rewards, optimiser and
problems are those of configs/cosine640.py. Nothing of this has been run yet.

Qwen3's chat template opens no thought: the policy writes <think> itself, and
siri_jax puts it at the end of the prompt, as R1's template does. With `:off`
the template closes an empty thought (enable_thinking=False), so a response is
the answer. Responses end at <|im_end|> or <|endoftext|>, the end tokens of the
model's generation_config.json.
"""

from configs import cosine640


def get_config(thinking='on'):
  if thinking not in ('on', 'off'):
    raise ValueError(f'unknown argument {thinking!r}; choose from on, off')
  c = cosine640.get_config()
  # The newest commit, of which many caches of public repositories are.
  c.model_path = 'Qwen/Qwen3-1.7B@70d244cc86ccca08cf5af4e1e306ecf908b1ad5e'
  if thinking == 'off':
    c.task_kw.template_kw = dict(enable_thinking=False)
    c.grading_rule_kw.kind = 'response'  # The thought is closed.
  # Qwen3's model card, best practices: temperature 0.6 and this with thoughts.
  c.eval_kw.top_p = 0.95
  return c
