"""The second study's task: longer problems, on which no cap saturates early.

  python -m siri_jax.main --config=longer

The quickstart with problems of 5 to 10 steps instead of 3 to 7: four cycles of
a cosine cap. docs/longer.md says how this stage was chosen.
"""

from siri_jax.algorithm import schedule_presets
from siri_jax.config import quickstart

LOW, HIGH, PERIOD = 88, 132, 20  # Tokens, tokens, steps: docs/longer.md.


def get_config():
  c = quickstart.get_config()
  c.total_steps = 4 * PERIOD
  c.task_kw.update(fewest=5, most=10, held_out=512)
  c.max_prompt_tokens = 32
  c.schedule_kw = schedule_presets.presets(LOW, HIGH, PERIOD)['cosine']

  c.sft_kw.update(row_tokens=208, tokens=160)
  # The quickstart's gate of 0.99 and 0.97 takes a second round with some seeds.
  c.sft_kw.gate.update(copied=0.95, looked_up=0.9)
  c.update_kw.row_tokens = 192

  # Measured after SFT: means of 67 and 72 tokens at a cap of 132, two seeds.
  c.uncapped_length_kw.update(mean=72.0, median=60.0)
  c.eval_kw.update(every=PERIOD // 2, cap=HIGH)
  c.checkpoint_kw.every = PERIOD
  c.record_kw.rollouts_every = PERIOD // 2
  return c
