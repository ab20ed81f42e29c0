"""PLUG-IN family: text rewards, functions of the decoded responses.

`(batch, *, settings) -> B rewards`. The batch is a types.TextBatch: every
sample of the step with its text, its problem and its tokens. Runs on the host,
in the trainer's process 0.

A function of two arguments, `(batch, memory, *, settings)`, remembers
something of each problem and returns `(rewards, memory)`. Both are dicts of the
batch's problems by id; a problem that was not seen before is not in the first.
A value is JSON of at most 1,000 bytes. The memory is saved with a checkpoint,
so a resumed run has the same.
"""

import math


def think_format(batch, *, close, answer):
  r"""1 if the thought is closed once and an answer follows it, else 0.

  TRL's think_format_reward, without the opening tag, which is in our prompts,
  and with an answer.

  Args:
    batch: types.TextBatch.
    close: text that ends a thought, '</think>'.
    answer: text after it that begins an answer, '\\boxed{'; '': any text.
  Returns:
    list of B numbers in {0, 1}.
  Raises:
    ValueError: `close` is empty.
  Source: TRL, trl/rewards/format_rewards.py.
  """
  if not close:
    raise ValueError("close='' ends no thought; write '</think>'")

  def fits(text):
    _, closed, reply = text.partition(close)
    return bool(closed and reply.strip()) and (
      close not in reply and answer in reply
    )

  return [float(fits(text)) for text in batch.completions]


def repetition_penalty(batch, *, size):
  """Minus the share of a response's n-grams of words that came before.

  Between -1 and 0: `unique / all - 1`. A text of fewer words has 0.

  Args:
    batch: types.TextBatch.
    size: words of an n-gram, 1 or more.
  Returns:
    list of B numbers in (-1, 0].
  Raises:
    ValueError: size is below 1.
  Source: Demystifying Long Chain-of-Thought, appendix C.2,
    arxiv.org/abs/2502.03373; open-r1's repetition_penalty_reward.
  """
  if size < 1:
    raise ValueError(f'size={size} is below 1 word')

  def repeats(text):
    words = text.lower().split()
    grams = list(zip(*(words[i:] for i in range(size)), strict=False))
    return len(set(grams)) / len(grams) - 1 if grams else 0.0

  return [repeats(text) for text in batch.completions]


def against_shortest(batch, memory, *, floor):
  """HAPO: the length against the shortest right response so far.

  With h, the length of the problem's shortest right response in earlier steps:
  f = cos(pi / 2 * length / h) up to 2 h, then -1. A right response has
  max(floor, f), another min(0, f). Without h all have 0.

  Args:
    batch: types.TextBatch.
    memory: problem id -> h, tokens.
    floor: least reward of a right response; HAPO: -0.7.
  Returns:
    list of B numbers in [-1, 1]; problem id -> h with this step's responses.
  Raises:
    Nothing.
  Source: compute_len_reward and the mode "min", github.com/HCY123902/HAPO;
    arxiv.org/abs/2505.11225.
  """
  rewards, shortest = [], dict(memory)
  lengths, correct = batch.arrays.length, batch.arrays.correct
  for problem, length, right in zip(
    batch.problems, lengths, correct, strict=True
  ):
    if problem.id in memory:
      ratio = min(length / memory[problem.id], 2.0)
      value = math.cos(math.pi / 2 * ratio)
      rewards.append(max(floor, value) if right else min(0.0, value))
    else:
      rewards.append(0.0)
    if right:
      known = shortest.get(problem.id, length)
      shortest[problem.id] = int(min(known, length))
  return rewards, shortest
