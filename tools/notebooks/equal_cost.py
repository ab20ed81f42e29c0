# %% [markdown]
"""
# Reading runs at equal cost

SIRI's cap makes a step cheaper, so arms that end after as many steps have spent
different amounts. The 21 runs of section53.ipynb, read here where they have
spent as many response tokens:

- **After 144 steps** the constant cap has trained on 2.30M tokens, the others
  on 1.31M to 1.57M. Accuracy at the end says nothing of that.
- **At 0.4M tokens** the arms are between 91.4 and 99.0 %, and the constant cap
  is in the middle, at 95.5 %. No interval of a difference in accuracy excludes
  0, at any of the three budgets.
- **Three seeds cannot tell.** The smallest difference in accuracy that a joint
  interval would have shown at 0.4M is 6.2 points for `cosine 36`, and 20 points
  or more for the other arms.
- **In length they can**, for two of the six arms at 0.4M: `cosine 48` is 29.3
  tokens shorter than the constant cap, `stair-cosine 48` 29.8. At 1.0M all are
  about 20 to 31 tokens shorter, but one seed of the constant cap got shorter
  too, and no interval excludes 0.

So these runs neither show nor refute that a cap which swings is more accurate
at equal cost. More seeds on a task that does not saturate can: longer.ipynb.
"""

# %%
# %matplotlib inline
# %config InlineBackend.print_figure_kwargs = {'dpi': 160}
import pandas as pd

import siri_jax

# !mkdir -p runs/section53 && tar -xzf section53.tar.gz -C runs/section53
ablation = siri_jax.load_ablation('runs/section53')

# %% [markdown]
"""
## What the runs have spent

Response tokens trained on at the end, in millions, means over the seeds:
"""

# %%
ends = siri_jax.table(ablation.runs, 'evaluations')
ends = ends[ends['step'] == 144].groupby('setting', sort=False)
(ends['tokens'].mean() / 1e6).round(2)

# %% [markdown]
"""
## Accuracy and length against the tokens

A run's line joins its evaluations. A low cap costs few tokens, so its
evaluations are closer together. `siri-jax figures` draws this for any runs, and
for time as well where the runs recorded it.
"""

# %%
siri_jax.plot(ablation.runs, 'cost')

# %%
few = ablation.only('constant', 'short then long', 'cosine 48')
siri_jax.plot(few.runs, 'cost')

# %% [markdown]
"""
## At three budgets

Accuracy in %, length in tokens, each with its standard error over the seeds;
`mean_accuracy` is the mean over the tokens from 0 to the budget, the area under
the curve over its width.
"""

# %%
BUDGETS = [200_000, 400_000, 1_000_000]
table = ablation.at_cost(BUDGETS).set_index(['at', 'arm'])
values = ['accuracy', 'mean_accuracy', 'length']
table[['runs', *(name for v in values for name in (v, f'{v}_se'))]].round(1)

# %% [markdown]
"""
Against the constant cap. The intervals of a column hold all together at 95 %,
by Bonferroni's correction; `accuracy_least` is the smallest difference that
such an interval shows with a power of 80 %.
"""

# %%
edges = [
  f'{m}_{p}' for m in ('accuracy', 'length') for p in ('diff', 'low', 'high')
]
table[[*edges, 'accuracy_least']].dropna().round(1)

# %% [markdown]
"""
## One question alone

Many comparisons cost width. A question that is asked before the runs, alone,
has a narrower interval: is `cosine 48` shorter than `short then long`, the
paper's baseline, at 1.0M tokens?
"""

# %%
each = ablation.seeds_at_cost([1_000_000]).pivot(
  index='seed', columns='arm', values='length'
)
found = siri_jax.contrast(each['cosine 48'] - each['short then long'])
pd.Series(found._asdict()).round(1)

# %% [markdown]
"""
It is not shown either: 8.0 tokens shorter, with an interval from -19.3 to 3.4.
"""
