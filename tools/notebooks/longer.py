# %% [markdown]
"""
# Longer problems: the paper's claims at equal cost

Problems of 5 to 10 steps, eleven caps, five seeds, read after equal numbers of
response tokens. docs/longer.md states the arms, the reading and the gates; it
was written before these runs. `cosine 20` is SIRI: four cycles of 20 steps from
132 to 88 tokens. In square brackets: intervals over the seeds, which hold
together at 95 % for each claim.

The paper's claims:

1. *More accurate than the highest cap throughout.* **Not borne out**: -1.2
   points [-10.4, +8.0] at 0.7M tokens, +1.5 [-6.0, +9.0] at 1.3M. Differences
   below 11.7 and 9.5 points may have been missed.
2. *Shorter than it.* **Borne out**: by 27.0 tokens [21.1, 32.8] at 0.7M and by
   27.4 [16.1, 38.6] of 100.9 at 1.3M.
3. *Each cycle is more accurate, with fewer tokens.* **In part.** From the first
   to the last compressed point: +23.7 points [+13.3, +34.1] at the same length.
   From the first to the last expanded point: 28.3 tokens shorter [18.1, 38.6],
   and +7.3 points [-5.5, +20.1].
4. *Better than a short, then a long cap.* **In part**: 15.5 tokens shorter at
   1.3M [0.2, 30.8], and as accurate, +0.5 points [-3.1, +4.1].
5. *A long cycle and the cosine are best.* **Not borne out**: the largest
   difference in accuracy is 0.2 points; 4.8 to 5.3 could have been seen.
6. *Entropy falls in compression and rises in expansion.* **Contradicted**: in
   expansion it falls by 15.5 millinats [4.3, 26.7]; in compression its change
   is +8.7 [-9.9, +27.3].

Why shorter: at the end both policies check more than 99 % of the hard steps.
Under the highest cap a response has 1.99 redundant checks a step, under SIRI's
0.80.

Of the caps that no claim names, `cosine 20 from 66`, `asymmetric 20` and
`truncation target` end 46.2, 31.3 and 34.5 tokens shorter than the highest cap.
The last one falls to 88 tokens once and stays there. So these runs show what
compression does, and nothing that a cycle adds to it.

A policy of 0.13M parameters on problems that a program makes is no evidence
about the paper's models.
"""

# %%
# %matplotlib inline
# %config InlineBackend.print_figure_kwargs = {'dpi': 160}
import numpy as np
import pandas as pd

import siri_jax

# %% [markdown]
"""
## The runs

They are stored without checkpoints (`tools/keep_small.py`). This trains them
again; an interrupted ablation continues:

    siri-jax ablate --config=longer --grid=configs/longer.json --out=runs/longer

The last four arms ran on two other machines, where the SFT policy of a seed is
not the same to the bit: `cosine 20 from 66` on one, `asymmetric 20`,
`truncation target` and `length quantile` on the other. They start at other
accuracies than the other arms of that seed. No claim reads them.
"""

# %%
# !mkdir -p runs/longer && tar -xzf longer.tar.gz -C runs/longer
BUDGETS = [700_000, 1_300_000]  # Response tokens trained on.
ablation = siri_jax.load_ablation('runs/longer')
each = ablation.seeds_at_cost(BUDGETS)
siri_jax.plot(ablation.runs, 'schedule')

# %% [markdown]
"""
Every run, at both budgets: accuracy in % on 512 held-out problems at
temperature 0.6 under 132 tokens, and mean response length.
"""

# %%
shown = each.assign(
  value=[
    f'{a:.1f} @ {n:.0f}'
    for a, n in zip(each['accuracy'], each['length'], strict=True)
  ]
)
shown.pivot(index=['at', 'arm'], columns='seed', values='value').loc[
  [(b, arm) for b in BUDGETS for arm in dict.fromkeys(each['arm'])]
]

# %% [markdown]
"""
## The claims

A contrast is a mean over the seeds. The intervals of one claim hold together at
95 %. `least` is the smallest difference that such an interval shows with a
power of 80 %.
"""


# %%
def at_budget(one, other, measure, budget):
  """The difference `one` - `other` of each seed at a budget."""
  there = each[each['at'] == budget].pivot(
    index='seed', columns='arm', values=measure
  )
  there = there.reindex(columns=[one, other])
  return (there[one] - there[other]).dropna()


def between_points(arm, kind, measure):
  """The newest point of a kind minus the first one, of each seed."""
  scale = 100 if measure == 'accuracy' else 1
  found = []
  for run in ablation.only(arm).runs:
    values = [scale * r[measure] for r in run.evals if r['kind'] == kind]
    found.append(values[-1] - values[0])
  return found


def over_phase(arm, phase):
  """The change of the entropy over a phase, in the mean from cycle 2 on."""
  found = []
  for run in ablation.only(arm).runs:
    inside = np.append(run.column('phase') == phase, False)
    edges = np.flatnonzero(np.diff(np.append(False, inside).astype(int)))
    entropy, period = run.column('entropy'), run.config['schedule_kw']['period']
    gaps = [
      entropy[end - 1] - entropy[begin]
      for begin, end in zip(edges[::2], edges[1::2], strict=True)
      if begin >= period
    ]
    found.append(1000 * np.mean(gaps))
  return found


def accuracy(one, other, *budgets):
  """The contrasts of two arms' accuracies; the claim has them above 0."""
  return [
    (
      f'{one} - {other}: accuracy at {b / 1e6}M',
      1,
      at_budget(one, other, 'accuracy', b),
    )
    for b in budgets
  ]


def length(one, other, *budgets):
  """The same of lengths, below 0."""
  return [
    (
      f'{one} - {other}: length at {b / 1e6}M',
      -1,
      at_budget(one, other, 'length', b),
    )
    for b in budgets
  ]


FIRST, LAST = BUDGETS
SIRI = 'cosine 20'
CLAIMS = {
  '1 more accurate than the highest cap': accuracy(SIRI, 'constant', *BUDGETS),
  '2 shorter than under the highest cap': length(SIRI, 'constant', *BUDGETS),
  '3 each cycle is more accurate with fewer tokens': [
    (
      f'last - first {kind} point: {measure}',
      sign,
      between_points(SIRI, kind, measure),
    )
    for kind in ('compressed', 'expanded')
    for measure, sign in (('accuracy', 1), ('length', -1))
  ],
  '4 better than a short, then a long cap': [
    *accuracy(SIRI, 'short then long', *BUDGETS),
    *length(SIRI, 'short then long', LAST),
  ],
  '5 a long cycle and the cosine are best': [
    *accuracy('cosine 40', SIRI, LAST),
    *accuracy(SIRI, 'stair 20', LAST),
    *accuracy(SIRI, 'stair-cosine 20', LAST),
  ],
  '6 entropy falls in compression, rises in expansion': [
    ('change in compression, millinats', -1, over_phase(SIRI, 'compress')),
    ('change in expansion, millinats', 1, over_phase(SIRI, 'expand')),
  ],
}


def verdict(sign, found):
  """What the gates of docs/longer.md say of a contrast."""
  low, high = sorted((sign * found.low, sign * found.high))
  return (
    'borne out' if low > 0 else 'contradicted' if high < 0 else 'not borne out'
  )


rows = []
for claim, contrasts in CLAIMS.items():
  for name, sign, values in contrasts:
    if not len(values):
      rows.append({'claim': claim, 'contrast': name, 'verdict': 'not run'})
      continue
    found = siri_jax.contrast(values, len(contrasts))
    rows.append(
      {
        'claim': claim,
        'contrast': name,
        'seeds': len(values),
        'mean': f'{found.mean:+.1f}',
        'interval': f'[{found.low:+.1f}, {found.high:+.1f}]',
        'least': f'{found.least:.1f}',
        'verdict': verdict(sign, found),
      }
    )
pd.set_option('display.max_colwidth', None)
pd.DataFrame(rows).set_index(['claim', 'contrast']).fillna('')

# %% [markdown]
"""
## Accuracy and length against the tokens trained on

Means over the seeds; with few arms the bands are their range.
"""

# %%
siri_jax.plot(ablation.only('constant', SIRI, 'short then long').runs, 'cost')

# %%
siri_jax.plot(ablation.runs, 'cost')

# %% [markdown]
"""
All arms against `constant`. These intervals hold together over the whole table,
so they are wider than those of the claims.
"""

# %%
table = ablation.at_cost(BUDGETS).set_index(['at', 'arm'])
table[
  ['runs', 'accuracy', 'accuracy_se', 'mean_accuracy', 'length', 'length_se']
].round(1)

# %%
names = [
  f'{m}_{part}'
  for m in ('accuracy', 'length')
  for part in ('diff', 'low', 'high')
]
table[[*names, 'accuracy_least']].dropna().round(1)

# %% [markdown]
"""
## Why: checks that were needed, and checks that were not

The first check of a hard step is needed, because half of the guesses there are
wrong in the traces of SFT. Every other check is redundant. Means over responses
to the held-out problems, over the seeds.
"""

# %%
checks = siri_jax.table(ablation.only('constant', SIRI).runs, 'checks')
checks = checks[checks['of'] == 'evaluation'].copy()
checks['needed, %'] = 100 * checks['needed'] / checks['hard_steps']
checks['redundant a step'] = checks['redundant'] / checks['steps']
MEASURES = ['correct', 'length', 'needed, %', 'redundant a step', 'slips_left']
checks.groupby(['setting', 'step', 'cap'])[MEASURES].mean().round(2)

# %% [markdown]
"""
By the length of the problem, at the end of the runs:
"""

# %%
end = checks[
  checks['step'] == checks.groupby('setting')['step'].transform('max')
]
end.groupby(['setting', 'steps'])[MEASURES].mean().round(2)

# %% [markdown]
"""
## Entropy
"""

# %%
siri_jax.plot(
  ablation.only('constant', SIRI, 'short then long').runs, 'entropy'
)
