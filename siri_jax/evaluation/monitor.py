"""The monitor pass: the same training problems, sampled again and again.

It measures the policy for text rewards whose targets follow what it can do; a
step's own problems are others at each step.
"""

from siri_jax.data import shuffling
from siri_jax.rollout import engines, graded, rewarded
from siri_jax.runtime.stopwatch import Stopwatch


def sample(ctx, step, memory):
  """Samples the monitor problems, if a text reward takes them at this step.

  A pass is due at every monitor_kw.every-th step, and at a step before which a
  reward has had none, as in a branch.

  Args:
    ctx: context.TrainContext; its engine has the weights of the step.
    step: index of the step.
    memory: of the text rewards, before the step.
  Returns:
    types.TextBatch under the highest cap; None at other steps.
  Raises:
    stopwatch.StopRequested: a signal came.
  """
  c, plan = ctx.plan.c, ctx.plan
  asking = [each.name for each in plan.text_rewards if each.monitors]
  first = any(name not in memory for name in asking)
  if not asking or (step % c.monitor_kw.every and not first):
    return None
  asked = engines.SamplingParams(
    n=c.group_size,
    cap=plan.highest,
    temperature=c.temperature,
    top_p=c.top_p,
    top_k=c.top_k,
    seeds=(c.seed, engines.SeedPurpose.MONITORING, step),
  )
  groups = graded.sample_groups(
    ctx,
    shuffling.fixed_problems(ctx.order, c.monitor_kw.problems),
    asked,
    'monitoring',
    budget=plan.find['budget'],
    cap=plan.highest,
    watch=Stopwatch(),
  )
  arrays = rewarded.make_batch(groups, plan.highest)
  return rewarded.make_text_batch(groups, arrays, step)
