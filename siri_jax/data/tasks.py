"""PLUG-IN: tasks. Settings -> problems, and the way to tokens and back."""

import dataclasses
import functools
import itertools

from siri_jax import types
from siri_jax.data import arithmetic as built_in
from siri_jax.data import chat, problems


def jsonl(*, train, evals, tokenizer, instruction):
  """Problems from files, prompts by a tokenizer folder's chat template.

  Args:
    train: path of the training problems, JSONL as siri_jax.commands.prepare
      writes; '' where there is nothing to train.
    evals: mapping from a held-out set's name to its path, '' for a set that
      is not wanted.
    tokenizer: path of a tokenizer folder; a Hugging Face model's will do.
    instruction: text with {problem} where the problem goes.
  Returns:
    types.Task.
  Raises:
    ValueError: all that is wrong with all of the files, by setting.
  """
  _refuse_other_than_text(
    evals, train=train, tokenizer=tokenizer, instruction=instruction
  )
  loads = {'train': functools.partial(problems.read, train) if train else list}
  for name, path in dict(evals).items():
    if path:
      loads[f'evals.{name}'] = functools.partial(problems.read, path)
  loads['tokenizer'] = functools.partial(
    chat.load, tokenizer, instruction=instruction
  )
  read = _all(loads)
  talk = read.pop('tokenizer')
  training = read.pop('train')
  evaluation = {k.removeprefix('evals.'): v for k, v in read.items()}
  return types.Task(
    train=training,
    evals=evaluation,
    encode=lambda problem: talk.encode(problem.text),
    decode=talk.decode,
    eos_ids=talk.eos_ids,
    vocab=talk.vocab,
    fingerprints={
      'data': problems.fingerprint(training),
      'held_out': problems.fingerprint(itertools.chain(*evaluation.values())),
      'tokenizer': talk.fingerprint,
    },
    most_tokens=lambda problem: talk.most_tokens(problem.text),
  )


def arithmetic(*, seed, problems, held_out):
  """The built-in task: running sums with slips, checks and needless checks.

  Args:
    seed: of the problems and traces.
    problems: how many training problems there are.
    held_out: how many held-out problems there are.
  Returns:
    types.Task with traces.
  """
  task = built_in.task(seed=seed, problems=problems, held_out=held_out)
  return dataclasses.replace(task, longest=built_in.PROMPT_TOKENS)


def _refuse_other_than_text(evals, **settings):
  """Refuses settings that are no text, and sets without one, all at once."""
  by_name = hasattr(evals, 'items')
  if by_name:
    settings |= {f'evals.{name}': path for name, path in evals.items()}
  bad = [
    f'task_kw.{name}={value!r} is not text'
    for name, value in settings.items()
    if not isinstance(value, str)
  ]
  if not by_name:
    bad.append(f'task_kw.evals={evals!r} is not a path for each set by name')
  if bad:
    raise ValueError('\n'.join(bad))


def _all(loads):
  """What each function returns, by name, or all their faults in one error."""
  read, wrong = {}, []
  for name, load in loads.items():
    try:
      read[name] = load()
    except (OSError, ValueError) as error:
      wrong.append(f'task_kw.{name}: {error}')
  if wrong:
    raise ValueError('\n'.join(wrong))
  return read
