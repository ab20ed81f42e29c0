# %% [markdown]
"""
# SIRI beside other length-efficient methods

Twelve methods on problems of 5 to 10 steps, five seeds each, with the same SFT
policy, batch, learning rate and number of steps. They are read after 700,000
response tokens trained on, which every run reached. In square brackets:
intervals over the seeds, which hold together at 95 % in each half of the
methods.

- **LASER-D is ahead of SIRI**: as accurate, 97.2 and 96.2 %, and 21.3 tokens
  shorter [10.0, 32.6].
- **SIRI and DAPO come next, and are equal.** SIRI is as accurate as the highest
  cap throughout, and 31.0 tokens shorter [12.8, 49.2] in the first half, 29.2
  [11.9, 46.4] in the second. SIRI minus DAPO: -1.5 points [-13.0, +9.9] and
  -2.7 tokens [-20.7, +15.2].
- **DAPO pays in sampled tokens.** It discards groups of equal rewards. After
  700,000 sampled tokens it is at 74.6 %, SIRI still at 94.2 %. The same holds
  for GRPO-LEAD, at 81.3 % then.
- **ThinkPrune, Efficient Reasoning, HAPO and GRPO-LEAD** are as accurate as
  SIRI and 24.6 to 34.0 tokens longer, about as long as under the highest cap.
  HAPO compares with a problem's shortest right response so far. It shortens
  from step 40 on, when problems come back: 45.3 tokens at 1,300,000 trained on,
  and 91.4 %.
- **L1-Max** is 22.8 tokens shorter than SIRI [11.0, 34.7]. Its seeds go from
  64.8 to 99.7 %, so no difference in accuracy can be seen.
- **DeepScaleR** is 28.6 points behind SIRI [16.8, 40.4]: for three fifths of
  its steps its stages allow 44 tokens, which is too few for these problems.
- **The Kimi length reward** gets ever shorter and loses its accuracy: 62.0 %,
  and 34.6 % at the end. **AdaptThink** has seeds from 19.5 to 87.7 %.

With one batch and rate for all, a cap that swings is among the best methods.
LASER-D's reward is better: its target follows the difficulty of a problem. Each
method has one group of settings here, scaled to 132 tokens, and no tuning. This
is no reproduction of a paper.
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

They were run in two halves of six methods, on two machines. The SFT policy of a
seed is not the same to the bit on both, so `constant` and `SIRI` were run on
both, and a method is compared with those of its own half.
"""

# %%
# !mkdir -p runs/rivals && tar -xzf rivals.tar.gz -C runs/rivals
BUDGETS = [700_000, 1_300_000]  # Response tokens trained on.
FIRST = BUDGETS[0]
HALVES = {
  half: siri_jax.load_ablation(f'runs/rivals/{half}')
  for half in ('first', 'second')
}
each = pd.concat({h: a.seeds_at_cost(BUDGETS) for h, a in HALVES.items()})
each.index = each.index.droplevel(1).rename('half')

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
    for ablation in HALVES.values()
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
- **ThinkPrune** and **L1-Max** write a number of tokens into the prompt. The
  SFT policy has not seen such prompts, so they start at 51.8 and 52.0 %, the
  others of their halves at 61.9 and 62.5 %.
- **DeepScaleR** and **DAPO** raise the cap in stages at the same share of their
  steps as in their papers: DAPO has 66 tokens for 13 of 80 steps, DeepScaleR 44
  for 47 and 88 for 22 more.
- **LASER-D** measures its targets every 5 steps on 32 problems, in the paper
  every 20 steps on 500. **HAPO** has groups of 8, in the paper of 2.

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
shown = shown.pivot_table(
  index=['at', 'half', 'arm'],
  columns='seed',
  values='value',
  aggfunc='first',
  sort=False,
)
shown.sort_index(level='at', sort_remaining=False).fillna('')

# %% [markdown]
"""
## The table

Means over the seeds with their standard errors. `start`: before the first
update, with the method's own prompts.
"""


# %%
def means(budgets, cost='tokens'):
  """The means of both halves at some budgets of a cost."""
  return pd.concat(
    {
      half: ablation.at_cost(budgets, cost=cost).set_index(['at', 'arm'])
      for half, ablation in HALVES.items()
    },
    names=['half'],
  )


table = means(BUDGETS)
MEASURES = ['accuracy', 'mean_accuracy', 'length']
table[['runs', *(name for m in MEASURES for name in (m, f'{m}_se'))]].round(1)

# %%
starts = {}
for half, ablation in HALVES.items():
  points = siri_jax.table(ablation.runs, 'evaluations')
  points = points[points['step'] == 0].groupby('setting', sort=False)
  starts[half] = (100 * points['accuracy'].mean()).round(1)
pd.concat(starts, names=['half', 'method']).to_frame('start, %')

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
rows = {}
for half, ablation in HALVES.items():
  here = each[each['at'] == FIRST].loc[half]
  others = [arm for arm in ablation.arms if arm != 'SIRI']
  for arm in others:
    row = {}
    for measure in ('accuracy', 'length'):
      there = here.pivot(index='seed', columns='arm', values=measure)
      gaps = (there['SIRI'] - there[arm]).dropna()
      found = siri_jax.contrast(gaps, 2 * len(others))
      row[measure] = f'{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]'
    rows[half, arm] = {**row, 'seeds': len(gaps)}
pd.DataFrame(rows).T

# %% [markdown]
"""
## At the end

After 80 steps each, whatever they cost; `tokens` are those trained on.
"""

# %%
HALVES['first']

# %%
HALVES['second']

# %% [markdown]
"""
## Accuracy against length

At the first budget; bars are standard errors over the seeds. Better is further
up and to the left.
"""

# %%
OFFSETS = {  # Of labels that would cover each other, points.
  'SIRI': (-32, -12),
  'HAPO': (-38, -10),
  'Efficient Reasoning': (-112, 3),
}
figure, panels = plt.subplots(
  2, 1, figsize=(8.5, 8), sharex=True, sharey=True, layout='constrained'
)
for axes, half in zip(panels, HALVES, strict=True):
  for arm, row in table.loc[half, FIRST].iterrows():
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
      xytext=OFFSETS.get(arm, (5, 5)),
      textcoords='offset points',
    )
  axes.set(title=f'{half} half', ylabel='accuracy, %')
  axes.spines[['top', 'right']].set_visible(False)
panels[-1].set(xlabel='mean response length, tokens')
plt.show()

# %%
siri_jax.plot(HALVES['first'].runs, 'cost')

# %%
siri_jax.plot(HALVES['second'].runs, 'cost')

# %% [markdown]
"""
## Sampled tokens

A method that discards groups, or samples shorter responses than it trains on,
pays in sampled tokens. Equal sampled tokens:
"""

# %%
sampled = means([FIRST], cost='sampled')
sampled[['runs', 'accuracy', 'accuracy_se', 'length', 'length_se']].round(1)
