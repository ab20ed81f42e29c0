"""The table of the recipes' runs."""

from siri_jax.config import catalog, sizes
from siri_jax.runtime import files
from tools.benchmarks import recipes


def evaluated(folder, *points):
  """A run's evaluations: (step, tokens, accuracy, length) of each."""
  folder.mkdir()
  for step, tokens, accuracy, length in points:
    record = dict(step=step, tokens=tokens, accuracy=accuracy, length=length)
    errors = dict(accuracy_se=0.02, length_se=1.0)
    files.append(folder / 'eval.jsonl', {**record, **errors})


def test_runs_are_compared_at_the_tokens_of_the_shortest_one(tmp_path):
  last = sizes.LAPTOP_STEPS
  evaluated(tmp_path / 'gspo', (0, 0, 0.5, 60), (last, 1000, 0.7, 40))
  evaluated(tmp_path / 'cispo', (0, 0, 0.5, 60), (last, 4000, 0.9, 20))
  evaluated(tmp_path / 'laser', (0, 0, 0.5, 60), (last // 2, 500, 0.6, 50))
  evaluated(tmp_path / 'dast', (0, 0, 0.5, 60), (last, 200, 0.4, 30))
  text = recipes.table(tmp_path, catalog.recipes())
  assert text.startswith('At 1,000 response tokens:')
  lines = {
    line.split('|')[1].strip(' `'): line
    for line in text.splitlines()
    if '|' in line
  }
  assert '50.0 ± 2.0 → 70.0 ± 2.0' in lines['gspo']
  assert '60.0 ± 1.0 → 40.0 ± 1.0' in lines['gspo']
  # A quarter of its tokens: a quarter of its way.
  assert '50.0 ± 2.0 → 60.0 ± 2.0' in lines['cispo']
  assert lines['cispo'].split('|')[4].strip() == str(last // 4)
  # It was stopped half-way.
  assert 'not run' in lines['laser']
  # An offline run has a table of its own, to its end.
  assert text.index('Offline, after the last step') < text.index('`dast`')
  assert '50.0 ± 2.0 → 40.0 ± 2.0' in lines['dast']
