"""Accuracy and length on the held-out sets."""

import numpy as np

from siri_jax import metrics, types
from siri_jax.rollout import sampler as samplers
from siri_jax.watch import Watch

PURPOSE = 1  # Of the seeds: training samples with 0.


def evaluate(world, done):
  """Samples and grades every held-out set.

  Args:
    world: world.World, its engine on the weights to be measured.
    done: updates done.
  Yields:
    (name of the set, record for eval.jsonl, rows with every sample).
  """
  c = world.plan.c
  sampling = samplers.Sampling(
    n=c.eval_samples,
    cap=c.eval_cap,
    temperature=c.eval_temperature,
    top_p=c.eval_top_p,
    top_k=0,
    seeds=(c.seed, PURPOSE, done),
  )
  for name, problems in world.task.evals.items():
    watch = Watch()
    groups = gather(
      world,
      problems,
      sampling,
      f'evaluating {name}',
      cap=c.eval_cap,
      watch=watch,
    )
    record = {
      'step': done,
      'kind': world.plan.evals[done],
      'set': name,
      **summary(groups),
      'secs': watch.total(),
    }
    yield name, record, rows(groups, world.task, done)


def gather(world, problems, sampling, word, *, cap, watch):
  """Samples problems and grades each group while the next are sampled.

  Args:
    world: world.World.
    problems: list of types.Problem.
    sampling: sampler.Sampling.
    word: what to call this on the screen.
    cap: tokens of a response that the grader gets to see.
    watch: Watch; takes the laps 'rollout' and 'grade'.
  Returns:
    list of types.Group in the problems' order.
  """
  task, by_id = world.task, {p.id: p for p in problems}
  prompts = [
    types.Prompt(p.id, np.asarray(task.encode(p), np.int32)) for p in problems
  ]

  def progress(done, total):
    world.screen.working(word, done, total)

  handed_in = {}
  for samples in world.engine.sample(prompts, sampling, progress):
    problem = by_id[samples[0].problem_id]
    texts = [task.decode(s.response_ids[:cap]) for s in samples]
    ticket = world.graders.submit([problem.answer] * len(texts), texts)
    handed_in[problem.id] = (samples, ticket)
  watch.lap('rollout')
  groups = []
  for problem in problems:
    samples, ticket = handed_in[problem.id]
    groups.append(types.Group(problem, samples, world.graders.collect(ticket)))
  world.note_disagreements()
  watch.lap('grade')
  return groups


def summary(groups):
  """Accuracy and length over problems, each with its standard error.

  Args:
    groups: list of types.Group.
  Returns:
    dict for eval.jsonl; lengths in tokens.
  """
  right = [[v.correct for v in g.verdicts] for g in groups]
  lengths = [[s.response_ids.size for s in g.samples] for g in groups]
  cut = [[s.finish_reason == 'length' for s in g.samples] for g in groups]
  accuracy, accuracy_se = metrics.with_error(np.mean(right, axis=1))
  length, length_se = metrics.with_error(np.mean(lengths, axis=1))
  return {
    'accuracy': accuracy,
    'accuracy_se': accuracy_se,
    'length': length,
    'length_se': length_se,
    'truncated_frac': float(np.mean(cut)),
    'problems': len(groups),
    'samples': len(groups[0].samples),
  }


def rows(groups, task, step, **columns):
  """One plain record a sample, with its text.

  Args:
    groups: list of types.Group.
    task: types.Task, for its `decode`.
    step: the step they belong to.
    **columns: further [B] sequences by name.
  """
  out = []
  for group in groups:
    for sample, verdict in zip(group.samples, group.verdicts, strict=True):
      out.append(
        {
          'step': step,
          'problem_id': sample.problem_id,
          'index': sample.index,
          'length': int(sample.response_ids.size),
          'finish_reason': sample.finish_reason,
          'correct': verdict.correct,
          'extracted': verdict.extracted,
          'why': verdict.why,
          **{name: column[len(out)] for name, column in columns.items()},
          'problem': group.problem.text,
          'answer': group.problem.answer,
          'response': task.decode(sample.response_ids),
        }
      )
  return out
