"""The words of the built-in task, and its prompts."""

import re

MOST_STEPS = 16  # Of a problem under any settings.
MOST = 7  # Steps by default.
TOKENS = (
  *'0123456789',
  *(f'#{step}' for step in range(1, MOST + 1)),
  *('wait', '</think>', '<eos>', '<think>', 'nil'),
)
# Numbers of later steps come last, so that all other words keep their ids.
STEPS = tuple(f'#{step}' for step in range(1, MOST_STEPS + 1))
ID = {token: number for number, token in enumerate([*TOKENS, *STEPS[MOST:]])}


class Language:
  """The words of problems that have at most `most` steps.

  Attributes:
    tokens: tuple of the words, by id.
    prompt_tokens: tokens of every prompt without a budget's words.
  """

  def __init__(self, most):
    self.tokens = (*TOKENS, *STEPS[MOST:most])
    self.prompt_tokens = 1 + 3 * most + 1

  def encode(self, problem):
    """A problem's prompt: its words, padded to one length, and <think>."""
    ids = [ID[word] for word in problem.text.split()]
    padding = [ID['nil']] * (self.prompt_tokens - 1 - len(ids))
    return [*ids, *padding, ID['<think>']]

  def encode_asked(self, problem, budget):
    """A problem's prompt after a budget's words, and before its opening's.

    SFT shows no such words. Before the problem they disturb its copying less
    than after it.

    Raises:
      ValueError: its words are none of `tokens`; names each.
    """
    before = self.ids_of(f'{budget.system} {budget.note}')
    return [*before, *self.encode(problem), *self.ids_of(budget.opening)]

  def ids_of(self, text):
    """The ids of words; the digits of a number are words of their own.

    Raises:
      ValueError: they are none of `tokens`; names each.
    """
    words = re.findall(r'\d|[^\s\d]\S*', text)
    if unknown := [word for word in words if word not in self.tokens]:
      raise ValueError(
        f'the built-in task has no words {", ".join(map(repr, unknown))}; use '
        f'its own: {" ".join(self.tokens)}'
      )
    return [ID[word] for word in words]

  def decode(self, ids):
    """The words of token ids, without <eos> and unknown ids."""
    known = (int(i) for i in ids if i < len(self.tokens) and i != ID['<eos>'])
    return ' '.join(self.tokens[i] for i in known)
