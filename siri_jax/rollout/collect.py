"""PLUG-IN family: collection of a step's groups.

`(gather, *, settings) -> groups`. `gather(round)` samples and grades one round
of as many problems as a step has, and returns their types.Group. Round 0 has
the step's own problems. The result always has that many groups.
"""


def once(gather):
  """Takes the groups of round 0, also those without a gradient."""
  return gather(0)


def dynamic(gather, *, max_rounds):
  """Samples until every group has right and wrong responses.

  If max_rounds do not suffice, groups of equal rewards fill the step. They have
  no gradient. The further problems are not the step's own, but may come again
  in the same epoch: the order of problems does not depend on the samples.

  Args:
    gather: see the module.
    max_rounds: rounds in all, 1 or more.
  Returns:
    list of types.Group.
  Raises:
    ValueError: max_rounds is below 1.
  Source: DAPO, section 3.2, arxiv.org/abs/2503.14476.
  """
  if max_rounds < 1:
    raise ValueError(f'max_rounds={max_rounds} is below 1')
  mixed, uniform, size = [], [], 0
  for number in range(max_rounds):
    groups = gather(number)
    size = size or len(groups)
    for group in groups:
      right = {verdict.correct for verdict in group.verdicts}
      (mixed if len(right) == 2 else uniform).append(group)
    if len(mixed) >= size:
      break
  return (mixed + uniform)[:size]
