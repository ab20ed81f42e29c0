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
import json
import os
import pathlib
import tempfile

# Paths are relative to the repository's root.
here = pathlib.Path.cwd()
os.chdir(next(p for p in (here, *here.parents) if (p / 'configs').is_dir()))

# %%
# %matplotlib inline
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import siri_jax
from tools import recorded_runs

matplotlib.rcParams['figure.dpi'] = 160
matplotlib.rcParams['font.size'] = 7
pd.set_option('display.precision', 1)

# %% [markdown]
"""
## Every schedule

A schedule is a function of the step in `siri_jax/algorithm/schedules.py`. One
cycle of each, with the caps of the runs in `section53.ipynb`; the paper's
Figure 3 has the stair, the cosine and the stair-cosine. Grey is compression:
the cap has yet to reach its next bottom.
"""

# %%
ablation = siri_jax.load_ablation(recorded_runs.unpack('section53'))
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
  'configs/quickstart.py',
  schedule=sawtooth,
  schedule_kw=dict(low=46, high=92, period=54),
)
fig, ax = plt.subplots(figsize=(5.5, 1.5), layout='constrained')
ax.plot(siri_jax.caps(config), label='sawtooth')
ax.plot(
  siri_jax.caps(siri_jax.load_config('configs/quickstart.py')), label='cosine'
)
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
  Prompts are the built-in task's: too short, but a small part of the cost.
- the built-in task: measured on the policy after SFT.

FLOPs are those of sampling and of training, with causal attention by half. The
wait is in decoding steps, each sample having a slot of its own. All is for a
policy that does not change. Each number is a percentage of the highest cap
throughout; * marks the config's own schedule.
"""

# %%
MODEL = pathlib.Path(tempfile.mkdtemp())  # The 1.5B's config.json; no weights.
(MODEL / 'config.json').write_text(
  json.dumps(
    {
      'architectures': ['Qwen2ForCausalLM'],
      'model_type': 'qwen2',
      'vocab_size': 151_936,
      'hidden_size': 1536,
      'intermediate_size': 8960,
      'num_hidden_layers': 28,
      'num_attention_heads': 12,
      'num_key_value_heads': 2,
      'rope_theta': 10_000,
      'rms_norm_eps': 1e-6,
      'tie_word_embeddings': False,
    }
  )
)


def paper(**settings):
  """The config of the paper's run on one device, without its files."""
  return siri_jax.load_config(
    'configs/cosine640.py',
    task='arithmetic',
    task_kw=dict(seed=0, problems=256, held_out=1),
    grading_rule='exact',
    grading_rule_kw=dict(kind='continuation'),
    model_path=str(MODEL),
    mesh_kw=dict(fsdp=1),
    micro_batch_rows=1,
    **settings,
  )


def shares(config):
  """What a cycle of each schedule costs, % of the highest cap throughout."""
  found = siri_jax.costs(config).set_index('schedule')
  kinds = {'tokens': 'tokens', 'operations': 'FLOPs', 'wait': 'wait'}
  return pd.DataFrame(
    {name: 100 * found[f'{kind}_share'] for kind, name in kinds.items()}
  )


SETTINGS = {
  "the paper's 1.5B": paper(),
  'the built-in task': siri_jax.load_config('configs/quickstart.py'),
}
SHARES = {name: shares(config) for name, config in SETTINGS.items()}
pd.concat(SHARES, axis=1)

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
natural = SETTINGS["the paper's 1.5B"].uncapped_length_kw
scales = np.geomspace(0.25, 4, 9)
cosine = [
  shares(
    paper(
      uncapped_length_kw=dict(mean=x * natural.mean, median=x * natural.median)
    )
  ).loc['cosine *']
  for x in scales
]
by_mean = pd.DataFrame(cosine, index=scales * natural.mean)
fig, ax = plt.subplots(figsize=(4.5, 1.8), layout='constrained')
for kind in by_mean:
  (line,) = ax.plot(by_mean.index, by_mean[kind], label=kind)
  ax.plot(
    natural.mean, by_mean[kind].iloc[4], 'o', ms=4, color=line.get_color()
  )
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
rows.dropna()  # "Short, then long" is no cycle.

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
