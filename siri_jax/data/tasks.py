"""PLUG-IN family: tasks, settings -> problems, encoding and decoding."""

import functools
import itertools

from siri_jax import types
from siri_jax.data import arithmetic as built_in
from siri_jax.data import chat, hub_sets, problems
from siri_jax.grading import solutions
from siri_jax.models.hf import hub


def jsonl(*, train, evals, tokenizer, instruction, template_kw, thought):
  """Problems from files, prompts by a tokenizer folder's chat template.

  Args:
    train: path of the training problems, JSONL of siri_jax.commands.prepare,
      or a data set's Hub name, see hub_sets; '' without training.
    evals: mapping from a held-out set's name to its path or Hub name; ''
      leaves it out.
    tokenizer: path or Hub name of a tokenizer folder or a Hugging Face model.
    instruction: text with {problem} in the place of the problem.
    template_kw: variables of the chat template.
    thought: whether the grading rule expects responses that continue a thought
      of the prompt.
  Returns:
    types.Task.
  Raises:
    ValueError: files are invalid; lists all faults by setting.
  """
  _refuse_other_than_text(
    evals, train=train, tokenizer=tokenizer, instruction=instruction
  )
  if not hasattr(template_kw, 'items'):
    raise ValueError(
      f'task_kw.template_kw={template_kw!r} is not a dict; write '
      'dict(NAME=VALUE)'
    )
  held_out = {name: text for name, text in dict(evals).items() if text}
  paths = _all(
    {
      f'evals.{name}': functools.partial(hub_sets.problem_file, text)
      for name, text in held_out.items()
    }
  )
  loads = {'train': functools.partial(_training, train, paths)}
  for name, path in paths.items():
    loads[name] = functools.partial(problems.read, path)
  loads['tokenizer'] = functools.partial(
    _talk, tokenizer, instruction, dict(template_kw), thought
  )
  read = _all(loads)
  talk = read.pop('tokenizer')
  training = read.pop('train')
  evaluation = {k.removeprefix('evals.'): v for k, v in read.items()}
  return types.Task(
    train=training,
    evals=evaluation,
    encode=lambda problem: talk.encode(problem.text),
    encode_asked=lambda problem, budget: talk.encode(
      problem.text, budget.note, budget.system, budget.opening
    ),
    ids_of=talk.ids,
    decode=talk.decode,
    solutions=solutions.in_prose,
    eos_ids=talk.eos_ids,
    vocab=talk.vocab,
    fingerprints={
      'data': problems.fingerprint(training),
      'held_out': problems.fingerprint(itertools.chain(*evaluation.values())),
      'tokenizer': talk.fingerprint,
    },
    most_tokens=lambda problem: talk.most_tokens(problem.text),
  )


def _training(train, held_out):
  """The training problems of a path or Hub name; none of ''."""
  return problems.read(hub_sets.problem_file(train, held_out)) if train else []


def _talk(tokenizer, instruction, template_kw, thought):
  """The chat.Chat of a folder or Hub name."""
  folder = hub.folder(tokenizer, hub.TOKENIZER)
  talk = chat.load(
    folder, instruction=instruction, template_kw=template_kw, thought=thought
  )
  if talk.thinks and not thought:
    raise ValueError(
      f'{folder}: the chat template opens a thought, which this '
      "grading_rule_kw.kind would grade as the answer; set it to 'continuation'"
    )
  return talk


def arithmetic(
  *, seed, problems, held_out, fewest, most, hard, slips, verbosity
):
  """The built-in task: running sums, with traces that guess and check.

  Args:
    seed: seed of the problems and traces.
    problems: number of training problems.
    held_out: number of held-out problems.
    fewest: least steps of a problem.
    most: most steps of a problem, up to 16; a prompt has 3 * most + 2 tokens.
    hard: share of hard steps, whose new digit needs two look-ups.
    slips: share of wrong guesses at hard steps, in traces.
    verbosity: factor on the checks of traces, the median over them.
  Returns:
    types.Task with traces.
  """
  level = built_in.Difficulty(fewest, most, hard, slips, verbosity)
  return built_in.task(
    seed=seed, problems=problems, held_out=held_out, level=level
  )


def _refuse_other_than_text(evals, **settings):
  """Refuses settings and paths of sets that are not text, all at once."""
  by_name = hasattr(evals, 'items')
  if by_name:
    settings |= {f'evals.{name}': path for name, path in evals.items()}
  bad = [
    f'task_kw.{name}={value!r} is not text'
    for name, value in settings.items()
    if not isinstance(value, str)
  ]
  if not by_name:
    bad.append(f'task_kw.evals={evals!r} is not a dict; write dict(NAME=PATH)')
  if bad:
    raise ValueError('\n'.join(bad))


def _all(loads):
  """The results of functions by name, or one error with all their faults."""
  read, wrong = {}, []
  for name, load in loads.items():
    try:
      read[name] = load()
    except (OSError, ValueError) as error:
      wrong.append(f'task_kw.{name}: {error}')
  if wrong:
    raise ValueError('\n'.join(wrong))
  return read
