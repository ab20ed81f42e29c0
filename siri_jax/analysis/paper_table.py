"""Evaluations in the format of the paper's table, with the paper's rows.

A folder has the evaluation of one policy by siri_jax.evaluation.evaluate. The
first is the original; the others are compared with it.
"""

import math
import pathlib

import tabulate

from siri_jax.analysis import run_table, runs, validate
from siri_jax.runtime import files

RESULTS = 'results.json'
STYLES = {'txt': 'simple', 'md': 'github', 'tex': 'latex_booktabs'}
SETS = {
  'aime24': 'AIME24',
  'aime25': 'AIME25',
  'amc': 'AMC',
  'math500': 'MATH500',
}
# SIRI, Table 1, arxiv.org/abs/2509.25176: accuracy in % and mean tokens on
# each of SETS, then dAcc/CR as printed. The first row is the original.
ROWS = {
  '1.5B': {
    'Original': (28.2, 12333, 21.5, 12264, 61.8, 8449, 82.4, 4745, 0.00),
    'DeepScaleR': (41.1, 8585, 29.0, 8348, 73.9, 5515, 87.6, 3054, 0.39),
    'DAPO-16K': (42.8, 10453, 30.9, 10352, 74.6, 7339, 88.1, 4223, 0.36),
    'AdaptThink': (31.0, 6679, 22.3, 6800, 63.3, 3498, 82.0, 1782, 0.08),
    'SIRI-low': (40.4, 7093, 29.6, 6509, 74.6, 4700, 87.7, 2881, 0.47),
    'SIRI-high': (43.6, 10049, 32.2, 9739, 75.9, 7396, 88.4, 4633, 0.38),
  },
  '7B': {
    'Original': (53.5, 10306, 38.3, 11114, 79.4, 6740, 90.2, 3674, 0.00),
    'DAPO-16K': (57.6, 9983, 40.8, 10705, 84.5, 6508, 92.5, 3658, 0.06),
    'AdaptThink': (55.6, 8546, 37.0, 9556, 80.1, 4778, 90.6, 1868, 0.02),
    'SIRI-low': (56.1, 6122, 41.5, 6386, 85.8, 4015, 93.5, 2452, 0.10),
    'SIRI-high': (57.1, 8585, 45.4, 9106, 86.7, 5773, 93.7, 3378, 0.11),
  },
}
NOTES = """\
Accuracy is the mean over samples and problems in %, tokens the mean length of
a response; ± is one standard error over problems, left out where all gave the
same. dAcc/CR is the relative gain in accuracy over the relative length, against
the first row: for each set, and as the mean over sets (mean of ratios). The
ratio of means divides the mean gain by the mean length. pass@k is the chance
that one of k samples is right, maj@k that their most frequent answer is right.
The accuracy under a cap is that of responses truncated at the cap. Area is its
mean over all caps. The cap for 95 % is the lowest with 95 % of the accuracy
under the highest cap."""


def faults(folders):
  """A message for each folder without a readable evaluation."""
  wrong = []
  for folder in folders:
    try:
      if not read(folder):
        wrong.append(f'{folder}: no evaluation; it has no */{RESULTS}')
    except (OSError, ValueError) as error:
      wrong.append(str(error))
  return wrong


def read(folder):
  """The results of an evaluated policy by set.

  Raises:
    ValueError: one is damaged; names the file.
  """
  paths = sorted(pathlib.Path(folder).glob(f'*/{RESULTS}'))
  return {path.parent.name: validate.json_object(path) for path in paths}


def printed(size):
  """The paper's rows as results: policy -> set -> accuracy and length."""
  return {
    name: {
      key: {'accuracy': row[2 * i] / 100, 'length': row[2 * i + 1]}
      for i, key in enumerate(SETS)
    }
    for name, row in ROWS[size].items()
  }


def efficiencies(found, original):
  """dAcc/CR against the original, by set that both have."""
  return {
    name: run_table.efficiency(
      record['accuracy'],
      record['length'],
      original[name]['accuracy'],
      original[name]['length'],
    )
    for name, record in found.items()
    if name in original
  }


def mean_of_ratios(found, original):
  """The mean of the sets' dAcc/CR."""
  return _mean(list(efficiencies(found, original).values()))


def ratio_of_means(found, original):
  """The mean of the sets' dAcc over the mean of their CR."""
  names = [name for name in found if name in original]
  if not names or any(not original[name]['accuracy'] for name in names):
    return math.nan
  gains = [
    max(found[n]['accuracy'] / original[n]['accuracy'] - 1, 0) for n in names
  ]
  lengths = [found[n]['length'] / original[n]['length'] for n in names]
  return _mean(gains) / _mean(lengths)


def text(folders, size=None, style='simple'):
  """The tables of evaluations.

  Args:
    folders: evaluations of policies, the original first.
    size: a key of ROWS, or None without the paper's rows.
    style: a format of tabulate.
  Returns:
    str: the paper's table, dAcc/CR by set, errors, pass@k and maj@k, notes.
  """
  own = dict(zip(labels(folders), map(read, folders), strict=True))
  parts = [own]
  if size:
    parts.insert(0, {f'paper: {k}': v for k, v in printed(size).items()})
  names = dict.fromkeys(n for found in own.values() for n in found)
  names = [
    *(n for n in SETS if n in names),
    *(n for n in names if n not in SETS),
  ]
  blocks = [
    _paper_table(parts, names, style),
    _efficiency_table(parts, names, style),
    _error_table(own, names, style),
    _choice_table(own, names, style),
    NOTES,
  ]
  return '\n\n'.join(block for block in blocks if block)


def of_run(folder, model):
  """A finished run's own evaluations as the paper's table, below its rows.

  Args:
    folder: the run's folder.
    model: the config's model_path, whose name tells the size.
  Returns:
    str: the table with a row for each named point of the run; '' if the model
    is not the paper's or the run evaluated none of SETS.
  """
  size = next((s for s in ROWS if f'R1-Distill-Qwen-{s}' in model), None)
  run, own = runs.read(folder), {}
  for record in run.evals:
    if record['kind'] in run_table.POINTS and record['set'] in SETS:
      label = f'step {record["step"]}, {record["kind"]}'
      own.setdefault(label, {})[record['set']] = record
  if not (size and own):
    return ''
  shown = {name for found in own.values() for name in found}
  names = [name for name in SETS if name in shown]
  parts = [{f'paper: {k}': v for k, v in printed(size).items()}, own]
  samples = max(record['samples'] for record in run.evals)
  return (
    f'{_paper_table(parts, names, "simple")}\n\nMeans over {samples} samples a '
    'problem; the paper has 64. siri_jax.commands.evaluate measures a '
    f'checkpoint with as many: --weights=start,newest --paper={size}'
  )


def save(out, folders, size):
  """Writes table.txt, .md and .tex to a folder; returns the text."""
  for suffix, style in STYLES.items():
    table = text(folders, size, style)
    if suffix == 'tex':
      table = run_table.latex_comments(table)
    path = pathlib.Path(out) / f'table.{suffix}'
    files.write_atomically(path, f'{table}\n'.encode())
  return text(folders, size)


def labels(folders):
  """The names of folders, with those of their runs if two are equal."""
  folders = [pathlib.Path(folder).resolve() for folder in folders]
  paths = [(*folder.parents[1].parts, folder.name) for folder in folders]
  return ['/'.join(map(_unpadded, end)) for end in runs.ends(paths)]


def _unpadded(part):
  """The name of a checkpoint's evaluation as a step; others as they are."""
  return f'step {int(part)}' if part.isdigit() else part


def _paper_table(parts, names, style):
  """The paper's Table 1; each part is compared with its first row."""
  rows = []
  for part in parts:
    original = next(iter(part.values()))
    for label, found in part.items():
      cells = [cell for name in names for cell in _pair(found.get(name))]
      score = mean_of_ratios(_only(found, names), original)
      rows.append([label, *cells, _number(score, 2)])
  headers = [
    '',
    *(h for name in names for h in (f'{_shown(name)} %', 'tokens')),
  ]
  return _grid(rows, [*headers, 'dAcc/CR'], style)


def _efficiency_table(parts, names, style):
  """dAcc/CR of each set; '' if no original has a right answer."""
  rows, known = [], False
  for part in parts:
    original = next(iter(part.values()))
    for label, found in part.items():
      found = _only(found, names)
      by_set = efficiencies(found, original)
      scores = [by_set.get(name, math.nan) for name in names]
      scores += [
        mean_of_ratios(found, original),
        ratio_of_means(found, original),
      ]
      known |= not all(map(math.isnan, scores))
      rows.append([label, *(_number(score, 3) for score in scores)])
  headers = ['dAcc/CR', *map(_shown, names), 'mean of ratios', 'ratio of means']
  return _grid(rows, headers, style) if known else ''


def _error_table(own, names, style):
  """Each set's accuracy, length, share cut, outcome and accuracy by cap."""
  rows = []
  for name, label, record in _records(own, names):
    rows.append(
      [
        _shown(name),
        label,
        _with_error(record, 'accuracy', 100),
        _with_error(record, 'length', 1),
        _with_error(record, 'truncated_frac', 100),
        _with_error(record, 'outcome_efficiency', 100),
        _number(100 * record['area'], 1),
        _number(record['cap_for_95'], 0),
      ]
    )
  headers = ['set', '', 'accuracy, %', 'tokens', 'truncated, %']
  headers += ['outcome eff., %', 'area, %', 'cap for 95 %']
  return _grid(rows, headers, style, words=2)


def _choice_table(own, names, style):
  """pass@k and maj@k of each set; '' with one sample a problem."""
  records = list(_records(own, names))
  ks = sorted({k for _, _, record in records for k in _powers(record)})
  if not ks:
    return ''
  rows = [
    [
      _shown(name),
      label,
      kind,
      *(_with_error(record, f'{kind}@{k}', 100) for k in ks),
    ]
    for name, label, record in records
    for kind in ('pass', 'maj')
  ]
  return _grid(rows, ['set', '', '%', *(f'@{k}' for k in ks)], style, words=3)


def _records(own, names):
  for name in names:
    for label, found in own.items():
      if name in found:
        yield name, label, found[name]


def _powers(record):
  found = (key.partition('pass@')[2] for key in record)
  return [int(k) for k in found if k.isdigit()]


def _only(found, names):
  return {name: found[name] for name in names if name in found}


def _shown(name):
  return SETS.get(name, name)


def _mean(values):
  return sum(values) / len(values) if values else math.nan


def _pair(record):
  if record is None:
    return '', ''
  return _number(100 * record['accuracy'], 1), _number(record['length'], 0)


def _number(value, digits):
  """A number as text; '' if it is None."""
  known = value is not None and not math.isnan(value)
  return f'{value:.{digits}f}' if known else ''


def _with_error(record, name, scale):
  if record.get(name) is None:
    return ''
  error = scale * (record[f'{name}_se'] or 0)
  return run_table.with_error(scale * record[name], error)


def _grid(rows, headers, style, words=1):
  """A table; the first columns are text, the others numbers."""
  align = ['left'] * words + ['right'] * (len(headers) - words)
  return tabulate.tabulate(
    rows, headers, style, disable_numparse=True, colalign=align
  )
