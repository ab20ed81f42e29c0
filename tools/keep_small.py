"""Copies an ablation without its checkpoints, to publish with a notebook.

  python -m tools.keep_small runs/shapes FOLDER [--texts=ARM ...]

The copy of a run has its settings, evaluations, the metrics that figures read,
and the samples of four evaluations (start, first and last compressed, end).
Arms that are named keep the texts of samples. No name of a machine is copied.
"""

import argparse
import json
import pathlib
import shutil
import sys

from siri_jax.analysis import runs
from siri_jax.runtime import files as disk
from siri_jax.runtime import run_folder

ABOUT = ('id', 'config', 'arg', 'overrides', 'seed', 'git', 'versions')
MACHINE = ('cache_dir',)  # Settings that are paths on the machine.
DIGITS = 4
COLUMNS = (
  'step',
  'cap',
  'phase',
  'accuracy',
  'length_mean',
  'length_p90',
  'length_correct',
  'length_wrong',
  'truncated_frac',
  'entropy',
  'tokens',
  'tokens_so_far',
  'sampled_tokens',
)
SAMPLE = ('step', 'problem_id', 'index', 'length', 'finish_reason', 'correct')
TEXTS = ('problem', 'answer', 'response')


def keep(out, to, texts=()):
  """Copies an ablation without checkpoints.

  Args:
    out: folder of the ablation.
    to: folder of the copy, which must not exist.
    texts: arms whose samples keep their text.
  Raises:
    ValueError: `out` is not an ablation, or `to` exists.
  """
  out, to = pathlib.Path(out), pathlib.Path(to)
  if to.exists():
    raise ValueError(f'{to} already exists; name another folder or delete it')
  try:
    about = json.loads((out / 'ablation.json').read_text())
  except (OSError, ValueError) as error:
    raise ValueError(f'{out} is not an ablation: {error}') from error
  for run in about['runs']:
    _keep_run(out / run['name'], to / run['name'], run['arm'] in texts)
  about['overrides'] = _without(about['overrides'])
  _write(to / 'ablation.json', about)
  shutil.copy(out / 'table.csv', to / 'table.csv')


def _keep_run(folder, to, with_texts):
  run = runs.read(folder)
  info = {name: run.info[name] for name in ABOUT}
  _write(to / 'RUN.json', {**info, 'overrides': _without(info['overrides'])})
  _write(to / 'config.json', _without(run.config))
  shutil.copy(folder / 'eval.jsonl', to / 'eval.jsonl')
  rows = disk.read_records(folder / 'metrics.jsonl')
  lines = [disk.to_json(_rounded(row)) + '\n' for row in rows]
  (to / 'metrics.jsonl').write_text(''.join(lines))
  compressed = [r['step'] for r in run.evals if r['kind'] == 'compressed']
  ends = {0, *compressed[:1], *compressed[-1:], run.config['total_steps']}
  names = (*SAMPLE, *(TEXTS if with_texts else ()))
  with run_folder.RunFolder(
    to, _without(run.config), source=info['config'], overrides={}
  ) as kept:
    for step, paths in run.sample_files('eval').items():
      for path in paths if step in ends else ():
        samples = runs.read_rows(path)
        rows = [{name: row[name] for name in names} for row in samples]
        kept.write_evaluation(step, path.name.removesuffix('.jsonl.gz'), rows)
  (to / '.lock').unlink()


def _without(settings):
  return {k: v for k, v in settings.items() if k not in MACHINE}


def _rounded(row):
  """The columns of a step's record that figures read, rounded."""
  return {
    name: float(f'{row[name]:.{DIGITS}g}')
    if isinstance(row[name], float)
    else row[name]
    for name in COLUMNS
    if row.get(name) is not None
  }


def _write(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  disk.write_json(path, value)


def main(argv):
  """Copies the ablation of the command line; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('out', help='folder of the ablation')
  parser.add_argument('to', help='folder of the copy')
  parser.add_argument(
    '--texts', nargs='*', default=(), help='arms whose texts are kept'
  )
  asked = parser.parse_args(argv)
  try:
    keep(asked.out, asked.to, asked.texts)
  except ValueError as error:
    print(f'refused: {error}', file=sys.stderr)
    return 2
  files = [path for path in pathlib.Path(asked.to).rglob('*') if path.is_file()]
  size = sum(path.stat().st_size for path in files)
  print(f'{asked.to}: {len(files)} files, {size / 1e6:.2f} MB')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
