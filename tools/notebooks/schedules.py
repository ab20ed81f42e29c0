# %% [markdown]
"""
# Schedules, and what they cost

A schedule gives the cap on a response's length at each step: few tokens
compress, many let the policy explore. This notebook draws every schedule
that siri_jax has, adds one of its own, and works out what each costs beside
the highest cap throughout: tokens, operations, and the wait for the longest
response of a step.

It runs from top to bottom in seconds, and trains nothing.
"""

# %%
import os
import pathlib

# Started here or at the repository's root: names of files count from there.
here = pathlib.Path.cwd()
os.chdir(next(p for p in (here, *here.parents) if (p / 'configs').is_dir()))

# %%
# %matplotlib inline
import jax.numpy as jnp
import matplotlib
import numpy as np
import tabulate
from IPython.display import Markdown

from configs import cosine640, quickstart
from siri_jax import plugins
from siri_jax.algorithm import schedule_presets
from siri_jax.analysis import runs, seeds
from siri_jax.analysis.figures import schedule, style
from siri_jax.config import cost_model, cost_table, plan
from siri_jax.data import load
from siri_jax.models import flops
from siri_jax.models.hf import initial
from tools import recorded_runs
from tools.benchmarks import full_size

matplotlib.rcParams['figure.dpi'] = 160

# %% [markdown]
"""
## What there is

A schedule is a function of the step in `siri_jax/algorithm/schedules.py`. Its
settings for a pair of caps and a cycle stand in
`siri_jax/algorithm/schedule_presets.py`, a line each; nothing else lists it.
"""


# %%
def summary(name):
  """The first line of a schedule's docstring."""
  return plugins.function('schedule', name).__doc__.splitlines()[0]


LOW, HIGH, PERIOD = 8192, 16_384, 640  # The paper's 1.5B.
lines = schedule_presets.presets(LOW, HIGH, PERIOD)
rows = [(name, summary(name), f'`{kw}`') for name, kw in lines.items()]
Markdown(tabulate.tabulate(rows, ('schedule', 'it is', 'settings'), 'github'))

# %% [markdown]
"""
One cycle of each, between the paper's caps (its Figure 3 has the stair, the
cosine and the stair-cosine). Grey is compression: the cap has yet to reach its
next bottom.
"""

# %%
schedule.draw(cost_table.every(lines, PERIOD))

# %% [markdown]
"""
## One of your own

A function that JAX can trace, its settings by keyword:
"""


# %%
def sawtooth(step, *, low, high, period):
  """Falls evenly for a whole cycle, then jumps back up."""
  share = (jnp.asarray(step) % period) / (period - 1)
  return jnp.asarray(jnp.round(high - (high - low) * share), jnp.int32)


# %% [markdown]
"""
In `siri_jax/algorithm/schedules.py`, with a line in
`siri_jax/algorithm/schedule_presets.py`, it is in the figures, the
ablations, the plans and the tests, and
`configs/quickstart.py:sawtooth` trains with it. From a module of your own it
is named in a config, `c.schedule = 'my_module:sawtooth'`; here that module
is this notebook:
"""

# %%
settings = dict(low=LOW, high=HIGH, period=PERIOD)
shapes = cost_table.every({**lines, '__main__:sawtooth': settings}, PERIOD)
schedule.draw({name: shapes[name] for name in ('cosine', '__main__:sawtooth')})

# %% [markdown]
"""
## What a cap does to the lengths

Responses would have some lengths without a cap: their natural lengths. Two
settings:

- the paper's: DeepSeek-R1-Distill-Qwen-1.5B, 128 prompts of 8 samples. Of its
  natural lengths the paper tells means only. Assumed is a lognormal under
  which a cap of 16,384 leaves the mean that Table 1 states for AMC, 8,449
  tokens; MATH500's is 4,745 and AIME24's 12,333.
- the built-in task's, as `configs/quickstart.py` states it: measured on the
  policy that its warm start gives.
"""

# %%
PAPER, SMALL = "the paper's 1.5B", 'the built-in task'
paper = cosine640.get_config()
small = plan.make(quickstart.get_config())
task, _ = load.load_task(small.c)

CYCLES = {
  PAPER: (LOW, HIGH, PERIOD),
  SMALL: (quickstart.LOW, quickstart.HIGH, quickstart.PERIOD),
}
LENGTHS = {
  PAPER: cost_model.lognormal(**paper.uncapped_length_kw),
  SMALL: cost_model.lognormal(**small.c.uncapped_length_kw),
}
SETTINGS = {
  PAPER: dict(
    samples=paper.prompts_per_step * paper.group_size,
    prompt=85.0,  # Tokens: the median of DeepScaleR's training prompts.
    forward=flops.forward(full_size.SHAPES['1.5b']),
    epochs=paper.epochs,
  ),
  SMALL: cost_table.setting(small, task, initial.shape_of(small.c, task.vocab)),
}

fig, axes = style.sheet(2, 2, width=style.PAGE, heights=(1.5, 1.1))
for (ax, below), name in zip(axes.T, CYCLES, strict=True):
  low, high, _ = CYCLES[name]
  caps = np.unique(np.linspace(1, 1.25 * high, 400).round())
  lengths = LENGTHS[name]
  longest = cost_model.longest(lengths, SETTINGS[name]['samples'])
  for label, of, colour in (
    ('longest of a step', longest, style.BLACK),
    ('mean response', lengths, style.BLUE),
  ):
    ax.plot(caps, cost_model.capped(of, caps), color=colour, label=label)
  below.plot(caps, 100 * cost_model.share_cut(lengths, caps), color=style.BLUE)
  for panel in (ax, below):
    panel.axvspan(low, high, color=style.SHADE, linewidth=0, zorder=0)
    panel.set_xlim(0, caps[-1])
    panel.set_ylim(bottom=0)
    panel.locator_params('x', nbins=5)
  ax.fill_between([], [], color=style.SHADE, label='where the cap swings')
  ax.set_title(name, fontsize=style.TEXT)
  below.set_xlabel('cap, tokens')
axes[0, 0].set_ylabel('tokens')
axes[1, 0].set_ylabel('responses cut, %')
style.legend(fig, [axes[0, 0]], columns=3)
fig

# %% [markdown]
"""
With hundreds of samples a step some response reaches the cap nearly always,
so that the wait for the longest is the cap itself. The mean response feels
the cap far less: most responses end before it.

## What a cycle costs

Against the highest cap throughout, in %. FLOPs are those of sampling and of
training, with causal attention by half: attention over long sequences is a
large part of the 1.5B's, which saves more of them than tokens; prompts, which
no cap shortens, are a large part of the built-in task's, which saves less.
The wait is in decoding steps, each sample having a slot of its own.
"""


# %%
def shares(name):
  """What a cycle of each schedule costs, % of the highest cap throughout."""
  low, high, period = CYCLES[name]
  shapes = cost_table.every(schedule_presets.presets(low, high, period), period)
  whole = cost_model.estimate_cost(
    LENGTHS[name], np.full(period, high), **SETTINGS[name]
  )
  return {
    label: 100
    * np.divide(
      cost_model.estimate_cost(LENGTHS[name], caps, **SETTINGS[name]), whole
    )
    for label, caps in shapes.items()
  }


SHARES = {name: shares(name) for name in CYCLES}
rows = [
  (label, *(x for found in SHARES.values() for x in found[label]))
  for label in lines
]
heads = [
  f'{name}: {what}' for name in CYCLES for what in ('tokens', 'FLOPs', 'wait')
]
Markdown(
  tabulate.tabulate(rows, ('schedule', *heads), 'github', floatfmt='.1f')
)

# %%
MARKS = {
  'tokens': ('o', style.BLUE),
  'FLOPs': ('s', style.SET_COLOURS[0]),
  'wait': ('D', style.BLACK),
}
fig, axes = style.sheet(1, 2, width=style.PAGE, heights=1.9, sharey=True)
for ax, (name, found) in zip(axes[0], SHARES.items(), strict=True):
  columns = zip(*found.values(), strict=True)
  for (what, (mark, colour)), percent in zip(
    MARKS.items(), columns, strict=True
  ):
    ax.plot(percent, list(found), mark, ms=4, color=colour, label=what)
  ax.set_title(name, fontsize=style.TEXT)
  ax.set_xlabel('a cycle, % of the highest cap throughout')
  ax.set_xlim(70, 102)
axes[0, 0].invert_yaxis()
style.legend(fig, [axes[0, 0]], columns=3)
fig

# %% [markdown]
"""
All that swing have the same mean cap over a cycle, three quarters of the
highest, and come to about the same; the wait is shorter by just that quarter.
What is saved in tokens depends on how many responses meet the cap, and so on
the natural lengths.

## When the natural lengths are others

The same cycle on the 1.5B, its natural lengths scaled from a quarter to four
times; the dot is the assumption above.
"""

# %%
natural = paper.uncapped_length_kw
scales = np.geomspace(0.25, 4, 25)
shapes = cost_table.every(lines, PERIOD)
shapes = {label: caps for label, caps in shapes.items() if np.ptp(caps)}
scaled = [
  cost_model.lognormal(mean=x * natural.mean, median=x * natural.median)
  for x in scales
]
whole = [
  cost_model.estimate_cost(x, np.full(PERIOD, HIGH), **SETTINGS[PAPER])
  for x in scaled
]
fig, axes = style.sheet(1, 2, width=style.PAGE, heights=1.8, sharey=True)
for i, ((label, caps), drawn) in enumerate(style.cycled(shapes.items())):
  own = [cost_model.estimate_cost(x, caps, **SETTINGS[PAPER]) for x in scaled]
  percent = 100 * np.divide(own, whole)
  wide = 3.2 - 0.6 * i  # Some lie on one another.
  for ax, values in zip(axes[0], percent.T[:2], strict=True):
    ax.plot(scales * natural.mean, values, label=label, lw=wide, **drawn)
    ax.plot(natural.mean, values[12], 'o', ms=4, color=drawn['color'])
for ax, what in zip(axes[0], ('tokens', 'FLOPs'), strict=True):
  ax.set_title(what, fontsize=style.TEXT)
  ax.set_xscale('log', base=2)
  ax.set_xticks([2500, 5000, 10_000, 20_000, 40_000])
  ax.xaxis.set_major_formatter('{x:,.0f}')
  ax.set_xlabel('mean natural length, tokens')
axes[0, 0].set_ylabel('a cycle, % of the\nhighest cap throughout')
style.legend(fig, [axes[0, 0]], columns=3)
fig

# %% [markdown]
"""
Short responses never meet the cap, and a schedule saves nothing; endless ones
always do, and it saves tokens by the quarter by which its mean cap is lower,
and more of the FLOPs.

## What runs took

A plan is for a policy that does not change, and one in training adapts to its
cap. Beside the plans, what the runs of the ablation in `section53` took, each
of 144 steps on the built-in task: a dot a seed.
"""

# %%
folders = recorded_runs.unpack('section53').glob('schedule=*')
arms = seeds.of(runs.read_all(sorted(folders)))
fig, axes = style.sheet(1, width=style.PAGE, heights=1.9)
ax = axes[0, 0]
rows = []
for arm in arms:
  caps = arm.longest.column('cap')
  planned = cost_model.estimate_cost(
    LENGTHS[SMALL], caps, **SETTINGS[SMALL]
  ).tokens
  taken = [run.column('tokens').sum() for run in arm.runs]
  rows.append((arm.label, planned / 1e6, np.mean(taken) / 1e6))
  dots = np.divide(taken, 1e6), [arm.label] * len(taken)
  ax.plot(
    planned / 1e6,
    arm.label,
    'D',
    ms=6,
    color=style.BLACK,
    mfc='w',
    label='planned',
  )
  ax.plot(*dots, 'o', ms=4, color=style.BLUE, label='taken, by seed')
ax.set_xlabel('response tokens of the run, millions')
ax.set_xlim(left=0)
ax.invert_yaxis()
style.legend(fig, [ax])
fig

# %%
heads = ('arm', 'planned, M tokens', 'taken, M tokens, mean')
Markdown(tabulate.tabulate(rows, heads, 'github', floatfmt='.2f'))

# %% [markdown]
"""
By the plan a cosine takes nine tenths of the constant cap's tokens; it took
less than two thirds. Under a cap that never bites responses grew, and where
one had been low they stayed short. On this task a swinging cap saves most by
what it makes of the policy, which no plan can tell.

The samples of a run, a cut one counting as longer than what is seen of it,
bring a plan nearer to that run: for the README's two, 2.58 million tokens
of 2.67 taken under the constant cap, and 1.66 of 1.76 under the cosine. What
is left is how lengths moved between the steps whose samples are kept.

A plan from a run of your own:

    python -m siri_jax.main --config=configs/quickstart.py --dry_run \\
      --natural_lengths=runs/quickstart

or here, `lengths = costs.observed(*budget.sampled('runs/quickstart'))`, then
`costs.of(lengths, caps, **SETTINGS[SMALL])`.
"""
