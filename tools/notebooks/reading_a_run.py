# %% [markdown]
"""
# Reading a real run

Every figure that siri_jax draws, from run folders alone. The folders here are
those of the ablation in `section53.ipynb`, kept small: seven settings of the
cap, three seeds each, 144 updates of the built-in task. Put folders of your
own into `RUNS`, finished or still going on, and run the page again.

All of it is one command, too:

    python -m siri_jax.commands.figures RUN [RUN ...] --out=figures
    python -m siri_jax.commands.report RUN [RUN ...] --follow
"""

# %%
import os
import pathlib

# Started here or at the repository's root: names of files count from there.
here = pathlib.Path.cwd()
os.chdir(next(p for p in (here, *here.parents) if (p / 'configs').is_dir()))

# %% [markdown]
"""
`AGAIN = True` trains the quickstart's run, four minutes on two cores, and reads
that instead; it goes on where it was interrupted.
"""

# %%
import siri_jax
from tools import recorded_runs

AGAIN = False
RUNS = sorted(recorded_runs.unpack('section53').glob('schedule=*'))
if AGAIN:
  config = siri_jax.load_config('configs/quickstart.py')
  RUNS = [siri_jax.train(config, 'runs/reading').path]

# %%
# %matplotlib inline
import matplotlib
import pandas as pd

matplotlib.rcParams['figure.dpi'] = 160
pd.set_option('display.precision', 2)


def show(figure):
  """A figure of the runs, or why there is none."""
  try:
    return siri_jax.plot(runs, figure)
  except ValueError as none:
    return f'Not drawn: {none}'


# %% [markdown]
"""
## The runs

Runs that were set alike but for their seed are one setting. A setting's label
is what sets it apart from the others.
"""

# %%
runs = [siri_jax.load_run(folder) for folder in RUNS]
steps = siri_jax.table(runs, 'steps')
steps.groupby('setting', sort=False).agg(
  seeds=('seed', 'nunique'), updates=('step', lambda step: step.max() + 1)
)

# %% [markdown]
"""
One run shows its evaluations:
"""

# %%
runs[0]

# %% [markdown]
"""
## Tables

One row a step, an evaluation or a sample, of all runs: pandas does the rest.
"""

# %%
steps[['setting', 'seed', 'step', 'cap', 'length_mean', 'accuracy']].head()

# %%
evaluations = siri_jax.table(runs, 'evaluations')
ends = evaluations[evaluations.step == evaluations.step.max()]
ends.assign(**{'accuracy, %': 100 * ends.accuracy}).groupby('setting')[
  ['accuracy, %', 'length']
].agg(['mean', 'sem'])

# %% [markdown]
"""
## The caps

Every schedule that there is, over one cycle (the paper's Figure 3), then the
caps that these runs had. Grey is compression.
"""

# %%
show('schedules')

# %%
show('schedule')

# %% [markdown]
"""
## Cap, length and accuracy

The paper's Figures 4, 5 and 8. Lines are means over the seeds, bands and bars
reach from the lowest to the highest. Accuracy in training is under the cap of
the step, which is why it dips where the cap is low; held-out accuracy is under
the highest cap throughout.
"""

# %%
show('training')

# %% [markdown]
"""
The same over one another, as in the paper's Figure 7.
"""

# %%
show('overlay')

# %% [markdown]
"""
## Accuracy against tokens

The paper's Figure 1: each setting's way from its start through compressed and
expanded points. The grey line joins the points that none beats: none is as
accurate in fewer tokens.
"""

# %%
show('pareto')

# %% [markdown]
"""
## How far the length lags behind the cap

The paper sees 100 to 200 steps. Here the lag is the shift at which
length and cap correlate best, with a straight line taken off both; its
interval is a bootstrap over blocks of steps, a quarter of a cycle each, of all
seeds. It tells how sure the shift is, not that the length has to follow: a
policy that has grown short stays so, and the correlation is that of the whole
run, its first cycles above all.
"""

# %%
show('lag')

# %%
siri_jax.table(runs, 'lag')

# %% [markdown]
"""
## Right, wrong and cut samples

Mean lengths in training, and the share that the cap cut.
"""

# %%
show('outcomes')

# %% [markdown]
"""
## Words

The paper's Figure 6, for the words of the task: the built-in one has `wait`
alone, with which a response checks a step again. Right and wrong answers are
counted apart, for what is right after a compression is another mix of
problems than before. Of the small runs one setting kept its texts.
"""

# %%
show('words')

# %%
counted = siri_jax.table(runs, 'words')
counted[counted.cycle == 1].groupby(
  ['setting', 'answers', 'word', 'point'], sort=False
)[['a_response', 'per_1000_tokens', 'samples']].mean()

# %% [markdown]
"""
## Entropy

The paper's Figures 9 and 10, where it falls in compression, rises in
expansion and does not collapse.
"""

# %%
show('entropy')

# %% [markdown]
"""
## Accuracy at every cap

From the samples of the evaluations under the highest cap: one longer than a
cap counts as wrong under it.
"""

# %%
show('caps')

# %% [markdown]
"""
## Into a paper

Column width, letters of 7 and 8 points, colours that colour-blind people tell
apart; as PNG and PDF:

    siri_jax.plot(runs, 'overlay').savefig('overlay.pdf')
"""
