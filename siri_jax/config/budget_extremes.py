"""The budgets of a run at its extreme caps and draws, before it starts."""

import numpy as np

from siri_jax import plugins, types
from siri_jax.algorithm import chunks, rewards

ANY = types.Problem('any', 'any problem', 'any', '')
ENDS = (0.0, float(np.nextafter(1.0, 0.0)))  # Of a uniform.
# They compare a length with the prompt's target.
NEED_TARGET = (rewards.lcpo_exact, rewards.lcpo_max)


def extremes(c, budget, caps):
  """A function: types.Problem -> (cap, its budgets) at each extreme.

  Args:
    c: the config.
    budget: its plug-in, settings bound.
    caps: the run's lowest and highest cap, tokens.
  """
  places = [
    (cap, end) for cap in sorted({*caps, c.eval_kw.cap}) for end in ENDS
  ]

  def of(problem):
    return [
      (cap, budget(problem, cap, np.full(c.group_size, end)))
      for cap, end in places
    ]

  return of


def sizes(c, budget, caps):
  """The fields of a plan.Plan that follow from the budgets.

  Args:
    c: the config.
    budget: its plug-in, settings bound.
    caps: the run's lowest and highest cap, tokens.
  Returns:
    dict: longest, begun, chunks, most_chunks.
  """
  found = extremes(c, budget, caps)(ANY)
  asked = [one for _, budgets in found for one in budgets]
  apart = [(b.cap, b.chunks) for b in asked if b.chunks]
  carried = [own.carried for _, own in apart]
  thoughts = [b.thinking + 1 for b in asked if b.thinking]
  whole = [max(*caps, c.eval_kw.cap)] * (len(apart) < len(asked))
  return dict(
    longest=max(whole + [b.row for b in asked if b.chunks]),
    begun=max(carried + thoughts, default=0),
    chunks=apart[0][1] if not whole else None,
    most_chunks=max([len(chunks.starts(*one)) for one in apart], default=1),
  )


def faults(c, budget, caps):
  """Faults of the budgets at the extremes; see `extremes`."""
  try:
    found = extremes(c, budget, caps)(ANY)
    wrong = [
      fault
      for cap, asked in found
      if (fault := _fault(asked, cap, c.group_size))
    ]
  except Exception as error:  # A plug-in may raise anything.
    why = error if isinstance(error, ValueError) else repr(error)
    return [f'budget_kw of {c.budget}: {why}']
  if wrong:
    return [f'budget={c.budget!r} returns {wrong[0]}']
  if c.cap_at != 'sampler' and any(
    b.thinking or b.chunks for _, bs in found for b in bs
  ):
    return [
      f'budget={c.budget!r} samples a response in parts, so set cap_at='
      "'sampler'"
    ]
  if any(b.first for _, bs in found for b in bs) and (
    c.off_policy_steps
    or 'sampler_logp' in plugins.settings_of(plugins.function('loss', c.loss))
  ):
    return [
      f'budget={c.budget!r} forces first tokens, which have no log-probability '
      f'under the sampler; set off_policy_steps=0, and a loss other than '
      'truncated_importance'
    ]
  targets = [asked.target for _, budgets in found for asked in budgets]
  reward = plugins.function('reward', c.reward)
  if reward in NEED_TARGET and not all(targets):
    return [
      f'reward={c.reward!r} needs a target in every prompt, which '
      f"budget={c.budget!r} does not give; set budget='length_target'"
    ]
  return []


def _fault(budgets, cap, size):
  """What is wrong with the budgets of a group under a cap; '' if nothing."""
  if len(budgets) != size:
    return f'{len(budgets)} budgets for the {size} samples of a group'
  for asked in budgets:
    if not 1 <= asked.cap <= cap:
      return f'a cap of {asked.cap} tokens where the step has {cap}'
    if not 0 <= asked.target <= cap:
      return f'a target of {asked.target} tokens where the cap is {cap}'
    if asked.thinking and (
      asked.solution < 1 or asked.thinking + 1 + asked.solution > asked.cap
    ):
      return (
        f'a thought of {asked.thinking} tokens and a solution of '
        f'{asked.solution}, which with the token between them do not fit a cap '
        f'of {asked.cap}'
      )
    if asked.thinking and asked.chunks:
      return 'both chunks and a budget for the thought, of which it needs one'
  return ''
