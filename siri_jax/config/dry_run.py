"""The report of --dry_run: settings, plan, memory, cost and schedule."""

import numpy as np
import tabulate

from siri_jax.config import both_halves, cost_table, memory, outlook
from siri_jax.runtime import run_folder

WIDTH, HEIGHT = 64, 12  # Characters of the plot.


def before_fetching(plan, files):
  """The report of a config whose files are not all in the cache.

  Args:
    plan: plan.Plan.
    files: hub_names.table of the config.
  """
  lacks = (
    'Problems, memory and cost are shown once the cache has these files. The '
    'run\nfetches them; this report fetches none.'
  )
  return '\n\n'.join(
    [*_settings(plan, of_plan(plan)), files, lacks, plot(plan)]
  )


def text(plan, task, dropped, shape, sampled=None, files=''):
  """The whole report of --dry_run.

  Args:
    plan: plan.Plan.
    task: types.Task, without the prompts that were dropped.
    dropped: number of dropped prompts.
    shape: the policy's decoder.ModelConfig.
    sampled: runs.SampledLengths of another run; None: uncapped_length_kw.
    files: hub_names.table of the config; '' without Hub names.
  Raises:
    ValueError: the mesh does not divide an array of the policy.
  """
  parts = _settings(plan, derived(plan, task, dropped))
  parts += [files] * bool(files)
  parts.append(needed(plan, shape))
  if plan.c.engine == 'vllm' and plan.c.server_kw.placement == 'shared':
    parts.append(both_halves.text(plan, shape))
  cost = cost_table.text(plan, task, shape, sampled)
  return '\n\n'.join([*parts, cost, plot(plan)])


def _settings(plan, follows):
  """The paragraphs of the settings and of what follows from them."""
  settings = run_folder.flatten(plan.c.to_dict())
  wide = max(map(len, settings))
  lines = [f'  {key:{wide}}  {value!r}' for key, value in settings.items()]
  follows = [f'  {key:{wide}}  {value}' for key, value in follows.items()]
  return ['\n'.join(p) for p in (['Settings', *lines], ['Plan', *follows])]


def derived(plan, task, dropped):
  """The numbers of the plan as text, by name."""
  c = plan.c
  epoch = len(task.train) // c.prompts_per_step
  return {
    'training problems': f'{len(task.train):,} ({dropped:,} too long)',
    'held-out problems': ', '.join(
      f'{name} {len(held):,}' for name, held in task.evals.items()
    )
    or 'none',
    'steps an epoch': f'{epoch:,} ({c.total_steps / max(epoch, 1):.2f} epochs)',
    **of_plan(plan),
  }


def of_plan(plan):
  """The numbers of the plan that need no problems as text, by name."""
  c = plan.c
  loop = outlook.is_loop(c.schedule)
  caps = np.full(c.total_steps, plan.highest) if loop else plan.caps
  simulated, and_turns = ' (simulated)' * loop, ', and every turn' * loop
  turns = (plan.turns or plan.simulated).items()
  return {
    'samples a step': (
      f'{plan.samples:,} ({c.prompts_per_step:,} prompts * {c.group_size})'
    ),
    'samples an optimiser step': f'{plan.minibatch:,}',
    'optimiser steps': f'{c.total_steps * c.minibatches * c.epochs:,}',
    'response tokens, at most': (
      f'{plan.samples * plan.highest:,} a step, '
      f'{plan.samples * int(caps.sum()):,} in all'
    ),
    'cap': f'{plan.lowest:,} to {plan.highest:,}, '
    f'mean {plan.caps.mean():,.1f} tokens{simulated}',
    'row': f'{plan.row_tokens:,} tokens',
    'turns': _listed(f'{at} {kind}' for at, kind in turns) + simulated,
    'evaluations': _listed(plan.evals) + and_turns,
    'checkpoints': _listed(sorted(plan.checkpoints)) + and_turns,
  }


def needed(plan, shape):
  """The memory of a device for an update, by remat policy.

  Args:
    plan: plan.Plan.
    shape: the policy's decoder.ModelConfig.
  """
  c, found = plan.c, memory.of_plan(plan, shape)
  taken = memory.choose_remat(c, found)
  always = {
    name: size
    for name, size in found[taken].items()
    if name not in ('kept', 'block')
  }
  rows = [
    [
      name + ' *' * (name == taken),
      *(parts[key] / 1e9 for key in ('kept', 'block')),
      memory.total(parts) / 1e9,
      'yes' if memory.fits(parts, c.device_gb) else 'no',
    ]
    for name, parts in found.items()
  ]
  heads = ['remat', 'kept', 'a block', 'in all', f'fits {c.device_gb:g} GB']
  mesh = ' * '.join(f'{name} {n}' for name, n in c.mesh_kw.items())
  share = c.micro_batch_rows // (c.mesh_kw.data * c.mesh_kw.fsdp)
  verdict = 'fits' if memory.fits(found[taken], c.device_gb) else 'does NOT fit'
  return '\n'.join(
    [
      'Estimated memory of one device in an update, GB',
      f'({mesh}; {share} * {plan.row_tokens:,} tokens at a time)',
      *(f'  {name:18}  {size / 1e9:7.2f}' for name, size in always.items()),
      *tabulate.tabulate(rows, heads, floatfmt='.2f').splitlines(),
      f'With remat={taken!r} it {verdict}.',
    ]
  )


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
  for at, kind in (plan.turns or plan.simulated).items():
    place = round(at / max(len(caps) - 1, 1) * (wide - 1))
    marks[min(place, wide - 1)] = 'v' if kind == 'compressed' else '^'
  axis = f'{"":{margin}} └' + '─' * wide
  end = f' {len(caps):,}'
  last = f'{"":{margin}}  0{end:>{wide - 1}} steps'
  title = 'Cap, tokens (v: end of compression, ^: end of expansion)'
  return '\n'.join(
    [title, *rows, axis, f'{"":{margin}}  {"".join(marks)}'.rstrip(), last]
  )


def _listed(items, most=12):
  items = [str(item) for item in items]
  more = f', ... {len(items) - most} more' if len(items) > most else ''
  return ', '.join(items[:most]) + more or 'none'
