"""Samples problems and grades each group while the next are sampled."""

import collections

import numpy as np

from siri_jax import types
from siri_jax.algorithm import chunks
from siri_jax.rollout import asking, forcing


def sample_groups(ctx, problems, sampling, word, **asked):
  """The groups of `sample_and_grade` as a list, in the problems' order."""
  done = sample_and_grade(ctx, problems, sampling, word, **asked)
  by_id = {group.problem.id: group for group in done}
  return [by_id[problem.id] for problem in problems]


def sample_and_grade(ctx, problems, sampling, word, *, budget, cap, watch):
  """Samples problems and grades each group while the next are sampled.

  Args:
    ctx: context.Context.
    problems: list of types.Problem.
    sampling: engines.SamplingParams.
    word: name of this activity on the terminal.
    budget: bound plug-in of siri_jax/rollout/budgets.py.
    cap: the step's cap; no more tokens of a response are graded.
    watch: stopwatch.Stopwatch; takes the laps 'rollout' and 'grade'.
  Yields:
    types.Group of each problem, as soon as it is complete.
  Raises:
    stopwatch.StopRequested: a signal came; the other groups are not sampled.
  """
  task, by_id = ctx.task, {p.id: p for p in problems}
  budgets = {
    p.id: asking.budgets_of(budget, p, cap, sampling) for p in problems
  }
  prompts = [
    prompt
    for p in problems
    for prompt in asking.prompts_of(task, p, budgets[p.id], cap, sampling)
  ]

  def progress(done, total):
    ctx.signals.raise_if_stopped()
    ctx.terminal.working(word, done, total)

  def whole(samples, texts, ticket):
    verdicts = ctx.graders.collect(ticket)
    return types.Group(by_id[samples[0].problem_id], samples, verdicts, texts)

  waiting = collections.deque()
  sampled = forcing.sample(
    ctx.engine, task, prompts, budgets, sampling, progress
  )
  for samples in asking.whole_groups(sampled, budgets):
    problem = by_id[samples[0].problem_id]
    ctx.sampled_tokens += sum(s.response_ids.size for s in samples)
    texts = [task.decode(s.response_ids[: s.budget.cap]) for s in samples]
    ticket = ctx.graders.submit([problem.answer] * len(texts), texts)
    waiting.append((samples, texts, ticket))
    while waiting and waiting[0][-1].is_done():
      yield whole(*waiting.popleft())
  watch.lap('rollout')
  for done, parts in enumerate(waiting):
    ctx.signals.raise_if_stopped()
    ctx.terminal.working('grading', done, len(waiting))
    yield whole(*parts)
  ctx.note_disagreements()
  watch.lap('grade')


def check_samples(groups, sampling, version):
  """Checks the samples of a step.

  Raises:
    ValueError: weights of another version, too many tokens, a group of
      another size, or a repeated index.
  """
  samples = [s for g in groups for s in g.samples]
  indices = [sorted(s.index for s in g.samples) for g in groups]
  wrong = {
    f'not written by weight version {version}': sum(
      {v for v, _, _ in s.spans} != {version} for s in samples
    ),
    f'longer than {sampling.cap} tokens or empty': sum(
      not 0 < s.response_ids.size <= sampling.cap for s in samples
    ),
    f'in groups that are not of {sampling.n}': sum(
      len(i) for i in indices if i != list(range(sampling.n))
    ),
  }
  if any(wrong.values()):
    listed = '; '.join(f'{n} {flaw}' for flaw, n in wrong.items() if n)
    raise ValueError(f'the sampler gave samples that cannot be used: {listed}')


def rows(group, task, step, **columns):
  """A JSON record for each sample of a group, with its text.

  Args:
    group: types.Group.
    task: types.Task, for its `decode`.
    step: index of the step.
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
        **_asked(sample),
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


def _asked(sample):
  """What a sample was asked besides its problem, for its record."""
  budget, found = sample.budget, {}
  if budget.target or budget.mode:
    found = {'cap': budget.cap, 'target': budget.target, 'mode': budget.mode}
  if sample.forced is not None and sample.forced.any():
    found['forced'] = np.flatnonzero(sample.forced).tolist()
  if sample.chunks:
    size = sample.response_ids.size
    found['chunks'] = chunks.starts(size, sample.chunks)
  return found
