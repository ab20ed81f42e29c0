"""A thousand configs and problem files that nobody wrote with care.

Each is accepted and works, or is refused by the name of a setting or by file
and line; nothing else is ever raised.
"""

import json

import hypothesis
import pytest
from hypothesis import strategies as st
from ml_collections import ConfigDict

from siri_jax import plan, run_folder, settings
from siri_jax.data import problems
from tests import tiny

pytestmark = [pytest.mark.slow, pytest.mark.faults]

BASE = tiny.get_config().to_dict()
NAMES = sorted(run_folder.flatten(BASE))
VALUES = st.one_of(
  st.integers(-3, 40),
  st.sampled_from([2**31, 2**63, 10**30]),
  st.floats(),
  st.booleans(),
  st.none(),
  st.text(max_size=8),
  st.sampled_from(['cosine', 'constant', 'fresh', 'mean_std', 'json:loads']),
  st.lists(st.integers(0, 9), max_size=3).map(tuple),
  # ml_collections takes no dot in a name.
  st.dictionaries(st.text('ab_', max_size=4), st.integers(0, 9), max_size=2),
)
# A setting that there is, or one with a letter too many or too few.
SETTINGS = st.sampled_from(NAMES) | st.builds(
  lambda name, cut: name[:-1] if cut else f'{name}x',
  st.sampled_from(NAMES),
  st.booleans(),
)


def changed(changes):
  """The tiny config with these changes, by dotted name."""
  nested = json.loads(json.dumps(BASE))
  for name, value in changes.items():
    place = nested
    *above, last = name.split('.')
    for key in above:
      place = place.setdefault(key, {}) if isinstance(place, dict) else {}
    if isinstance(place, dict):
      place[last] = value
  nested['writers'] = tuple(BASE['writers'])
  return ConfigDict(nested)


@hypothesis.settings(max_examples=500)
@hypothesis.given(st.dictionaries(SETTINGS, VALUES, min_size=1, max_size=4))
def test_a_config_is_accepted_or_refused_by_the_names_of_settings(changes):
  config = changed(changes)
  try:
    steps, faults = len(plan.make(config).caps), []
  except plan.RefusedError as refusal:
    steps, faults = 0, refusal.faults
  assert faults or steps == config.total_steps
  known = {*settings.RULES, *(name.split('.')[0] for name in changes)}
  for fault in faults:
    assert any(name in fault for name in known), fault


FIELDS = st.sampled_from([*problems.KEYS, 'idx', 'level'])
ROWS = st.dictionaries(
  FIELDS, st.text(max_size=6) | st.integers() | st.none(), max_size=5
)
LINES = st.one_of(
  ROWS.map(lambda row: json.dumps(row).encode()),
  st.binary(max_size=12),
  st.sampled_from([b'[' * 5000, b'{"id": 1e999}', b'\xef\xbb\xbf{}', b'null']),
  st.integers(0, 3).map(
    lambda n: json.dumps(
      {'id': f'p{n}', 'problem': 'q', 'answer': '1', 'source': ''}
    ).encode()
  ),
)


@hypothesis.settings(
  max_examples=500,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
  st.lists(LINES, max_size=5), st.sampled_from([b'\n', b'\r\n'])
)
def test_a_file_is_read_or_refused_by_file_and_line(tmp_path, lines, end):
  path = tmp_path / 'problems.jsonl'
  path.write_bytes(end.join(lines))
  try:
    read = problems.read(path)
  except ValueError as error:
    told = str(error)
    read = None
  if read is None:
    assert 'problems.jsonl' in told
  else:
    assert 1 <= len(read) <= len(lines)
    assert all(problem.answer.strip() for problem in read)
