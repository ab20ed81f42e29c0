"""The small GRPO job that siri_jax and its peers all run.

Random policies of three sizes continue random prompts over 64 words. One word
ends a response; a random policy draws it with a probability near 1/64. Lengths
vary from 1 to the cap of 128, with a mean near 55; about one response in eight
is cut. The learning rate is the paper's, which is too small to change this
during the run.

Uses only the standard library, because every peer's environment imports it.
"""

import json
import random

SIZES = {
  '0.14M': dict(layers=2, dim=64, heads=2, kv_heads=1, head_dim=32, mlp=288),
  '4.2M': dict(layers=4, dim=256, heads=8, kv_heads=2, head_dim=32, mlp=1152),
  '30M': dict(layers=8, dim=512, heads=8, kv_heads=2, head_dim=64, mlp=2048),
}
ROPE_THETA = 10000.0
NORM_EPS = 1e-6

END = '<eos>'  # Ends a response; also the padding.
THINK = '<think>'  # Ends a prompt.
WORDS = (END, THINK, *(f'w{i}' for i in range(2, 64)))  # Index = token id.

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
  """The prompt of a problem."""
  return f'{problem} {THINK}'


def reward(response, answer):
  """1 if the last word's index has the parity of the answer, else 0.

  It is cheap, because the benchmark does not compare grading. About half of the
  responses get 1.
  """
  words = [word for word in response.split() if word in WORDS[1:]]
  return float(bool(words) and WORDS.index(words[-1]) % 2 == (answer == 'odd'))


def report(step, secs, tokens):
  """Prints one JSON line for laptop.py when a step is done.

  Args:
    step: index, from 0.
    secs: wall-clock seconds since the step before it was done.
    tokens: response tokens of the step, including END.
  """
  print(json.dumps(dict(step=step, secs=secs, tokens=tokens)), flush=True)
