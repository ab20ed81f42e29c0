"""The record of all objects that the loop uses."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from siri_jax import compiled
from siri_jax.algorithm import metrics
from siri_jax.analysis import run_table
from siri_jax.runtime import files, progress


@dataclasses.dataclass
class Context:
  """The objects needed to sample and grade problems.

  Attributes:
    task: types.Task, without too long prompts.
    run_folder: run_folder.RunFolder.
    terminal: terminal.Terminal.
    signals: stopwatch.Signals.
    engine: engines.Engine.
    graders: pool.GraderPool.
    servers: servers.External or Owned, for the engine.
    sampled_tokens: response tokens sampled since the start.
  """

  task: Any
  run_folder: Any
  terminal: Any
  signals: Any
  engine: Any = None
  graders: Any = None
  servers: Any = None
  sampled_tokens: int = 0

  def note_disagreements(self):
    """Records the responses on which the two grading rules disagree."""
    while self.graders.disagreements:
      self.run_folder.append(
        'disagreements', self.graders.disagreements.popleft()
      )


@dataclasses.dataclass(kw_only=True)
class TrainContext(Context):
  """All objects that the loop uses.

  Attributes:
    plan: plan.Plan.
    programs: compiled.Programs.
    checkpoints: checkpoint.CheckpointManager.
    packing: packing.PackingConfig of the update's rows.
    place: puts packed rows of numpy on the devices.
    processes: of distributed.py; all but process 0 have no folder, graders,
      order or views.
    fingerprints: sha256 of data, held-out sets, tokenizer and model.
    sources: name and sha256 of the plug-ins from elsewhere, by family.
    start: the run's initial parameters, if the loss needs their
      log-probabilities.
    order: shuffling.Order of the training problems.
    views: writers.Writers.
  """

  plan: Any
  programs: Any
  checkpoints: Any
  packing: Any
  place: Callable
  processes: Any
  fingerprints: Mapping[str, str]
  sources: Mapping[str, str]
  start: Any = None
  order: Any = None
  views: Any = None

  def push(self, params, version):
    """Pushes parameters to the engine."""
    self.terminal.working('weights to the sampler')
    self.processes.broadcast('push', version=version)
    self.engine.push(params, version)

  def counts(self):
    """Counters of sampling and grading since the start, by name."""
    seen = {'grader': self.graders.counts, 'sampler': self.engine.counts}
    return {'sampled_tokens': self.sampled_tokens} | {
      f'{source}_{name}': count
      for source, counts in seen.items()
      for name, count in counts.items()
    }

  def write_step(self, record):
    """Writes a step's record: to the folder, then to writers and terminal."""
    record = {
      **record,
      # The cap must not raise it.
      'compile_count': compiled.compile_count(self.programs),
    }
    self.run_folder.append('metrics', metrics.ordered(record))
    self.views.write(record['step'], record)
    self.terminal.step(record)

  def tell_evaluation(self, record):
    """Prints an evaluation and passes its values to the writers."""
    name, done = record['set'], record['step']
    scalars = {
      f'eval/{name}/{key}': record[key] for key in ('accuracy', 'length')
    }
    self.views.write(done, scalars)
    accuracy, length = (
      run_table.with_error(
        scale * record[name], scale * (record[f'{name}_se'] or 0)
      )
      for name, scale in (('accuracy', 100), ('length', 1))
    )
    self.terminal.say(
      f'after {done} updates ({record["kind"]}): {name} {accuracy} % at '
      f'{length} tokens'
    )

  def next_cap(self, step, done):
    """The cap of a step.

    Args:
      step: index of the step.
      done: progress.Progress after the step before.
    Returns:
      progress.Cap.
    """
    before = done.cap_state
    found = self.programs.cap(np.int32(step), before, done.seen)
    cap, state = jax.device_get(found)
    phase, turn = self.plan.phase_at(step, before, state)
    return progress.Cap(step, int(cap), phase, turn, state)

  def eval_kind(self, done, turn):
    """The reason to evaluate after `done` updates, '' if there is none."""
    return turn or self.plan.evals.get(done, '')

  def measured(self, done, turn):
    """Whether all evaluations after `done` updates are finished."""
    records = files.read_records(self.run_folder.path / 'eval.jsonl')
    seen = {r['set'] for r in records if r['step'] == done}
    return not self.eval_kind(done, turn) or seen >= set(self.task.evals)

  def writes_rollouts(self, step):
    """Whether a step's samples are written with their text at any rate."""
    every = self.plan.c.record_kw.rollouts_every
    return bool(every and step % every == 0)

  def save(self, state, done, turn):
    """Saves a checkpoint with all state that the run needs to resume.

    Args:
      state: types.TrainState.
      done: progress.Progress.
      turn: 'compressed' or 'expanded' if the cap turns here, else ''. Such a
        checkpoint is kept.
    """
    self.processes.broadcast('save')
    facts = {
      **done.facts(),
      'schedule': self.plan.c.schedule,
      'fingerprints': self.fingerprints,
      'sources': self.sources,
      'config': self.plan.c.to_dict(),
    }
    turns = [*done.turns, *[int(state.step)] * bool(turn)]
    self.checkpoints.save(state, facts, always=turns)

  def draw(self, done, kind):
    """Updates picture.png as often as record_kw says, and at evaluations.

    With picture_every=0 there is no picture.
    """
    every = self.plan.c.record_kw.picture_every
    if every and (done % every == 0 or kind):
      # Here, because a dry run must not import matplotlib.
      from siri_jax.analysis.figures import overview

      overview.save(self.run_folder.path)
