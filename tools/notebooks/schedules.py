# %% [markdown]
"""
# Schedules, and what they cost

A schedule gives the cap on a response's length at each step: few tokens
compress, many let the policy explore. This notebook draws every schedule of
siri_jax, adds one of its own, and estimates what each costs against the highest
cap throughout: tokens, floating-point operations, and the wait for the longest
response of a step.

It runs from top to bottom in seconds, and trains nothing.
"""

# %%
# %matplotlib inline
# %config InlineBackend.print_figure_kwargs = {'dpi': 160}
import warnings

import jax.numpy as jnp
import matplotlib.pyplot as plt

import siri_jax

plt.rcParams['font.size'] = 7
warnings.filterwarnings('ignore', 'IProgress')  # Of tqdm, without ipywidgets.

# %% [markdown]
"""
The recorded runs of `section53.ipynb`:
"""

# %%
# !mkdir -p runs/section53 && tar -xzf section53.tar.gz -C runs/section53
ablation = siri_jax.load_ablation('runs/section53')

# %% [markdown]
"""
## Every schedule

A schedule is a function of the step in `siri_jax/algorithm/schedules.py`. One
cycle of each, with the caps of the runs in `section53.ipynb`; the paper's
Figure 3 has the stair, the cosine and the stair-cosine. Grey is compression:
the cap has yet to reach its next bottom.
"""

# %%
siri_jax.plot(ablation.only('cosine 48').runs, 'schedules')

# %% [markdown]
"""
## One of your own

A function that JAX can trace, with its settings as keyword arguments. A config
takes the function itself; in a file of its own, `my_schedules.py`, a command
line can name it too: `--config.schedule=my_schedules:sawtooth`.
"""


# %%
def sawtooth(step, *, low, high, period):
  """Falls evenly for a whole cycle, then jumps back up."""
  share = (jnp.asarray(step) % period) / (period - 1)
  return jnp.asarray(jnp.round(high - (high - low) * share), jnp.int32)


config = siri_jax.load_config(
  'quickstart',
  schedule=sawtooth,
  schedule_kw=dict(low=46, high=92, period=54),
)
fig, ax = plt.subplots(figsize=(5.5, 1.5), layout='constrained')
ax.plot(siri_jax.caps(config), label='sawtooth')
ax.plot(siri_jax.caps(siri_jax.load_config('quickstart')), label='cosine')
ax.set(xlabel='step', ylabel='cap, tokens', ylim=(0, None))
_ = fig.legend(loc='outside right center')
# %% [markdown]
"""
## What a cycle costs

The lengths that responses would have without a cap are their natural lengths.
Two settings:

- the paper's: DeepSeek-R1-Distill-Qwen-1.5B, 128 prompts of 8 samples, caps of
  8,192 to 16,384 tokens. The paper gives only means of the natural lengths.
  Assumed is a lognormal distribution whose mean under a cap of 16,384 is that
  of AMC in Table 1, 8,449 tokens; MATH500's is 4,745 and AIME24's 12,333.
- the built-in task: measured on the policy after SFT.

FLOPs are those of sampling and of training, with causal attention by half. The
wait is in decoding steps, each sample having a slot of its own. All is for a
policy that does not change. Each number is a percentage of the highest cap
throughout; * marks the config's own schedule.
"""


# %%
def shares(config):
  """What a cycle of each schedule costs, % of the highest cap throughout."""
  names = {
    'tokens_share': 'tokens',
    'operations_share': 'FLOPs',
    'wait_share': 'wait',
  }
  found = siri_jax.costs(config).set_index('schedule')[[*names]]
  return (100 * found).rename(columns=names)


def paper(**settings):
  """The config of the paper's run."""
  return siri_jax.load_config('cosine640', **settings)


SHARES = {
  "the paper's 1.5B": shares(paper()),
  'the built-in task': shares(siri_jax.load_config('quickstart')),
}
SHARES["the paper's 1.5B"].round(1)

# %%
SHARES['the built-in task'].round(1)

# %%
fig, axes = plt.subplots(
  1, 2, figsize=(5.5, 1.9), sharey=True, layout='constrained'
)
for ax, (name, found) in zip(axes, SHARES.items(), strict=True):
  for kind, mark in zip(found, 'osD', strict=True):
    ax.plot(found[kind], found.index, mark, ms=4, label=kind)
  ax.set(title=name, xlabel='a cycle, % of the highest cap', xlim=(70, 102))
axes[0].invert_yaxis()
_ = fig.legend(*ax.get_legend_handles_labels(), loc='outside right center')
# %% [markdown]
"""
All cycles have the same mean cap, three quarters of the highest, and cost
about the same; the wait is shorter by just that quarter, because with hundreds
of samples a step some response nearly always reaches the cap. The saving in
tokens depends on how many responses meet the cap, and so on the natural
lengths. Attention over long sequences is a large part of the 1.5B's FLOPs.

## Other natural lengths

The cosine on the 1.5B, with natural lengths of a quarter to four times the
assumption (the dot).
"""

# %%
natural = paper().uncapped_length_kw
scales = [0.25, 0.5, 1, 2, 4]
cosine = {
  scale * natural.mean: shares(
    paper(
      uncapped_length_kw={
        'mean': scale * natural.mean,
        'median': scale * natural.median,
      }
    )
  ).loc['cosine *']
  for scale in scales
}
fig, ax = plt.subplots(figsize=(4.5, 1.8), layout='constrained')
for kind in ('tokens', 'FLOPs', 'wait'):
  values = [found[kind] for found in cosine.values()]
  (line,) = ax.plot(list(cosine), values, label=kind)
  ax.plot(natural.mean, values[2], 'o', ms=4, color=line.get_color())
ax.set(xscale='log', xlabel='mean natural length, tokens')
ax.set(ylabel='a cycle, % of the highest cap')
ax.set_xticks([2500, 5000, 10_000, 20_000, 40_000])
ax.xaxis.set_major_formatter('{x:,.0f}')
ax.minorticks_off()
_ = fig.legend(loc='outside right center')
# %% [markdown]
"""
Short responses never meet the cap, and a schedule saves nothing; endless ones
always do, and it saves tokens by the quarter by which its mean cap is lower.

## What runs took

An estimate is for a policy that does not change; one in training adapts to its
cap. Beside the estimates for the built-in task, what the runs of
`section53.ipynb` took: response tokens of 144 steps, % of the mean of the
constant cap's, the mean and the range of three seeds.
"""

# %%
steps = siri_jax.table(ablation.runs, 'steps')
taken = steps.groupby(['setting', 'seed'], sort=False)['tokens'].sum()
taken = 100 * taken / taken['constant'].mean()
estimate = SHARES['the built-in task']['tokens'].rename(
  lambda name: name.strip(' *')
)
rows = taken.groupby('setting', sort=False).agg(['mean', 'min', 'max'])
kinds = [name.split(' ')[0].replace('-', '_') for name in rows.index]
rows.insert(0, 'estimate', estimate.reindex(kinds).to_numpy())
rows.dropna().round(1)  # "Short, then long" is no cycle.

# %% [markdown]
"""
By the estimate a cosine takes nine tenths of the constant cap's tokens; the
runs took less than two thirds. Under a cap that never bites responses grew, and
where one had been low they stayed short. On this task a swinging cap saves most
by how it changes the policy, which no estimate for a fixed policy can show.

An estimate from the samples of a run of your own, whose cut samples count as
longer than what is seen of them:

    siri_jax.costs(config, natural_lengths='runs/quickstart')
"""
