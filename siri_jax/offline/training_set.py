"""The training set of a run: made once of presampled responses, then read.

training_set/rows.jsonl.gz has the responses with their weights, group by group,
and README.md says how many problems were left out and why. The groups of a step
are a function of the rows, the seed and the step.
"""

import pathlib

import numpy as np
import tabulate

from siri_jax import context, learner, plugins, types
from siri_jax.algorithm import training_sets
from siri_jax.analysis import runs, validate
from siri_jax.config import loss_needs
from siri_jax.data import reference, shuffling
from siri_jax.evaluation import outcome, weights
from siri_jax.grading.verdict import Verdict
from siri_jax.offline import presample
from siri_jax.runtime import files

FOLDER = 'training_set'  # In a run's folder.
ROWS, CARD = 'rows.jsonl.gz', 'README.md'


class TrainingSetError(ValueError):
  """A run has no training set, or one that it cannot learn from."""


def steps(ctx, state):
  """The groups of each step, from the training set of a run.

  Args:
    ctx: context.TrainContext; its engine has the weights of the state.
    state: types.TrainState to start from.
  Returns:
    (step, cap, watch) -> list of types.Group, a function of (seed, step). Step
    0 counts the presampled tokens as sampled.
  Raises:
    TrainingSetError: there is none; names the reason.
    stopwatch.StopRequested: a signal came; presampled problems are kept.
  """
  c, path = ctx.plan.c, ctx.run_folder.path / FOLDER / ROWS
  if not path.exists():
    if int(state.step):
      raise TrainingSetError(
        f'{path} is gone, and the run is after step {int(state.step)}; copy it '
        'back, or start again in another folder'
      )
    make(ctx, state)
  try:
    groups = read(path, c.group_size, ctx.plan.highest)
    order = shuffling.shuffled(groups, seed=c.seed, prompts=c.prompts_per_step)
  except ValueError as error:
    raise TrainingSetError(f'{path}: {error}') from error

  def groups_of(step, cap, watch):
    del cap, watch
    if step == 0:
      ctx.sampled_tokens += _sampled_tokens(ctx)
    return shuffling.step_problems(order, step)

  return groups_of


def _sampled_tokens(ctx):
  """The tokens of all samples that the training set was chosen from."""
  own = ctx.run_folder.path / presample.FOLDER
  folder = pathlib.Path(ctx.plan.c.presample_kw.folder or own)
  known = reference.read(folder / reference.TABLE).values()
  return round(sum(each.samples * each.length for each in known))


def read(path, size, cap):
  """The groups of a file of rows, `size` responses each.

  Args:
    path: a rows.jsonl.gz.
    size: responses of a group.
    cap: the cap of the run, tokens.
  Returns:
    list of types.Group.
  Raises:
    ValueError: the file is damaged.
  """
  rows = runs.read_samples(path)
  return [
    _group(rows[first : first + size], types.Budget(cap=cap))
    for first in range(0, len(rows), size)
  ]


def make(ctx, state):
  """Makes the training set: samples, chooses, and writes rows and card.

  Args:
    ctx: context.TrainContext; its engine has the state's weights.
    state: types.TrainState of the start.
  Raises:
    TrainingSetError: nothing is left to learn from, or the named folder has
      samples of something else.
    stopwatch.StopRequested: a signal came; presampled problems are kept.
  """
  c, folder = ctx.plan.c, presampled(ctx)
  problems = list(presample.samples_in(folder))
  found = choose(ctx, problems)
  _refuse_unfit(c, problems, found)
  rows = [
    _row(ctx.task, problems[number][each.index], each)
    for number, picked in found.groups
    for each in picked
  ]
  if loss_needs.reads_old(ctx.plan.find['loss'], ctx.plan.extra):
    rows = with_old_logp(ctx, state.params, rows)
  path = ctx.run_folder.path / FOLDER
  path.mkdir(exist_ok=True)
  files.write_atomically(
    path / CARD, card(c, folder, problems, found, rows).encode()
  )
  ctx.run_folder.write_rows(f'{FOLDER}/{ROWS.partition(".")[0]}', rows)


def _refuse_unfit(c, problems, found):
  """Raises if a training set has too few groups, or of another size."""
  sizes = {len(picked) for _, picked in found.groups}
  if sizes - {c.group_size}:
    raise TrainingSetError(
      f'training_set={c.training_set!r} makes groups of {max(sizes)}, and '
      f'group_size={c.group_size}; set group_size={max(sizes)}'
    )
  if len(found.groups) < c.prompts_per_step:
    why = ', '.join(f'{n} {why}' for why, n in found.left_out.items()) or 'none'
    raise TrainingSetError(
      f'training_set={c.training_set!r} has {len(found.groups)} groups of '
      f'{len(problems)} problems (left out: {why}), fewer than '
      f'prompts_per_step={c.prompts_per_step}; presample more, or lower it'
    )


def presampled(ctx):
  """The folder of the samples: the config's, or the run's own, made first."""
  plan, folder = ctx.plan, ctx.plan.c.presample_kw.folder
  if folder:
    _refuse_others(folder, ctx.task, plan.highest)
    return folder
  own, start = ctx.run_folder, weights.Weights('start', plan.c, 0, '')
  path = own.path / presample.FOLDER
  source = f'{own.info["config"]}:{own.info["arg"]}'.rstrip(':')
  about = dict(source=source, overrides=own.info['overrides'])
  try:
    folder = presample.open_folder(path, plan, ctx.task, start, **about)
  except ValueError as error:
    raise TrainingSetError(str(error)) from error
  with folder as inner:
    shared = ctx.terminal, ctx.signals, ctx.engine, ctx.graders
    presample.take(context.Context(ctx.task, inner, *shared), plan, 0)
  return inner.path


def _refuse_others(folder, task, highest):
  """Raises if a folder has no samples of this task under the highest cap."""
  named = f'presample_kw.folder={folder!r}'
  try:
    of = validate.json_object(pathlib.Path(folder, 'config.json'))['of']
    wrong = [
      name
      for name, key in (('problems', 'data'), ('tokenizer', 'tokenizer'))
      if of[name] != task.fingerprints[key]
    ]
    if wrong:
      raise ValueError(f'it is of other {" and ".join(wrong)}')
    if of['cap'] > highest:
      raise ValueError(
        f'its cap of {of["cap"]} is above the highest of this run, {highest}'
      )
  except (OSError, ValueError, KeyError) as error:
    raise TrainingSetError(
      f'{named} cannot be learned from: {error}; name a folder that `siri-jax '
      'presample` made with this task'
    ) from error


def choose(ctx, problems):
  """The training_sets.TrainingSet of presampled problems.

  Args:
    ctx: context.TrainContext.
    problems: the rows of each problem.
  """
  c, make_set = ctx.plan.c, ctx.plan.find['training_set']
  wants = plugins.settings_of(plugins.function('training_set', c.training_set))
  draws = np.random.default_rng(c.seed)
  given = {
    'cap': lambda: ctx.plan.highest,
    'uniforms': lambda: [draws.random(len(rows)) for rows in problems],
    'solutions': lambda: _solutions(ctx, problems),
  }
  return make_set(
    [
      training_sets.Presampled(
        np.array([row['length'] for row in rows]),
        np.array([row['correct'] for row in rows], bool),
      )
      for rows in problems
    ],
    **{name: given[name]() for name in training_sets.EXTRA if name in wants},
  )


def _solutions(ctx, problems):
  """The training_sets.Solutions of each sample of each problem."""
  if ctx.task.solutions is None:
    raise TrainingSetError(
      f'task={ctx.plan.c.task!r} has no rule that finds solutions, which '
      f'training_set={ctx.plan.c.training_set!r} needs'
    )
  found = []
  for number, rows in enumerate(problems):
    ctx.signals.raise_if_stopped()
    ctx.terminal.working('finding solutions', number, len(problems))
    found.append(outcome.found(ctx, rows))
  return found


def with_old_logp(ctx, params, rows):
  """Rows with the log-probabilities of their tokens under the start, nats.

  Args:
    ctx: context.TrainContext.
    params: the parameters of the start.
    rows: records of responses, in groups.
  """
  samples, out = [_sample(row, None) for row in rows], []
  for first in range(0, len(rows), ctx.plan.samples):
    part = samples[first : first + ctx.plan.samples]
    packed, count = learner.packed(
      ctx,
      part,
      np.ones(len(part), np.float32),
      np.arange(1, len(part) + 1, dtype=np.float32),
      ctx.plan.samples,
      learner.READING,
    )
    found, _ = ctx.programs.logprobs(params, ctx.place(packed), count)
    found = np.asarray(found)
    for number, (row, sample) in enumerate(
      zip(rows[first : first + len(part)], part, strict=True), 1
    ):
      # The advantages number the samples.
      own = found[(packed.adv == number) & (packed.mask > 0)]
      logp = np.zeros(sample.response_ids.size, np.float32)
      logp[~sample.forced] = own
      out.append({**row, 'old_logp': logp})
  return out


def card(c, folder, problems, found, rows):
  """The README.md of a training set.

  Args:
    c: the config.
    folder: the folder of the samples.
    problems: the rows of each problem.
    found: training_sets.TrainingSet.
    rows: its rows.
  Returns:
    str, Markdown.
  """
  used = len({number for number, _ in found.groups})
  samples = sum(map(len, problems))
  settings = ', '.join(f'{k}={v}' for k, v in c.training_set_kw.items())
  sides = {
    'weight above 0': [r for r in rows if r['weight'] > 0],
    'the others': [r for r in rows if r['weight'] <= 0],
  }
  table = tabulate.tabulate(
    [
      (name, len(own), _mean(own, 'length'), 100 * _mean(own, 'correct'))
      for name, own in sides.items()
    ],
    ('responses', 'number', 'tokens', 'right, %'),
    'github',
    floatfmt='.1f',
  )
  reasons = [
    f'- left out: {count:,}, {why}' for why, count in found.left_out.items()
  ]
  return '\n'.join(
    [
      f'# Training set: {c.training_set}\n',
      f'Settings: {settings or "none"}. Samples: {folder}, {samples:,} of '
      f'{len(problems):,} problems.\n',
      f'- problems used: {used:,}, in {len(found.groups):,} groups of '
      f'{c.group_size}',
      *(reasons or ['- left out: none']),
      f'\n{table}\n',
      'rows.jsonl.gz has a line for each response, group by group: its '
      'problem, prompt_ids, response_ids, weight, and score, of which the '
      'weight was made.\n',
    ]
  )


def _mean(rows, name):
  return float(np.mean([row[name] for row in rows])) if rows else float('nan')


def _row(task, row, picked):
  """The record of a response of a training set, of that of its sample."""

  def cut(values):
    return [*values[: picked.kept], *values[picked.resumed :]]

  ids = row['response_ids']
  forced = np.zeros(len(ids), bool)
  forced[row.get('forced', [])] = True
  return {
    **row,
    'length': len(cut(ids)),
    'forced': np.flatnonzero(cut(forced)),
    'response': task.decode(cut(ids)),
    'response_ids': cut(ids),
    'weight': picked.weight,
    'score': picked.score,
  }


def _group(rows, budget):
  """The types.Group of rows."""
  first = rows[0]
  answer = first['answer']
  return types.Group(
    types.Problem(
      id=first['problem_id'],
      text=first['problem'],
      answer=answer if isinstance(answer, str) else tuple(answer),
      source='',
    ),
    [_sample(row, budget) for row in rows],
    [Verdict(row['correct'], row['extracted'], row['why']) for row in rows],
    [row['response'] for row in rows],
  )


def _sample(row, budget):
  """The types.Sample of a row."""
  size = row['length']
  forced = np.zeros(size, bool)
  forced[row['forced']] = True
  logp = row.get('old_logp')
  return types.Sample(
    problem_id=row['problem_id'],
    index=row['index'],
    prompt_ids=np.asarray(row['prompt_ids'], np.int32),
    response_ids=np.asarray(row['response_ids'], np.int32),
    old_logp=None if logp is None else np.asarray(logp, np.float32),
    forced=forced,
    finish_reason=row['finish_reason'],
    spans=((row['step'], 0, size),),
    budget=budget,
    weight=row['weight'],
  )
