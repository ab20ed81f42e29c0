"""A config whose task and engine follow a script with known numbers.

Sample i of problem N of a set thinks for 2 + N + 2 i tokens, then answers and
ends. It is right if i < N; otherwise it gives one of two wrong answers, or no
answer if i is 3.
"""

import numpy as np

from siri_jax import types
from tests.helpers import tiny

WORDS = ('<eos>', '</think>', 'hm', *map(str, range(10)))
ID = {word: number for number, word in enumerate(WORDS)}
SIZES = {'easy': 3, 'hard': 5}
CAP = 11
asked = []  # Problems requested from the engine, over all calls.


def get_config():
  c = tiny.get_config()
  c.task = 'tests.helpers.scripted:task'
  c.task_kw = dict(seed=0)
  c.engine = 'tests.helpers.scripted:engine'
  c.eval_kw.cap = CAP
  c.eval_kw.table_caps = CAP
  c.eval_kw.table_samples = 4
  return c


def task(*, seed):
  """Held-out problems SET-N, whose answer is N."""
  del seed
  return types.Task(
    train=[],
    evals={
      name: [
        types.Problem(f'{name}-{n}', f'say {n}', str(n), name)
        for n in range(size)
      ]
      for name, size in SIZES.items()
    },
    encode=lambda problem: [ID[problem.answer], ID['hm']],
    decode=lambda ids: ' '.join(WORDS[i] for i in ids if i),
    eos_ids=(ID['<eos>'],),
    vocab=len(WORDS),
    fingerprints={},
  )


def response(number, index):
  """The words of a sample without a cap."""
  wrong = str(number + 1 + index % 2)
  said = str(number) if index < number else '' if index == 3 else wrong
  return [*['hm'] * (2 + number + 2 * index), '</think>', *said, '<eos>']


class Engine:
  """Follows the script; yields problems in reverse order."""

  def push(self, params, version):
    del params
    self.version = version

  def sample(self, prompts, sampling, progress):
    for done, prompt in enumerate(reversed(prompts)):
      asked.append(prompt.problem_id)
      progress(done, len(prompts))
      number = int(prompt.problem_id.partition('-')[2])
      yield [
        self._sample(prompt, number, index, sampling.cap)
        for index in range(sampling.n)
      ]

  def _sample(self, prompt, number, index, cap):
    ids = [ID[word] for word in response(number, index)]
    return types.Sample(
      problem_id=prompt.problem_id,
      index=index,
      prompt_ids=prompt.ids,
      response_ids=np.array(ids[:cap], np.int32),
      finish_reason='stop' if len(ids) <= cap else 'length',
      spans=((self.version, 0, min(len(ids), cap)),),
    )

  def close(self):
    pass


def engine(engine, *, max_concurrent, decode_steps):
  """The sampler plug-in."""
  del engine, max_concurrent, decode_steps
  return Engine()
