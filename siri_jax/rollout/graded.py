"""Samples and grades problems, and says what the answers were worth."""

import collections

import numpy as np

from siri_jax import types
from siri_jax.grading import normalize, pass_at_k
from siri_jax.rollout import engines
from siri_jax.runtime.stopwatch import Stopwatch


def sampling(c, samples, done):
  """How held-out problems are sampled after `done` updates."""
  return engines.SamplingParams(
    n=samples,
    cap=c.eval_kw.cap,
    temperature=c.eval_kw.temperature,
    top_p=c.eval_kw.top_p,
    top_k=0,
    seeds=(c.seed, engines.SeedPurpose.MEASURING, done),
  )


def evaluate_held_out(ctx, done):
  """Samples and grades every held-out set in training.

  Args:
    ctx: context.TrainContext, its engine on the weights to be measured.
    done: updates done.
  Yields:
    (name of the set, record for eval.jsonl, rows with every sample).
  """
  c = ctx.plan.c
  asked = sampling(c, c.eval_kw.samples, done)
  for name, problems in ctx.task.evals.items():
    watch = Stopwatch()
    word = f'evaluating {name}'
    groups = sample_groups(
      ctx, problems, asked, word, cap=c.eval_kw.cap, watch=watch
    )
    found = [rows(group, ctx.task, done) for group in groups]
    record = {
      'step': done,
      'kind': ctx.plan.evals[done],
      'set': name,
      **summary(found),
      'secs': watch.total(),
    }
    yield name, record, [row for rows in found for row in rows]


def sample_groups(ctx, problems, sampling, word, *, cap, watch):
  """What `sample_and_grade` yields, as a list in the problems' order."""
  done = sample_and_grade(ctx, problems, sampling, word, cap=cap, watch=watch)
  by_id = {group.problem.id: group for group in done}
  return [by_id[problem.id] for problem in problems]


def sample_and_grade(ctx, problems, sampling, word, *, cap, watch):
  """Samples problems and grades each group while the next are sampled.

  Args:
    ctx: context.Context.
    problems: list of types.Problem.
    sampling: engines.SamplingParams.
    word: what to call this on the screen.
    cap: tokens of a response that the grader gets to see.
    watch: stopwatch.Stopwatch; takes the laps 'rollout' and 'grade'.
  Yields:
    types.Group of each problem, as soon as it is whole.
  Raises:
    stopwatch.StopRequested: a signal came. What is left is for who goes on.
  """
  task, by_id = ctx.task, {p.id: p for p in problems}
  prompts = [
    types.Prompt(p.id, np.asarray(task.encode(p), np.int32)) for p in problems
  ]

  def progress(done, total):
    ctx.signals.raise_if_stopped()
    ctx.screen.working(word, done, total)

  def whole(samples, ticket):
    verdicts = ctx.graders.collect(ticket)
    return types.Group(by_id[samples[0].problem_id], samples, verdicts)

  waiting = collections.deque()
  for samples in ctx.engine.sample(prompts, sampling, progress):
    problem = by_id[samples[0].problem_id]
    texts = [task.decode(s.response_ids[:cap]) for s in samples]
    ticket = ctx.graders.submit([problem.answer] * len(texts), texts)
    waiting.append((samples, ticket))
    while waiting and waiting[0][1].is_done():
      yield whole(*waiting.popleft())
  watch.lap('rollout')
  for done, (samples, ticket) in enumerate(waiting):
    ctx.signals.raise_if_stopped()
    ctx.screen.working('grading', done, len(waiting))
    yield whole(samples, ticket)
  ctx.note_disagreements()
  watch.lap('grade')


def rows(group, task, step, **columns):
  """One plain record a sample of a group, with its text.

  Args:
    group: types.Group.
    task: types.Task, for its `decode`.
    step: the step that it belongs to.
    **columns: further [G] sequences by name.
  """
  out = []
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


def summary(problems):
  """Accuracy and length over problems, each with its standard error.

  Args:
    problems: the `rows` of each problem, of as many samples each.
  Returns:
    dict: lengths in tokens, shares from 0 to 1; pass@k and maj@k for each
    power of two up to the samples.
  """
  samples = len(problems[0])
  found = {
    'accuracy': [_mean(rows, 'correct') for rows in problems],
    'length': [_mean(rows, 'length') for rows in problems],
    'truncated_frac': [
      np.mean([row['finish_reason'] == 'length' for row in rows])
      for rows in problems
    ],
  }
  passes = np.array([pass_at_k.pass_at_k(_right(r), samples) for r in problems])
  votes = np.array([_maj_at(rows, samples) for rows in problems])
  for k in powers(samples):
    found |= {f'pass@{k}': passes[:, k - 1], f'maj@{k}': votes[:, k - 1]}
  record = {}
  for name, values in found.items():
    record[name], record[f'{name}_se'] = pass_at_k.mean_and_error(values)
  return {**record, 'problems': len(problems), 'samples': samples}


def powers(samples):
  """The reported k of pass@k and maj@k: 2, 4, ... up to the samples."""
  return [2**i for i in range(1, samples.bit_length())]


def _mean(rows, name):
  return np.mean([row[name] for row in rows])


def _right(rows):
  return sum(row['correct'] for row in rows)


def _maj_at(rows, samples):
  """A wrong answer in two spellings that are known to be one has two votes."""
  wrong = [
    normalize.normalize(row['extracted'])
    for row in rows
    if row['extracted'] and not row['correct']
  ]
  counts = list(collections.Counter(wrong).values())
  return pass_at_k.maj_at_k(_right(rows), counts, samples)
