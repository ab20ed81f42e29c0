"""The report of --dry_run: what a config changes, its schedule and its cost."""

import textwrap

import numpy as np
import tabulate

from siri_jax.config import (
  base,
  both_halves,
  cost_table,
  descriptions,
  devices,
  forecast,
  memory,
  outlook,
)
from siri_jax.runtime import run_folder, terminal

WIDTH, HEIGHT = 64, 12  # Characters of the plot.
COLUMNS, NAME = 79, 34  # Characters of a line, and of a setting in it.
TELLING = 0.05  # Least share of a device's memory for a table.
UNITS = ((86_400, 'days'), (3600, 'hours'), (60, 'minutes'), (1, 'seconds'))


def text(plan, work, *, files='', sampled=None, verbose=False):
  """The report.

  Args:
    plan: plan.Plan.
    work: forecast.Workload, or the reason as text why there is none.
    files: hub_names.table of the config; '' without Hub names.
    sampled: runs.SampledLengths of another run; None: uncapped_length_kw.
    verbose: whether to add every setting, the memory by remat policy and the
      cost of every schedule.
  Raises:
    ValueError: the mesh does not divide an array of the policy.
  """
  parts, counts = [changes(plan.c), files, plot(plan)], facts(plan)
  if isinstance(work, str):
    why = '\n'.join(_wrapped(work, COLUMNS))
    parts += [listed('Run', counts), why]
  else:
    parts += [listed('Run', {**problems(plan, work), **counts})]
    device = devices.planned(plan.c)
    needs = memory.of_plan(plan, work.shape)
    parts += [cost(plan, work, sampled, device, needs)]
    taken = memory.total(needs[memory.choose_remat(plan.c, needs)])
    if verbose or taken > TELLING * device.gb * 1e9:
      parts += [needed(plan, needs, device.gb)]
    if plan.c.engine == 'vllm' and plan.c.server_kw.placement == 'shared':
      parts += [both_halves.text(plan, work.shape)]
    if verbose:
      parts += [cost_table.text(plan, work, sampled)]
  parts += [every(plan.c) if verbose else MORE]
  return '\n\n'.join(part for part in parts if part)


MORE = """\
--verbose adds every setting, the memory by remat policy, and the cost of every
other schedule."""


def changes(c):
  """The settings that differ from base.py, with their meaning."""
  now = run_folder.flatten(c.to_dict())
  default = run_folder.flatten(base.get_config().to_dict())
  differing = [n for n in now if n not in default or now[n] != default[n]]
  order = [name.partition('.')[0] for name in descriptions.comments(base)]
  differing.sort(key=lambda name: order.index(name.partition('.')[0]))
  texts, before = descriptions.described(now), None
  lines = [f'{len(differing)} settings differ from siri_jax/config/base.py:']
  for name in differing:
    told = descriptions.meaning(texts[name])
    lines += entry(f'{name}={now[name]!r}', '' if told == before else told)
    before = told
  return '\n'.join(lines)


def entry(name, told):
  """Lines with a setting on the left and its meaning on the right."""
  room = COLUMNS - NAME - 2
  told = _wrapped(told, room)
  if len(name) > NAME - 2:
    name = name if len(name) < COLUMNS else f'{name[: COLUMNS - 5]}...'
    return [f'  {name}', *(' ' * (NAME + 2) + t for t in told if t)]
  first, *more = told
  return [
    f'  {name:{NAME}}{first}'.rstrip(),
    *(' ' * (NAME + 2) + t for t in more),
  ]


def every(c):
  """Every setting with its value."""
  settings = run_folder.flatten(c.to_dict())
  return listed('Settings', {k: repr(v) for k, v in settings.items()})


def listed(title, values):
  """A title, and a line for each value by name."""
  wide = max(map(len, values))
  room = COLUMNS - wide - 4
  lines = [title]
  for name, value in values.items():
    first, *more = _wrapped(value, room)
    lines += [f'  {name:{wide}}  {first}'.rstrip()]
    lines += [' ' * (wide + 4) + line for line in more]
  return '\n'.join(lines)


def facts(plan):
  """The numbers of the plan that need no problems as text, by name."""
  c = plan.c
  loop = outlook.is_loop(c.schedule)
  most = plan.samples * plan.highest
  simulated, and_turns = ' (simulated)' * loop, ', and every turn' * loop
  turns = plan.expected_turns.items()
  return {
    'samples a step': (
      f'{plan.samples:,} ({c.prompts_per_step:,} prompts * {c.group_size}), at '
      f'most {most:,} tokens'
    ),
    'optimiser steps': (
      f'{c.total_steps * c.minibatches * c.epochs:,}, of {plan.minibatch:,} '
      'samples each'
    ),
    'cap': f'{plan.lowest:,} to {plan.highest:,}, '
    f'mean {plan.caps.mean():,.1f} tokens{simulated}',
    'row': f'{plan.row_tokens:,} tokens',
    'turns': _some(f'{at} {kind}' for at, kind in turns) + simulated,
    'evaluations': _some(plan.evals) + and_turns,
    'checkpoints': _some(sorted(plan.checkpoints)) + and_turns,
  }


def cost(plan, work, sampled, device, needs):
  """The forecast of a run as text, with its assumptions.

  Args:
    plan: plan.Plan.
    work: forecast.Workload.
    sampled: runs.SampledLengths, or None.
    device: devices.Device.
    needs: memory.of_plan.
  """
  lengths, source = cost_table.natural(plan.c.uncapped_length_kw, sampled)
  found = forecast.of(plan, work, lengths, device)
  remat = memory.choose_remat(plan.c, needs)
  lines = {
    'tokens': (
      f'{terminal.short(found.training.tokens)} sampled in training, '
      f'{terminal.short(found.evaluation.tokens)} in evaluations'
    ),
    'time': f'{between(found.secs["all"])}; {stages(found.secs)}',
    **({'GPU hours': hours(found.hours)} if device.gpu else {}),
    'update': (
      f'{size(memory.total(needs[remat]))} of a device, '
      f'update_kw.remat={remat!r}'
    ),
    'sampling': sampling_memory(plan, work.shape, device),
    'disk': (
      f'{size(found.disk)}: {len(forecast.kept(plan))} checkpoints are kept, '
      f'{size(forecast.checkpoint_bytes(plan.c, work.shape))} each'
    ),
  }
  notes = [
    *work.notes,
    f'Assumed: {source}; {device.speed}; at most half of the groups have equal '
    'rewards, which need no gradient; the policy stays as it is, while one in '
    'training adapts to its cap. Not counted: compilation and SFT.',
  ]
  notes = '\n'.join(line for n in notes for line in _wrapped(n, COLUMNS))
  return f'{listed(f"Cost on {place(found, device)}", lines)}\n{notes}'


def place(found, device):
  """The devices of a forecast.Forecast as text."""
  if not device.gpu:
    return f'{device.name}, {device.gb:,.1f} GB free'
  absent = '' if device.here else ', which this machine does not have'
  return f'{found.devices} * {device.name} of {device.gb:,.4g} GB{absent}'


def stages(secs):
  """The longer stages of forecast.Forecast.secs as text."""
  long = [n for n in secs if n != 'all' and secs[n][1] > 0.05 * secs['all'][1]]
  return ', '.join(f'{name} {between(secs[name])}' for name in long)


def problems(plan, work):
  """The problems and epochs of a forecast.Workload as text, by name."""
  known = {
    n: 'unknown' if k is None else f'{k:,}' for n, k in work.evals.items()
  }
  lines = {
    'held out': ', '.join(f'{n} {k}' for n, k in known.items()) or 'none'
  }
  if work.train is None:
    return lines
  long = f' ({work.dropped:,} too long)' if work.dropped is not None else ''
  epoch = work.train // plan.c.prompts_per_step
  epochs = plan.c.total_steps / max(epoch, 1)
  return {
    'problems': f'{work.train:,}{long}, {epochs:.2f} epochs of {epoch:,} steps',
    **lines,
  }


def sampling_memory(plan, shape, device):
  """The memory of sampling on a device as text."""
  held = forecast.serving(plan, shape, device.gb)
  if plan.c.engine != 'vllm':
    return (
      f'{size(held.weights + held.cache)} of a device: weights, and the keys '
      f'and values of {held.responses:,} responses and of {plan.requests:,} '
      'prompts'
    )
  if not held.responses:
    return f'{size(held.weights)} of weights leave no room for a response'
  return (
    f'{size(held.weights)} of a server GPU for weights, {size(held.cache)} for '
    f'keys and values: {held.responses:,} of the longest responses at a time'
  )


def needed(plan, found, gb):
  """The memory of a device for an update, by remat policy.

  Args:
    plan: plan.Plan.
    found: memory.of_plan.
    gb: memory of the device, GB.
  """
  c = plan.c
  taken = memory.choose_remat(c, found)
  always = {
    name: n for name, n in found[taken].items() if name not in ('kept', 'block')
  }
  unit, scale = ('GB', 1e9) if memory.total(found[taken]) > 1e9 else ('MB', 1e6)
  rows = [
    [
      name + ' *' * (name == taken),
      *(parts[key] / scale for key in ('kept', 'block')),
      memory.total(parts) / scale,
      'yes' if memory.fits(parts, gb) else 'no',
    ]
    for name, parts in found.items()
  ]
  heads = ['remat', 'kept', 'a block', 'in all', f'fits {gb:.4g} GB']
  mesh = ' * '.join(f'{name} {n}' for name, n in c.mesh_kw.items())
  share = c.update_kw.micro_batch_rows // (c.mesh_kw.data * c.mesh_kw.fsdp)
  verdict = 'fits' if memory.fits(found[taken], gb) else 'does NOT fit'
  return '\n'.join(
    [
      f'Estimated memory of one device in an update, {unit}',
      f'({mesh}; {share} * {plan.row_tokens:,} tokens at a time)',
      *(f'  {name:18}  {n / scale:7.2f}' for name, n in always.items()),
      *tabulate.tabulate(rows, heads, floatfmt='.2f').splitlines(),
      f'With update_kw.remat={taken!r} it {verdict}.',
    ]
  )


def between(secs):
  """A range of seconds as text: '3.1 to 9.4 minutes'."""
  low, high = secs
  each, unit = next((u for u in UNITS if high >= 2 * u[0]), UNITS[-1])
  return f'{_two(low / each)} to {_two(high / each)} {unit}'


def hours(found):
  """A range of device hours as text: '1,600 to 6,100'."""
  return ' to '.join(map(_two, found))


def size(count):
  """Bytes as text: '32 MB'."""
  for unit, each in (('TB', 1e12), ('GB', 1e9), ('MB', 1e6)):
    if count >= each:
      return f'{count / each:.3g} {unit}'
  return f'{count / 1e3:.3g} kB'


def _two(number):
  """A number with two digits, thousands separated."""
  rounded = float(f'{number:.2g}')
  return f'{rounded:,.0f}' if rounded >= 10 else f'{rounded:g}'


def plot(plan):
  """A text plot of the cap against the step; v compressed, ^ expanded."""
  caps = plan.caps
  low, high = int(caps.min()), int(caps.max())
  wide = min(WIDTH, len(caps))
  columns = np.linspace(0, len(caps) - 1, wide).round().astype(int)
  span = max(high - low, 1)
  level = np.round((caps[columns] - low) / span * (HEIGHT - 1)).astype(int)
  margin = len(f'{high:,}')
  rows = []
  for y in range(HEIGHT - 1, -1, -1):
    value = {HEIGHT - 1: f'{high:,}', 0: f'{low:,}'}.get(y, '')
    dots = ''.join('•' if at == y else ' ' for at in level)
    rows.append(f'{value:>{margin}} │{dots}'.rstrip())
  marks = [' '] * wide
  for at, kind in plan.expected_turns.items():
    place = round(at / max(len(caps) - 1, 1) * (wide - 1))
    marks[min(place, wide - 1)] = 'v' if kind == 'compressed' else '^'
  axis = f'{"":{margin}} └' + '─' * wide
  end = f' {len(caps):,}'
  last = f'{"":{margin}}  0{end:>{wide - 1}} steps'
  title = 'Cap, tokens (v: end of compression, ^: end of expansion)'
  return '\n'.join(
    [title, *rows, axis, f'{"":{margin}}  {"".join(marks)}'.rstrip(), last]
  )


def _some(items, most=12):
  items = [str(item) for item in items]
  more = f', ... {len(items) - most} more' if len(items) > most else ''
  return ', '.join(items[:most]) + more or 'none'


def _wrapped(text, width):
  """Lines of a text, at least one; a path or an address is not broken."""
  whole = dict(break_long_words=False, break_on_hyphens=False)
  return textwrap.wrap(text, width, **whole) or ['']
