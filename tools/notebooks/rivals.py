# %% [markdown]
"""
# SIRI beside other length-efficient methods

Six methods on problems of 5 to 10 steps, five seeds each, from the same SFT
policy, with the same batch, learning rate and number of steps. They are read
after 700,000 response tokens trained on, which every run reached. In square
brackets: intervals over the seeds, which hold together at 95 % in each table.

- **SIRI and DAPO are ahead, and equal.** SIRI is 31.0 tokens shorter than the
  highest cap throughout [12.8, 49.2], DAPO 28.3 [3.3, 53.2]; their accuracies,
  94.2 and 95.8 %, are those of the highest cap, 94.3 %. Between the two: -1.5
  points [-13.0, +9.9] and -2.7 tokens [-20.7, +15.2].
- **DAPO pays in sampled tokens.** It discards groups of equal rewards. After
  700,000 sampled tokens it is at 74.6 %, SIRI still at 94.2 %.
- **DeepScaleR** is 28.6 points behind SIRI [16.8, 40.4]: for three fifths of
  its steps its stages allow 44 tokens, which is too few for these problems.
- **ThinkPrune** is as accurate as SIRI, and 34.0 tokens longer [24.7, 43.3].
  From step 40 its cap is 99 tokens; it gets shorter then, and less accurate.
- **AdaptThink** has seeds from 19.5 to 87.7 %, so its 32.3 points behind SIRI
  may be chance [-22.9, +87.5].

So of methods that keep one batch and rate for all, a cap that swings is among
the best, and does not stand out. Each method has one group of settings here,
scaled to 132 tokens, and no tuning. This is no reproduction of a paper.
"""

# %%
# %matplotlib inline
# %config InlineBackend.print_figure_kwargs = {'dpi': 160}
import matplotlib.pyplot as plt
import pandas as pd

import siri_jax

# %% [markdown]
"""
## The runs

They are stored without checkpoints (`tools/keep_small.py`). This trains them
again; an interrupted ablation continues:

    siri-jax ablate --config=longer --grid=configs/rivals.json --out=runs/rivals

The first six methods of that file were run.
"""

# %%
# !mkdir -p runs/rivals && tar -xzf rivals.tar.gz -C runs/rivals
BUDGETS = [700_000, 1_300_000]  # Response tokens trained on.
ablation = siri_jax.load_ablation('runs/rivals')
each = ablation.seeds_at_cost(BUDGETS)

# %% [markdown]
"""
What each method was given. Its caps are scaled so that its longest response has
132 tokens; its other numbers are in `configs/recipes/`.
"""

# %%
GIVEN = ('reward', 'advantage', 'loss', 'aggregation', 'budget', 'collect')


def given(run):
  """The plug-ins of a run, and its caps in tokens."""
  c = run.config
  caps = sorted({int(cap) for cap in run.column('cap')})
  own = {name: c[name] for name in GIVEN}
  own['reward'] = ' + '.join([c['reward'], *c['text_rewards']])
  return {'caps': f'{caps[0]} to {caps[-1]}' if caps[1:] else caps[0], **own}


pd.set_option('display.max_colwidth', None)
pd.DataFrame(
  {
    arm: given(next(iter(own.values())))
    for arm, own in ablation.by_seed.items()
  }
).T

# %% [markdown]
"""
What could not apply at this size:

- Batch, learning rate, optimiser and temperature are the quickstart's for all.
  Those of the papers belong to models of billions of parameters.
- **AdaptThink** has one mini-batch a step, as in its paper. With the
  quickstart's four its accuracy fell to 3 % on shorter problems. Its pass over
  all problems before the first update counts as sampled tokens.
- **ThinkPrune** writes a number of tokens into the prompt. The SFT policy has
  not seen such prompts, so it starts at 51.8 %, the others at 61.9 %.
- **DeepScaleR** and **DAPO** raise the cap in stages at the same share of their
  steps as in their papers: DAPO has 66 tokens for 13 of 80 steps, DeepScaleR 44
  for 47 and 88 for 22 more.

## Every run, at both budgets

Accuracy in % on 512 held-out problems, sampled once each under 132 tokens, and
mean response length. A run that ended before a budget has no entry there.
"""

# %%
shown = each.assign(
  value=[
    f'{a:.1f} @ {n:.0f}'
    for a, n in zip(each['accuracy'], each['length'], strict=True)
  ]
)
shown.pivot(index=['at', 'arm'], columns='seed', values='value').reindex(
  pd.MultiIndex.from_product([BUDGETS, ablation.arms])
).fillna('')

# %% [markdown]
"""
## The table

Means over the seeds with their standard errors. `start`: before the first
update, with the method's own prompts.
"""

# %%
start = siri_jax.table(ablation.runs, 'evaluations')
start = start[start['step'] == 0].groupby('setting', sort=False)
table = ablation.at_cost(BUDGETS).set_index(['at', 'arm'])
MEASURES = ['accuracy', 'mean_accuracy', 'length']
table[['runs', *(name for m in MEASURES for name in (m, f'{m}_se'))]].round(1)

# %%
(100 * start['accuracy'].mean()).round(1)

# %% [markdown]
"""
Against the highest cap throughout, `constant`. The intervals hold all together
at 95 %, by Bonferroni's correction; `least` is the smallest difference that an
interval shows with a power of 80 %.
"""

# %%
edges = [
  f'{m}_{part}'
  for m in ('accuracy', 'length')
  for part in ('diff', 'low', 'high', 'least')
]
table[edges].dropna().round(1)

# %% [markdown]
"""
SIRI against each method at the first budget, which every run reached: SIRI
minus the method, over the seeds. These intervals hold all together as well.
"""

# %%
FIRST = each[each['at'] == BUDGETS[0]]
others = [arm for arm in ablation.arms if arm != 'SIRI']
rows = {}
for arm in others:
  row = {}
  for measure in ('accuracy', 'length'):
    there = FIRST.pivot(index='seed', columns='arm', values=measure)
    gaps = (there['SIRI'] - there[arm]).dropna()
    found = siri_jax.contrast(gaps, 2 * len(others))
    row[measure] = f'{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]'
  rows[arm] = {**row, 'seeds': len(gaps)}
pd.DataFrame(rows).T

# %% [markdown]
"""
## At the end

After 80 steps each, whatever they cost; `tokens` are those trained on.
"""

# %%
ablation

# %% [markdown]
"""
## Accuracy against length

At the first budget; bars are standard errors over the seeds. Better is further
up and to the left.
"""

# %%
figure, axes = plt.subplots(figsize=(7.5, 4.5))
for arm, row in table.loc[BUDGETS[0]].iterrows():
  axes.errorbar(
    row['length'],
    row['accuracy'],
    xerr=row['length_se'],
    yerr=row['accuracy_se'],
    fmt='D' if arm == 'SIRI' else 'o',
    color='tab:red' if arm == 'SIRI' else 'tab:blue',
    capsize=2,
  )
  axes.annotate(
    arm,
    (row['length'], row['accuracy']),
    xytext=(-32, -12) if arm == 'SIRI' else (5, 5),
    textcoords='offset points',
  )
axes.set(xlabel='mean response length, tokens', ylabel='accuracy, %')
axes.spines[['top', 'right']].set_visible(False)
plt.show()

# %%
siri_jax.plot(ablation.runs, 'cost')

# %% [markdown]
"""
## Sampled tokens

A method that discards groups, or samples shorter responses than it trains on,
pays in sampled tokens. Equal sampled tokens:
"""

# %%
sampled = ablation.at_cost(BUDGETS[:1], cost='sampled').set_index(['at', 'arm'])
sampled[['runs', 'accuracy', 'accuracy_se', 'length', 'length_se']].round(1)
