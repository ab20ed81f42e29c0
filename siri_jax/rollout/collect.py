"""PLUG-IN family: how a step's groups are collected.

`(gather, *, settings) -> groups`. `gather(round)` samples and grades one more
round of as many problems as a step has, round 0 being the step's own, and
returns their types.Group; a step always ends up with that many groups.
"""


def once(gather):
  """Each problem of the step once, whatever its samples are worth."""
  return gather(0)


def dynamic(gather, *, max_rounds):
  """Samples on until every group has right and wrong answers in it.

  Where max_rounds do not suffice, groups without are taken too: the step
  keeps its size, and those groups have no gradient.

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
