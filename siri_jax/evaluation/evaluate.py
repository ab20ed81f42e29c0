"""Evaluation of policies on held-out sets, as in the paper."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from siri_jax import build, context, types
from siri_jax.analysis import paper_table, runs
from siri_jax.config import plan as plans
from siri_jax.config import schema
from siri_jax.data import hub_names, load, problems
from siri_jax.evaluation import accuracy_by_cap, held_out, outcome, weights
from siri_jax.grading import pass_at_k
from siri_jax.rollout import graded, placement
from siri_jax.runtime import files, run_folder, stopwatch, xla_flags


class Job(NamedTuple):
  """A policy and the held-out sets to evaluate it on."""

  weights: weights.Weights
  task: types.Task
  folders: dict[str, Any]  # Set -> its open run_folder.RunFolder.


class Request(NamedTuple):
  """The policies and held-out sets of an evaluation.

  Attributes:
    config: ConfigDict.
    source: the config's file, for RUN.json.
    overrides: settings that differ from the file, for RUN.json.
    workdir: the run's folder.
    out: folder of the results.
    weights: list of words for weights.find.
    sets: list of held-out sets; []: all.
    samples: samples a problem; 0: eval_kw.table_samples.
  """

  config: Any
  source: str
  overrides: dict
  workdir: str
  out: pathlib.Path
  weights: list
  sets: list
  samples: int = 0


def evaluate(request, screen):
  """Runs or continues evaluations; returns the folder of each policy.

  Raises:
    ValueError: the request is invalid; lists every fault on a line.
    OSError: a file cannot be read or written.
    stopwatch.StopRequested: TERM or INT came; finished problems are kept.
  """
  found, faults = find(request)
  if faults:
    raise ValueError('\n'.join(faults))
  c = request.config
  with contextlib.ExitStack() as stack:
    jobs = open_jobs(request, found, stack)
    signals = stack.enter_context(
      stopwatch.Signals(screen.say, secs=c.limits_kw.stop_secs)
    )
    graders = stack.enter_context(build.make_graders(c))
    for job in jobs:
      measure(job, graders, screen, signals)
  return [request.out / job.weights.name for job in jobs]


def find(request):
  """([(weights.Weights, types.Task)], faults) of a request."""
  c, faults, found = request.config, [], []
  if not schema.faults(c):
    xla_flags.set_up(c.cache_dir)  # Before a plan uses JAX.
    if not all('://' in word for word in request.weights):
      _tried(faults, functools.partial(placement.reserve, trains=False), c)
  if request.samples:
    c.eval_kw.table_samples = request.samples
  named = [
    _tried(faults, weights.find, c, word, request.workdir)
    for word in request.weights
  ]
  for each in _tried(faults, weights.distinct, [w for w in named if w]) or ():
    if _tried(faults, plans.make, each.c):
      task = _tried(faults, held_out_task, each.c, request.sets)
      found += [(each, task)] if task else []
  return found, list(dict.fromkeys(faults))


def _tried(faults, call, *given):
  """What a call returns; None where it fails, for which faults has why."""
  try:
    return call(*given)
  except plans.ConfigError as error:
    faults += error.faults
  except (ValueError, OSError) as error:
    faults += str(error).splitlines()


def open_jobs(request, found, stack):
  """A Job for each policy found, its folders open on the stack.

  Raises:
    ValueError: a folder has other results; names it.
  """
  try:
    return [
      Job(each, task, folders_of(request, each, task, stack))
      for each, task in found
    ]
  except run_folder.RunFolderError as error:
    raise ValueError(str(error)) from error


def held_out_task(c, names):
  """The config's task with the named held-out sets, or with all."""
  if names and 'evals' in c.task_kw:
    for name in set(c.task_kw.evals) - set(names):
      c.task_kw.evals[name] = ''
  task, _ = load.read(c)
  unknown = [name for name in names if name not in task.evals]
  if unknown or not task.evals:
    raise ValueError(
      f'--sets={",".join(unknown)}: the config has files for '
      f'{", ".join(task.evals) or "no held-out set"}; name others by '
      '--config.task_kw.evals.NAME=FILE'
    )
  return dataclasses.replace(
    task, evals={name: task.evals[name] for name in names or task.evals}
  )


def folders_of(request, found, task, stack):
  """The folder of each set, opened on the stack."""
  identity = weights.identity(found)
  return {
    name: stack.enter_context(
      run_folder.RunFolder(
        request.out / found.name / name,
        settings_of(found, identity, task, name),
        source=request.source,
        overrides=request.overrides,
        allow_change=None,
      )
    )
    for name in task.evals
  }


def settings_of(found, identity, task, name):
  """All settings that affect the result of one policy on one set."""
  c = found.c
  prompts = [task.encode(problem) for problem in task.evals[name]]
  asked = {'budget': c.budget, 'budget_kw': c.budget_kw.to_dict()}
  seen = [problems.fingerprint(task.evals[name]), prompts, task.eos_ids]
  return {
    'set': name,
    'problems': hashlib.sha256(json.dumps(seen).encode()).hexdigest(),
    'weights': {'done': found.done, **identity},
    'samples': c.eval_kw.table_samples,
    'cap': c.eval_kw.cap,
    'caps': c.eval_kw.table_caps,
    'temperature': c.eval_kw.temperature,
    'top_p': c.eval_kw.top_p,
    'seed': c.seed,
    'grading_rule': c.grading_rule,
    'grading_rule_kw': c.grading_rule_kw.to_dict(),
    'engine': c.engine,
    'compute_dtype': c.compute_dtype,
    **(asked if c.budget != 'step_cap' else {}),
  }


def measure(job, graders, screen, signals):
  """Samples, grades and scores the unfinished sets of a job."""
  c, task = job.weights.c, job.task
  left = {
    name: folder
    for name, folder in job.folders.items()
    if not (folder.path / paper_table.RESULTS).exists()
  }
  if not left:
    return
  sampling = held_out.sampling_params(
    c, c.eval_kw.table_samples, job.weights.done
  )
  with weights.engine(
    job.weights,
    task,
    screen,
    signals,
    requests=max(c.eval_kw.table_samples, c.prompts_per_step * c.group_size),
    prompt_tokens=c.max_prompt_tokens,
    longest=c.eval_kw.cap,
    server_logs=next(iter(left.values())).path.parent / 'servers',
  ) as engine:
    for name, folder in left.items():
      folder.start(job.weights.done, hub=hub_names.commits(c))
      ctx = context.Context(task, folder, screen, signals, engine, graders)
      sample(ctx, name, c, sampling)
      record = {
        'weights': job.weights.name,
        'done': job.weights.done,
        'set': name,
        **score(ctx, name, pass_at_k.caps(c.eval_kw.cap, c.eval_kw.table_caps)),
      }
      files.write_json(folder.path / paper_table.RESULTS, record)


def sample(ctx, name, c, sampling):
  """Samples and grades the problems of a set that have no file."""
  asked = ctx.task.evals[name]
  numbers = {problem.id: number for number, problem in enumerate(asked)}
  left = [p for p in asked if not _file(ctx.run_folder, numbers[p.id]).exists()]
  if len(left) < len(asked):
    done = len(asked) - len(left)
    ctx.terminal.say(f'{name}: {done:,} of {len(asked):,} problems are done')
  watched, word = stopwatch.Stopwatch(), f'evaluating {name}'
  for group in graded.sample_and_grade(
    ctx,
    left,
    sampling,
    word,
    budget=plans.bound(c, 'budget'),
    cap=sampling.cap,
    watch=watched,
  ):
    ids = [sample.response_ids for sample in group.samples]
    done = sampling.seeds[-1]
    rows = graded.rows(group, ctx.task, done, response_ids=ids)
    ctx.run_folder.write_rows(f'samples/{numbers[group.problem.id]:06d}', rows)


def score(ctx, name, caps):
  """The scores of a set, from the files of its samples."""
  slim, right, early = [], [], []
  count = len(ctx.task.evals[name])
  for number in range(count):
    ctx.terminal.working(f'reading prefixes of {name}', number, count)
    rows = runs.read_rows(_file(ctx.run_folder, number))
    right.append(
      accuracy_by_cap.correct_under_caps(ctx, rows, caps).mean(axis=0)
    )
    kept = ('correct', 'extracted', 'length', 'finish_reason')
    slim.append([{key: row[key] for key in kept} for row in rows])
    if ctx.task.solutions:
      early.append(np.mean(outcome.efficiencies(ctx, rows)))
  at = [pass_at_k.mean_and_error(column) for column in np.transpose(right)]
  accuracy = [mean for mean, _ in at]
  mean, error = pass_at_k.mean_and_error(early) if early else (None, None)
  return {
    **held_out.summary(slim),
    'outcome_efficiency': mean,
    'outcome_efficiency_se': error,
    'area': pass_at_k.area(caps, accuracy),
    'cap_for_95': pass_at_k.cap_reaching(0.95, caps, accuracy),
    'caps': caps,
    'accuracy_at': accuracy,
    'accuracy_at_se': [error for _, error in at],
  }


def _file(folder, number):
  """Path of a problem's samples."""
  return folder.path / 'samples' / f'{number:06d}.jsonl.gz'
