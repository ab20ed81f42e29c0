"""The cost of a run under each schedule, relative to a constant cap."""

import numpy as np
import pandas as pd
import tabulate

from siri_jax import plugins
from siri_jax.algorithm import schedule_presets
from siri_jax.config import cost_model, outlook
from siri_jax.models import flops, lora
from siri_jax.runtime import terminal

HEADS = ('schedule', 'mean cap', 'tokens', '%', 'FLOPs', '%', 'wait', '%')
NOTES = """\
%: of the same steps at the highest cap. FLOPs: of sampling and training, causal
attention by half. Wait: decoding steps until the longest response of a step is
done, each having a slot, summed over steps. All for a policy that stays as it
is: one in training adapts to its cap. Evaluations are not counted. The caps of
a schedule that follows measurements are simulated on the same lengths: a
response is right unless the cap cuts it."""


def text(plan, work, sampled=None):
  """The cost of every schedule as text: of a cycle, and of the whole run.

  Args:
    plan: plan.Plan.
    work: forecast.Workload.
    sampled: runs.SampledLengths of a run; None: uncapped_length_kw.
  """
  c = plan.c
  lengths, source = natural(c.uncapped_length_kw, sampled)
  given = setting(plan, work)
  found, low, high = _of_steps(plan, lengths)
  cuts = 100 * cost_model.share_cut(lengths, [low, high])
  parts = [
    f'The cost of other schedules, for {source}.',
    f'A cap of {low:,} tokens cuts {cuts[0]:.0f} % of these, '
    f'one of {high:,} {cuts[1]:.0f} %.',
  ]
  for words, steps in (
    ('A cycle', _period(plan)),
    ('The run', c.total_steps),
  ):
    caps = {name: own[:steps] for name, own in found.items()}
    parts += ['', f'{words}, {steps:,} steps (* as configured)']
    parts += [table(caps, lengths, high, **given)]
  if c.cap_at == 'reward':
    parts += ["cap_at='reward' samples all responses to the highest cap."]
  return '\n'.join([*parts, '', NOTES])


def marked(name, own, low, high, period, lengths):
  """The run's caps, marked by a star, and those of the other schedules.

  Args:
    name: name of the run's schedule.
    own: int [steps], its caps.
    low: lowest cap, tokens.
    high: highest cap, tokens; if equal to the lowest, there are no others.
    period: steps of a cycle, even.
    lengths: cost_model.LengthDistribution of a closed loop's simulation.
  Returns:
    dict from name to int [steps], tokens.
  """
  lines = schedule_presets.presets(low, high, period)
  beside = every(lines, len(own), lengths) if low < high else {}
  if name in beside and np.array_equal(beside[name], own):
    return {n + ' *' * (n == name): caps for n, caps in beside.items()}
  return {f'{name} *': own, **beside}


def every(lines, steps, lengths):
  """The caps of every schedule.

  Args:
    lines: dict schedule -> its settings.
    steps: number of steps, from 0.
    lengths: cost_model.LengthDistribution of a closed loop's simulation.
  Returns:
    dict schedule -> int [steps], tokens, in the order of the schedules' file.
  Raises:
    ValueError: schedules have no line or unknown settings; lists all.
  """
  names = plugins.names('schedule')
  wrong = [
    f'schedule {n} has no line in siri_jax/algorithm/schedule_presets.py'
    for n in names
    if n not in lines
  ]
  for name in lines:
    wrong += plugins.faults('schedule', name, lines[name])
  if wrong:
    raise ValueError('\n'.join(wrong))
  return {
    name: outlook.of(name, lines[name], steps, lengths).caps
    for name in dict.fromkeys([*names, *lines])
  }


def setting(plan, work):
  """The arguments of cost_model.estimate_cost besides lengths and caps."""
  return dict(
    samples=plan.samples,
    prompt=work.prompt,
    forward=flops.forward(work.shape),
    passes=flops.passes(work.shape, lora.of(plan.c.lora_kw)),
    epochs=plan.c.epochs,
  )


def natural(given, sampled=None):
  """Natural lengths, and their source as text.

  Args:
    given: the config's uncapped_length_kw.
    sampled: runs.SampledLengths of a run, or None.
  Returns:
    (cost_model.LengthDistribution, str).
  """
  if sampled is None:
    return cost_model.lognormal(**given), (
      f'a lognormal of natural lengths, mean {given.mean:,g}\nand median '
      f'{given.median:,g} tokens (uncapped_length_kw; the config names its '
      'origin)'
    )
  lengths, cut, run = sampled
  found = cost_model.kaplan_meier(lengths, cut)
  return found, (
    f'the natural lengths of {len(lengths):,} samples in\n{run}: '
    f'{100 * np.mean(cut):.1f} % of them were cut and count as longer, '
    f'{100 * found.share[-1]:.1f} % as endless'
  )


def of_cycle(plan, work, sampled=None):
  """What a cycle of every schedule costs, as a table.

  Args:
    plan: plan.Plan.
    work: forecast.Workload.
    sampled: runs.SampledLengths of a run; None: uncapped_length_kw.
  Returns:
    DataFrame of `costs`.
  """
  lengths, _ = natural(plan.c.uncapped_length_kw, sampled)
  found, _, high = _of_steps(plan, lengths)
  found = {name: caps[: _period(plan)] for name, caps in found.items()}
  return costs(found, lengths, high, **setting(plan, work))


def costs(caps, lengths, high, **setting):
  """What caps cost, and the share of the same steps at the highest cap.

  Args:
    caps: name -> int [steps], tokens.
    lengths: cost_model.LengthDistribution.
    high: the highest cap, tokens.
    **setting: the other arguments of cost_model.estimate_cost.
  Returns:
    DataFrame, a row for each name: schedule, mean_cap (tokens), tokens,
    operations (floating-point), wait (decoding steps), and of the last three
    the share of the highest cap's, tokens_share and so on.
  """
  rows = []
  for name, own in caps.items():
    flat = np.full(len(own), high)
    whole = cost_model.estimate_cost(lengths, flat, **setting)
    parts = cost_model.estimate_cost(lengths, own, **setting)
    row = {'schedule': name, 'mean_cap': own.mean()}
    for kind, part, most in zip(parts._fields, parts, whole, strict=True):
      row |= {kind: part, f'{kind}_share': part / most}
    rows.append(row)
  return pd.DataFrame(rows)


def table(caps, lengths, high, style='simple', **setting):
  """`costs` as text; `style` is a format of tabulate."""
  rows = [
    [
      row.schedule,
      f'{row.mean_cap:,.0f}',
      *(
        cell
        for kind in cost_model.Cost._fields
        for cell in (
          terminal.short(getattr(row, kind)),
          f'{100 * getattr(row, f"{kind}_share"):.1f}',
        )
      ),
    ]
    for row in costs(caps, lengths, high, **setting).itertuples()
  ]
  align = ('left', *['right'] * (len(HEADS) - 1))
  return tabulate.tabulate(
    rows, HEADS, style, disable_numparse=True, colalign=align
  )


def _of_steps(plan, lengths):
  """Caps of every schedule, and the lowest and the highest.

  The caps are int [steps] each, for a cycle or the run, if that is longer.
  """
  c, period = plan.c, _period(plan)
  steps, kw = max(period, c.total_steps), c.schedule_kw.to_dict()
  caps = outlook.of(c.schedule, kw, steps, lengths).caps
  low, high = int(caps.min()), int(caps.max())
  if outlook.is_loop(c.schedule):
    low, high = plan.lowest, plan.highest
  found = marked(c.schedule, caps, low, high, period, lengths)
  if c.cap_at == 'reward':
    found = {name: np.full(steps, high) for name in found}
  return found, low, high


def _period(plan):
  """Steps of a cycle: the schedule's period, or the whole run; even."""
  kw = plan.c.schedule_kw
  period = kw.period if 'period' in kw else plan.c.total_steps
  return int(period) + int(period) % 2
