"""Frequencies of words in responses before and after compression."""

import re

import numpy as np
import pandas as pd

from siri_jax.analysis import dataframes, seeds
from siri_jax.analysis import runs as run_folders
from siri_jax.analysis.figures import panels, style
from siri_jax.config import built_in_task
from siri_jax.grading import pass_at_k

# The paper's words of reflection, alternatives and progress.
PAPER = ('wait', 'hold on', 'alternatively', 'so', 'compute')
BUILT_IN = ('wait',)  # The only such word of the built-in task.
ANSWERS = {True: 'correct', False: 'incorrect'}
COLUMNS = (
  *('cycle', 'point', 'step', 'answers', 'word'),
  *('samples', 'per_response', 'per_response_se', 'per_1000_tokens'),
)
POINTS = {  # End of a compression -> colour.
  'before': style.POINTS['expanded'],
  'after': style.POINTS['compressed'],
}


def pattern(word):
  """A regular expression for a whole word or phrase, ignoring case."""
  inner = r'\s+'.join(map(re.escape, word.split()))
  return re.compile(rf'(?<!\w){inner}(?!\w)', re.IGNORECASE)


def count(text, words):
  """Counts of words in a text.

  Args:
    text: str.
    words: list of words or phrases.
  Returns:
    int [words].
  """
  return np.array([len(pattern(word).findall(text)) for word in words])


def segments(text, words):
  """Splits a text at words of interest, for highlighting.

  Returns:
    list of (part, whether it is one of the words); joined they are the text.
  """
  either = '|'.join(pattern(word).pattern for word in words)
  parts = re.split(f'({either})', text, flags=re.IGNORECASE)
  return [(part, bool(i % 2)) for i, part in enumerate(parts) if part]


def usual(runs):
  """The default words of these runs' tasks: the paper's, or `wait`."""
  built_in = all(run.config['task'] in built_in_task.TASKS for run in runs)
  return BUILT_IN if built_in else PAPER


def compressions(run):
  """(updates before, updates after) of each finished compression.

  Args:
    run: runs.Run.
  """
  total = run.config['total_steps']
  return [
    (int(begin), int(end))
    for begin, end in panels.compressed_spans(run)
    if end < run.last or end >= total
  ]


def table(runs, words=None, cycles=None):
  """Word frequencies before and after each compression.

  Counted in the samples of evaluations (`eval/`); if there are none, in those
  of training (`rollouts/`).

  Args:
    runs: list of runs.Run.
    words: words or phrases; None for those of `usual`.
    cycles: numbers of compressions, from 1; None for all.
  Returns:
    DataFrame: run, setting, seed, cycle (from 1), point ('before', 'after'),
    step (updates done), answers ('correct', 'incorrect'), word, samples,
    per_response (mean count), per_response_se (over problems),
    per_1000_tokens.
  Raises:
    ValueError: a file of samples is damaged; names it.
  """
  words, rows = words or usual(runs), []
  for group in seeds.of(runs):
    for run in group.runs:
      own = dict(zip(dataframes.NAMES, _names(group, run), strict=True))
      for cycle, ends in enumerate(compressions(run), 1):
        if cycles and cycle not in cycles:
          continue
        for point, done in zip(POINTS, ends, strict=True):
          place = {**own, 'cycle': cycle, 'point': point, 'step': done}
          samples = samples_at(run, done)
          rows += [{**place, **row} for row in _counted(samples, words)]
  return pd.DataFrame(rows, columns=[*dataframes.NAMES, *COLUMNS])


def draw(runs, words=None, cycle=1):
  """Words before and after compression, in correct and incorrect answers.

  As the paper's Figure 6. With one setting, each word has a pair of bars. With
  several, each word has a row of panels, and each setting a pair of bars. Error
  bars are one standard error over problems of one run, or the range over seeds.

  Args:
    runs: list of runs.Run.
    words: words or phrases; None for those of `usual`.
    cycle: number of the compression, from 1.
  Returns:
    matplotlib Figure.
  Raises:
    NothingToDrawError: no run has samples with text from both ends of it.
  """
  found = table(runs, words, [cycle])
  pairs = found.groupby('setting').point.nunique() == 2
  style.need(
    pairs.any(),
    f'no run kept samples with text, in eval/ or rollouts/, from both ends of '
    f'its compression {cycle}',
  )
  found = found[found.setting.isin(pairs[pairs].index)]
  shown = list(dict.fromkeys(found.setting))
  rows = list(dict.fromkeys(found.word)) if shown[1:] else ['']
  fig, axes = style.sheet(len(rows), 2, heights=1.5, sharey='row')
  for line, word in zip(axes, rows, strict=True):
    part = found[found.word == word] if word else found
    for ax, answers in zip(line, ANSWERS.values(), strict=True):
      _bars(ax, part[part.answers == answers], 'setting' if word else 'word')
    line[0].set_ylim(0, 1.08 * max(ax.dataLim.y1 for ax in line) or 1)
    what = f"'{word}' " if word else ''
    line[0].set_ylabel(f'{what}count\nper response')
  for ax, answers in zip(axes[0], ANSWERS.values(), strict=True):
    of = '' if shown[1:] else f'{shown[0]}:\n'
    ax.set_title(f'{of}{answers} answers', fontsize=style.TEXT)
  for point, colour in POINTS.items():
    label = _label(found, point, cycle)
    axes[0, 0].bar(0, np.nan, color=colour, label=label)
  style.legend(fig, axes[:1, 0])
  groups = seeds.of(runs)
  left = [g.label for g in groups if g.label not in shown]
  none = f'No samples of both ends: {", ".join(left)}.' if left else ''
  kept = [g for g in groups if g.label in shown]
  few, many = found.samples.min(), found.samples.max()
  count = f'{few:,} to {many:,} responses per bar and run.'
  style.note(fig, count, seeds.spread(kept, 'lines'), none)
  return fig


def samples_at(run, done):
  """The samples of a policy after `done` updates, as rows with text.

  From the evaluation at that point, or from the training step before or after
  it. Empty if there are none, or if they have no text.
  """
  kept = run.sample_files('eval')
  paths = kept.get(done, [])
  if done not in kept:
    kept = run.sample_files('rollouts')
    near = [step for step in (done, done - 1) if step in kept]
    paths = kept[near[0]] if near else []
  rows = [row for path in paths for row in run_folders.read_samples(path)]
  return [row for row in rows if 'response' in row]


def _names(group, run):
  return run.name, group.label, run.config['seed']


def _counted(samples, words):
  """A record for each word and each of correct and incorrect answers."""
  for right, answers in ANSWERS.items():
    part = [row for row in samples if row['correct'] == right]
    if not part:
      continue
    problems = [row['problem_id'] for row in part]
    tokens = sum(row['length'] for row in part)
    counts = np.stack([count(row['response'], words) for row in part])
    for word, column in zip(words, counts.T, strict=True):
      by_problem = pd.Series(column).groupby(problems).mean()
      yield {
        'answers': answers,
        'word': word,
        'samples': len(part),
        'per_response': column.mean(),
        'per_response_se': pass_at_k.mean_and_error(by_problem)[1],
        'per_1000_tokens': 1000 * column.sum() / tokens,
      }


def _bars(ax, part, name):
  """A pair of bars, before and after, for each value of a column."""
  labels = list(dict.fromkeys(part[name]))
  for shift, (point, colour) in zip((-0.2, 0.2), POINTS.items(), strict=True):
    spans = [
      _span(part[(part[name] == label) & (part.point == point)])
      for label in labels
    ]
    mean, low, high = np.transpose(spans) if spans else ([], [], [])
    places = np.arange(len(labels)) + shift
    ax.bar(places, mean, 0.38, color=colour)
    bars = [np.subtract(mean, low), np.subtract(high, mean)]
    ax.errorbar(places, mean, bars, fmt='none', ecolor='black', elinewidth=0.8)
  ax.set_xticks(range(len(labels)), labels, parse_math=False)
  ax.set_xlim(-0.6, max(len(labels), 1) - 0.4)
  if sum(map(len, labels)) > 12:
    ax.tick_params('x', rotation=40)
    for text in ax.get_xticklabels():
      text.set(ha='right', rotation_mode='anchor')


def _span(part):
  """(mean, low, high) over seeds, or with a standard error; NaN if none."""
  if not len(part):
    return np.nan, np.nan, np.nan
  mean = part.per_response.mean()
  if len(part) > 1:
    return mean, part.per_response.min(), part.per_response.max()
  error = np.nan_to_num(part.per_response_se.iloc[0])
  return mean, mean - error, mean + error


def _label(found, point, cycle):
  """'before compression 1, step 0'; several steps are joined by a slash."""
  steps = sorted(set(found[found.point == point].step))
  return f'{point} compression {cycle}, step {"/".join(map(str, steps))}'
