"""Samples training problems once and grades them, into a folder of their own.

The folder has the form of a run's: rollouts/NNNNNN.jsonl.gz has the samples of
one problem, each once for its seed and index, and reference.jsonl a line for
each problem. What is there is not sampled again: the same command continues,
more samples a problem add to it, and so does another seed.
"""

import contextlib
import pathlib
from typing import Any, NamedTuple

from siri_jax import build, context
from siri_jax.analysis import runs
from siri_jax.config import schema
from siri_jax.data import hub_names, reference, shuffling
from siri_jax.evaluation import weights
from siri_jax.rollout import engines, graded, placement
from siri_jax.runtime import run_folder, stopwatch, xla_flags

FOLDER = 'presample'  # In a run's folder.
# The settings that decide what the samples are, besides seed and number.
DECIDES = (
  *('task', 'task_kw', 'max_prompt_tokens', 'grading_rule', 'grading_rule_kw'),
  *('policy', 'model_path', 'model_kw', 'sft_kw', 'compute_dtype', 'engine'),
  *('temperature', 'top_p', 'top_k', 'budget', 'budget_kw', 'of'),
)


class Request(NamedTuple):
  """What is sampled, and where it goes.

  Attributes:
    config: ConfigDict; presample_kw has the number of samples and problems.
    source: the config's file, for RUN.json.
    overrides: settings that differ from the file, for RUN.json.
    workdir: folder of the run that has the checkpoints.
    out: folder of the samples.
    weights: a word for weights.find.
  """

  config: Any
  source: str
  overrides: dict
  workdir: str
  out: pathlib.Path
  weights: str


def presample(request, screen):
  """Samples, or continues; returns the path of the table.

  Raises:
    ValueError: the request is invalid, or the folder has other samples; lists
      every fault on a line.
    OSError: a file cannot be read or written.
    stopwatch.StopRequested: TERM or INT came; finished problems are kept.
  """
  c = request.config
  if not schema.faults(c):  # If there are any, build.prepare lists them.
    xla_flags.set_up(c.cache_dir)
    if '://' not in request.weights:
      placement.reserve(c, trains=False)
  found = weights.find(c, request.weights, request.workdir)
  plan, task, _ = build.prepare(found.c)
  with contextlib.ExitStack() as stack:
    origin = dict(source=request.source, overrides=request.overrides)
    folder = stack.enter_context(
      open_folder(request.out, plan, task, found, **origin)
    )
    signals = stack.enter_context(
      stopwatch.Signals(screen.say, secs=c.limits_kw.stop_secs)
    )
    graders = stack.enter_context(build.make_graders(found.c))
    engine = stack.enter_context(
      weights.engine(
        found,
        task,
        screen,
        signals,
        requests=max(c.presample_kw.samples, plan.samples),
        prompt_tokens=c.max_prompt_tokens,
        longest=plan.longest,
        server_logs=folder.path / 'servers',
      )
    )
    ctx = context.Context(task, folder, screen, signals, engine, graders)
    return take(ctx, plan, found.done)


def open_folder(path, plan, task, found, *, source, overrides):
  """The folder of the samples of some weights, locked.

  Args:
    path: the folder.
    plan: plan.Plan of the weights' config.
    task: its types.Task.
    found: weights.Weights.
    source: the config's file, for RUN.json.
    overrides: settings that differ from the file, for RUN.json.
  Returns:
    run_folder.RunFolder.
  Raises:
    ValueError: it has samples of something else; names the difference.
  """
  settings = {
    **plan.c.to_dict(),
    'of': {
      'weights': {'done': found.done, **weights.identity(found)},
      'problems': task.fingerprints['data'],
      'tokenizer': task.fingerprints['tokenizer'],
      'cap': plan.highest,
    },
  }
  try:
    return run_folder.RunFolder(
      path,
      settings,
      source=source,
      overrides=overrides,
      free=sorted({*settings} - {*DECIDES}),
      allow_change=None,
    )
  except run_folder.RunFolderError as error:
    raise ValueError(str(error)) from error


def take(ctx, plan, done):
  """Samples and grades what the folder lacks; returns the path of its table.

  Args:
    ctx: context.Context of the folder of the samples; its engine has the
      weights.
    plan: plan.Plan.
    done: updates done with the weights.
  Returns:
    pathlib.Path of reference.jsonl, written last.
  Raises:
    stopwatch.StopRequested: a signal came; finished problems are kept.
  """
  c, folder = plan.c, ctx.run_folder
  folder.start(done, hub=hub_names.commits(c))
  asked = problems_of(c, ctx.task)
  numbers = {problem.id: number for number, problem in enumerate(asked)}
  wanted = {(c.seed, index) for index in range(c.presample_kw.samples)}
  left = [p for p in asked if wanted - _keys(_rows(folder, numbers[p.id]))]
  if len(left) < len(asked):
    there = len(asked) - len(left)
    ctx.terminal.say(f'{there:,} of {len(asked):,} problems are presampled')
  for group in graded.sample_and_grade(
    ctx,
    left,
    sampling_params(plan),
    'presampling',
    budget=plan.find['budget'],
    cap=plan.highest,
    watch=stopwatch.Stopwatch(),
  ):
    _add(folder, numbers[group.problem.id], _as_rows(group, ctx.task, c, done))
  found = (_rows(folder, number) for number in range(len(asked)))
  reference.write(
    folder.path / reference.TABLE, map(reference.of_samples, found)
  )
  return folder.path / reference.TABLE


def problems_of(c, task):
  """The training problems that are presampled, the same for every seed."""
  order = shuffling.shuffled(task.train, seed=0, prompts=1)
  count = c.presample_kw.problems or len(task.train)
  return shuffling.fixed_problems(order, count)


def sampling_params(plan):
  """The engines.SamplingParams of presampling."""
  c = plan.c
  return engines.SamplingParams(
    n=c.presample_kw.samples,
    cap=plan.highest,
    temperature=c.temperature,
    top_p=c.top_p,
    top_k=c.top_k,
    seeds=(c.seed, engines.SeedPurpose.PRESAMPLING, 0),
  )


def samples_in(folder):
  """Yields the rows of each presampled problem of a folder, in order.

  Args:
    folder: path of a folder that `presample` made.
  Raises:
    ValueError: it is not whole, or a file is damaged; names it.
  """
  folder = pathlib.Path(folder)
  if not (folder / reference.TABLE).exists():
    raise ValueError(
      f'{folder} has no {reference.TABLE}: it is not the folder of a finished '
      '`siri-jax presample`; run it again to finish it'
    )
  known = reference.read(folder / reference.TABLE)
  for number in range(len(known)):
    yield runs.read_samples(_path(folder, number))


def _as_rows(group, task, c, done):
  """The records of a group's samples, with their seed and tokens."""
  return graded.rows(
    group,
    task,
    done,
    seed=[c.seed] * len(group.samples),
    prompt_ids=[sample.prompt_ids for sample in group.samples],
    response_ids=[sample.response_ids for sample in group.samples],
  )


def _add(folder, number, rows):
  """Adds the samples of a problem that its file does not have."""
  old = _rows(folder, number)
  known = _keys(old)
  rows = old + [row for row in rows if not {_key(row)} & known]
  folder.write_rollouts(number, sorted(rows, key=_key))


def _key(row):
  return row['seed'], row['index']


def _keys(rows):
  return {_key(row) for row in rows}


def _rows(folder, number):
  """The rows of a problem so far."""
  path = _path(folder.path, number)
  return runs.read_rows(path) if path.exists() else []


def _path(folder, number):
  return folder / 'rollouts' / f'{number:06d}.jsonl.gz'
