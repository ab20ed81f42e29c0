# %% [markdown]
"""
# Reading a run

This notebook draws every figure of siri_jax from run folders. The folders are
those of the ablation in `section53.ipynb` without checkpoints: seven settings
of the cap, three seeds each, 144 updates of the built-in task. To see a run of
your own, finished or not, write `RUNS = [siri_jax.load_run(FOLDER)]`.

The same figures by one command:

    python -m siri_jax.commands.figures RUN [RUN ...] --out=figures
    python -m siri_jax.commands.report RUN [RUN ...] --follow
"""

# %%
# %matplotlib inline
# %config InlineBackend.print_figure_kwargs = {'dpi': 160}
# !mkdir -p runs/section53 && tar -xzf section53.tar.gz -C runs/section53
import siri_jax

RUNS = siri_jax.load_ablation('runs/section53').runs

# %% [markdown]
"""
## The runs

Runs that differ only in their seed are one setting. The label of a setting
names what differs from the other settings.
"""

# %%
steps = siri_jax.table(RUNS, 'steps')
steps.groupby('setting', sort=False).agg(
  seeds=('seed', 'nunique'), updates=('step', lambda step: step.max() + 1)
)

# %% [markdown]
"""
One run shows its evaluations:
"""

# %%
RUNS[0]

# %% [markdown]
"""
## Tables

DataFrames of all runs have a row for each step, evaluation or sample.
"""

# %%
steps[['setting', 'seed', 'step', 'cap', 'length_mean', 'accuracy']].head()

# %%
evaluations = siri_jax.table(RUNS, 'evaluations')
ends = evaluations[evaluations.step == evaluations.step.max()]
ends.assign(**{'accuracy, %': 100 * ends.accuracy}).groupby('setting')[
  ['accuracy, %', 'length']
].agg(['mean', 'sem']).round(2)

# %% [markdown]
"""
## The caps

Every schedule over one cycle (the paper's Figure 3), then the caps of these
runs. Grey is compression.
"""

# %%
siri_jax.plot(RUNS, 'schedules')

# %%
siri_jax.plot(RUNS, 'schedule')

# %% [markdown]
"""
## Cap, length and accuracy

The paper's Figures 4, 5 and 8. Lines are means over the seeds; bands and bars
are their range. Accuracy in training is under the cap of the step, so it falls
when the cap is low. Held-out accuracy is always under the highest cap.
"""

# %%
siri_jax.plot(RUNS, 'training')

# %% [markdown]
"""
The same with all settings in one panel, as in the paper's Figure 7.
"""

# %%
siri_jax.plot(RUNS, 'overlay')

# %% [markdown]
"""
## Accuracy against tokens

The paper's Figure 1, without the paths: the newest compressed and expanded
point of each cap that cycles, and the last evaluation of the others.
"""

# %%
siri_jax.plot(RUNS, 'pareto')

# %% [markdown]
"""
## The lag of the length behind the cap

The paper reports 100 to 200 steps. Here the lag is the shift with the highest
correlation of length and cap, after linear trends are removed. Its interval is
from a bootstrap over blocks of steps, a quarter of a cycle each, of all seeds.
The interval is about the shift only. It does not show that the length follows
the cap in every cycle: a policy that has become short stays short, and the
first cycles dominate the correlation.
"""

# %%
siri_jax.plot(RUNS, 'lag')

# %%
siri_jax.table(RUNS, 'lag')

# %% [markdown]
"""
## Correct, incorrect and truncated samples

Mean lengths in training, and the share of samples that the cap truncates.
"""

# %%
siri_jax.plot(RUNS, 'outcomes')

# %% [markdown]
"""
## Words

The paper's Figure 6, for the words of the task. The built-in task has only
`wait`, which starts a check of a step. Correct and incorrect answers are
counted separately, because the problems with correct answers change with
compression. Only one setting of these runs has the texts of its samples.
"""

# %%
siri_jax.plot(RUNS, 'words')

# %%
counted = siri_jax.table(RUNS, 'words')
counted[counted.cycle == 1].groupby(
  ['setting', 'answers', 'word', 'point'], sort=False
)[['per_response', 'per_1000_tokens', 'samples']].mean().round(2)

# %% [markdown]
"""
## Entropy

The paper's Figures 9 and 10. There entropy falls in compression, rises in
expansion and does not collapse.
"""

# %%
siri_jax.plot(RUNS, 'entropy')

# %% [markdown]
"""
## Accuracy at every cap

From the samples of the evaluations under the highest cap. A sample longer than
a cap counts as wrong.
"""

# %%
siri_jax.plot(RUNS, 'caps')

# %% [markdown]
"""
## For a paper

Figures have column width, letters of 7 and 8 points, and colours for
colour-blind readers. To write PNG and PDF:

    siri_jax.plot(RUNS, 'overlay').savefig('overlay.pdf')
"""
