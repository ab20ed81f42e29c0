"""Accuracy and length of policies on held-out sets, as the paper tells them.

  python -m siri_jax.evaluation.evaluate --config=configs/quickstart.py
    [--workdir=RUN] [--weights=start,27,newest] [--sets=aime24,amc]
    [--samples=64] [--against=FOLDER,FOLDER] [--paper=1.5B] [--out=FOLDER]
    [--config.KEY=VALUE ...]

Weights are a checkpoint of the run by its updates, what the run starts from,
a Hugging Face folder, or the URL of a server that has the model. The first of
them, or the first folder of an earlier evaluation named by --against, is what
dAcc/CR compares with. OUT/WEIGHTS/SET keeps every sample as it comes: the same
command goes on where it was ended, and comes out the same. Exit status as
siri_jax.main's.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import sys
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from siri_jax import build, context, types
from siri_jax.analysis import paper_table, runs
from siri_jax.analysis.figures import accuracy_by_cap as cap_figure
from siri_jax.config import command_line
from siri_jax.config import plan as plans
from siri_jax.data import load, problems
from siri_jax.evaluation import accuracy_by_cap, weights
from siri_jax.grading import pass_at_k
from siri_jax.main import DONE, refuse
from siri_jax.rollout import graded
from siri_jax.runtime import files, run_folder, stopwatch, terminal, xla_flags


class Job(NamedTuple):
  """One policy, and the sets to measure it on."""

  weights: weights.Weights
  task: types.Task
  folders: dict[str, Any]  # Set -> its open run_folder.RunFolder.


def define(values):
  """This program's own flags."""
  for name, default, told in (
    (
      'weights',
      'newest',
      'newest, updates done, start, a model folder or a URL',
    ),
    ('sets', '', "held-out sets; by default all of the config's"),
    ('against', '', 'folders of earlier evaluations, shown before'),
  ):
    flags.DEFINE_list(name, default, told, flag_values=values)
  flags.DEFINE_integer(
    'samples', 0, 'a problem; by default table_samples', flag_values=values
  )
  flags.DEFINE_string(
    'out', '', "by default evaluations/ in the run's folder", flag_values=values
  )
  flags.DEFINE_enum(
    'paper',
    None,
    list(paper_table.ROWS),
    "the paper's rows beside",
    flag_values=values,
  )


def main(argv):
  """Measures what the command line asks for and returns the exit status."""
  asked = command_line.parse(argv, define)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  out = pathlib.Path(asked.flags.out or f'{asked.workdir}/evaluations')
  with contextlib.ExitStack() as stack:
    jobs, faults = prepared(asked, out, stack)
    if asked.faults or faults:
      return refuse([*asked.faults, *faults], asked.source)
    xla_flags.set_up(asked.config.cache_dir)
    screen = stack.enter_context(terminal.Terminal(0))
    signals = stack.enter_context(
      stopwatch.Signals(screen.say, secs=asked.config.stop_secs)
    )
    try:
      graders = stack.enter_context(build.graders_of(asked.config))
      for job in jobs:
        measure(job, graders, screen, signals)
    except stopwatch.StopAsked as stop:
      screen.say('every finished problem is kept; the same command goes on')
      return 128 + stop.args[0]
    except (ValueError, OSError) as error:
      return refuse(str(error).splitlines(), out)
    shown = [*asked.flags.against, *(out / job.weights.name for job in jobs)]
    screen.say(paper_table.save(out, shown, asked.flags.paper))
    screen.say(f'{cap_figure.save(out, shown)} shows accuracy at every cap')
  return DONE


def prepared(asked, out, stack):
  """(jobs, faults): what is to be measured, checked before it takes time."""
  c, faults, found = asked.config, [], []
  if asked.flags.samples:
    c.table_samples = asked.flags.samples
  for word in dict.fromkeys(asked.flags.weights):
    try:
      each = weights.find(c, word, asked.workdir)
      plans.make(each.c)
      found.append((each, held_out_task(each.c, asked.flags.sets)))
    except plans.RefusedError as error:
      faults += error.faults
    except (ValueError, OSError) as error:
      faults += str(error).splitlines()
  faults += [
    f'--against={each}' for each in paper_table.faults(asked.flags.against)
  ]
  if faults or asked.faults:
    return [], list(dict.fromkeys(faults))
  try:
    jobs = [
      Job(each, task, folders_of(out, each, task, asked, stack))
      for each, task in found
    ]
  except (ValueError, OSError, run_folder.RefusedError) as error:
    return [], str(error).splitlines()
  return jobs, []


def held_out_task(c, names):
  """The config's task with these of its held-out sets, or all."""
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


def folders_of(out, found, task, asked, stack):
  """The folder of each set, opened on the stack."""
  identity = weights.identity(found)
  return {
    name: stack.enter_context(
      run_folder.RunFolder(
        out / found.name / name,
        settings_of(found, identity, task, name),
        source=asked.source,
        overrides=asked.overrides,
        allow_change=None,
      )
    )
    for name in task.evals
  }


def settings_of(found, identity, task, name):
  """All that decides what comes out of one policy on one set."""
  c = found.c
  prompts = [task.encode(problem) for problem in task.evals[name]]
  seen = [problems.fingerprint(task.evals[name]), prompts, task.eos_ids]
  return {
    'set': name,
    'problems': hashlib.sha256(json.dumps(seen).encode()).hexdigest(),
    'weights': {'done': found.done, **identity},
    'samples': c.table_samples,
    'cap': c.eval_cap,
    'caps': c.table_caps,
    'temperature': c.eval_temperature,
    'top_p': c.eval_top_p,
    'seed': c.seed,
    'rule': c.rule,
    'rule_kw': c.rule_kw.to_dict(),
    'sampler': c.sampler,
    'compute_dtype': c.compute_dtype,
  }


def measure(job, graders, screen, signals):
  """Samples, grades and scores what is not there yet of a job."""
  c, task = job.weights.c, job.task
  left = {
    name: folder
    for name, folder in job.folders.items()
    if not (folder.path / paper_table.RESULTS).exists()
  }
  if not left:
    return
  sampling = graded.sampling(c, c.table_samples, job.weights.done)
  with weights.engine(
    job.weights,
    task,
    screen,
    signals,
    requests=max(c.table_samples, c.prompts * c.group),
    prompt_tokens=c.max_prompt,
    longest=c.eval_cap,
  ) as engine:
    for name, folder in left.items():
      folder.start(job.weights.done)
      bench = context.Bench(task, folder, screen, signals, engine, graders)
      sample(bench, name, sampling)
      record = {
        'weights': job.weights.name,
        'done': job.weights.done,
        'set': name,
        **score(bench, name, pass_at_k.caps(c.eval_cap, c.table_caps)),
      }
      files.write_json(folder.path / paper_table.RESULTS, record)


def sample(bench, name, sampling):
  """Samples and grades the problems of a set that have no file yet."""
  asked = bench.task.evals[name]
  numbers = {problem.id: number for number, problem in enumerate(asked)}
  left = [p for p in asked if not _file(bench.folder, numbers[p.id]).exists()]
  if len(left) < len(asked):
    done = len(asked) - len(left)
    bench.screen.say(f'{name}: {done:,} of {len(asked):,} problems are done')
  watched, word = stopwatch.Watch(), f'evaluating {name}'
  for group in graded.graded(
    bench, left, sampling, word, cap=sampling.cap, watch=watched
  ):
    ids = [sample.response_ids for sample in group.samples]
    done = sampling.seeds[-1]
    rows = graded.rows(group, bench.task, done, response_ids=ids)
    bench.folder.write_rows(f'samples/{numbers[group.problem.id]:06d}', rows)


def score(bench, name, caps):
  """What the samples of a set come to, read back from their files."""
  slim, right = [], []
  count = len(bench.task.evals[name])
  for number in range(count):
    bench.screen.working(f'reading prefixes of {name}', number, count)
    rows = runs.read_rows(_file(bench.folder, number))
    right.append(accuracy_by_cap.right_at(bench, rows, caps).mean(axis=0))
    kept = ('correct', 'extracted', 'length', 'finish_reason')
    slim.append([{key: row[key] for key in kept} for row in rows])
  at = [pass_at_k.with_error(column) for column in np.transpose(right)]
  accuracy = [mean for mean, _ in at]
  return {
    **graded.summary(slim),
    'area': pass_at_k.area(caps, accuracy),
    'cap_for_95': pass_at_k.cap_reaching(0.95, caps, accuracy),
    'caps': caps,
    'accuracy_at': accuracy,
    'accuracy_at_se': [error for _, error in at],
  }


def _file(folder, number):
  """Path of a problem's samples."""
  return folder.path / 'samples' / f'{number:06d}.jsonl.gz'


if __name__ == '__main__':
  sys.exit(main(sys.argv))
