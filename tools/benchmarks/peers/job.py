"""The one small GRPO job that siri_jax and its peers all run.

Random policies of two sizes go on from random prompts over 64 words. One word
ends a response, and a random policy takes it with a probability near 1/64 at
every token: lengths vary from 1 to the cap of 128, their mean is near 55, and
about one response in eight is cut. The learning rate is the paper's, so small
that this stays so for the whole run.

Standard library alone: every peer's environment imports it.
"""

import json
import random

SIZES = {
  '0.14M': dict(layers=2, dim=64, heads=2, kv_heads=1, head_dim=32, mlp=288),
  '4.2M': dict(layers=4, dim=256, heads=8, kv_heads=2, head_dim=32, mlp=1152),
}
ROPE_THETA = 10000.0
NORM_EPS = 1e-6

END = '<eos>'  # Ends a response, and pads.
THINK = '<think>'  # Ends a prompt.
WORDS = (END, THINK, *(f'w{i}' for i in range(2, 64)))  # Place = token id.

PROMPTS, GROUP = 8, 8  # 64 samples a step, one optimiser step.
CAP = 128  # Most new tokens.
MAX_PROMPT = 24  # Tokens; the shortest prompt has half as many.
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-6, 0.01, 1.0
CLIP_LOW, CLIP_HIGH = 0.2, 0.28


def problems(steps):
  """(words of the prompt before THINK, answer) for PROMPTS * steps prompts."""
  draw = random.Random(0)
  return [
    (
      ' '.join(draw.choices(WORDS[2:], k=draw.randrange(12, MAX_PROMPT))),
      draw.choice(('even', 'odd')),
    )
    for _ in range(PROMPTS * steps)
  ]


def prompt(problem):
  """A problem's text as the policy reads it."""
  return f'{problem} {THINK}'


def reward(response, answer):
  """1 where the last word's place has the parity asked for: nearly a coin.

  Cheap on purpose: grading is not what is compared. Other words do not count.
  """
  words = [word for word in response.split() if word in WORDS[1:]]
  return float(bool(words) and WORDS.index(words[-1]) % 2 == (answer == 'odd'))


def report(step, secs, tokens):
  """Tells the driver that a step is done: one JSON line.

  Args:
    step: from 0.
    secs: wall-clock seconds since the step before it was done.
    tokens: response tokens of the step, the ends included.
  """
  print(json.dumps(dict(step=step, secs=secs, tokens=tokens)), flush=True)
