"""A run with many faults equals an undisturbed run, bit for bit.

Every attempt has a fault, and the same command resumes the run. Clocks and time
zones change between attempts.
"""

import math
import signal
from typing import NamedTuple

import attempt
import pytest

from siri_jax.runtime import exit_status
from tools import soak

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STEPS = (
  '--config.total_steps=24',  # A problem comes again after 16.
  '--config.text_rewards=tests.helpers.tiny:fresh_words',
)
UNSAVED = ('--config.checkpoint_kw.every=0',)  # Only at extrema and signals.
STATUSES = {
  'KILL': {-signal.SIGKILL},
  'TERM': {128 + signal.SIGTERM},
  'TERM and INT': {128 + signal.SIGTERM, 128 + signal.SIGINT},
  'full disk': {exit_status.UNWRITTEN},
}


# Changes to the folder before the next attempt.


def newest(run):
  return max((run / 'checkpoints').glob('[0-9]' * 6))


def tear(run):
  """Adds half a line to the end of every file of records."""
  for path in run.glob('*.jsonl'):
    with open(path, 'ab') as file:
      file.write(b'{"step": 5, "cap": 6, "pha')


def flip(run):
  """Flips one bit of the newest checkpoint's largest file."""
  files = (newest(run) / 'state/d').iterdir()
  path = max(files, key=lambda p: p.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def cut(run):
  path = newest(run) / 'state/manifest.ocdbt'
  path.write_bytes(path.read_bytes()[:-1])


def remove(run):
  (newest(run) / 'state/_METADATA').unlink()


def leave(run):
  """Changes nothing."""


class Link(NamedTuple):
  """The fault of one attempt.

  Attributes:
    row: row of the table.
    deed, place, call: of attempt.Harm; the place is relative to siri_jax.
    more: arguments of its command line.
    spoil: function that changes the folder afterwards.
  """

  row: int
  deed: str
  place: str
  call: int = 1
  more: tuple = ()
  spoil: object = leave


RECORDS = 'runtime.run_folder:RunFolder'
SAVES = 'runtime.checkpoint:CheckpointManager'
DIGESTS = 'runtime.checkpoint:checksums'
LINKS = {
  'killed in the first evaluation': Link(
    1, 'KILL', 'evaluation.held_out:summary'
  ),
  'killed between a result and its samples': Link(
    1, 'KILL', f'{RECORDS}.write_evaluation'
  ),
  'killed while sampling': Link(1, 'KILL', 'rollout.graded:sample_groups', 3),
  'TERM while sampling': Link(
    3, 'TERM', 'rollout.graded:sample_groups', 3, UNSAVED
  ),
  'killed while learning': Link(1, 'KILL', 'learner:minibatch', 3),
  'TERM while grading': Link(
    3, 'TERM', 'grading.pool:GraderPool.collect', 6, UNSAVED
  ),
  'TERM while learning': Link(3, 'TERM', 'learner:train_on_batch', 1, UNSAVED),
  'killed while a checkpoint is written': Link(2, 'KILL', 'checkpoints/*tmp*'),
  'killed before a manifest': Link(2, 'KILL', DIGESTS, 2),
  'killed before an old checkpoint is deleted': Link(
    2, 'KILL', f'{SAVES}._delete', 3
  ),
  'killed before a record': Link(
    1, 'KILL', 'context:TrainContext.write_step', 2
  ),
  'killed after a record': Link(
    1, 'KILL', 'context:TrainContext.writes_rollouts', 2
  ),
  'killed in the evaluation at an extremum': Link(
    1, 'KILL', 'evaluation.held_out:summary'
  ),
  'TERM in the evaluation at an extremum': Link(
    3, 'TERM', 'evaluation.held_out:evaluate', 1, UNSAVED
  ),
  'TERM while saving': Link(3, 'TERM', DIGESTS),
  'TERM and INT at once': Link(4, 'TERM and INT', 'learner:train_on_batch', 2),
  'disk full at a checkpoint': Link(5, 'full disk', f'{SAVES}.save', 2),
  'disk full at a record': Link(
    5, 'full disk', 'context:TrainContext.write_step', 1, UNSAVED
  ),
  'disk full at samples': Link(
    5, 'full disk', f'{RECORDS}.write_rollouts', 1, UNSAVED
  ),
  'killed, and half a record left': Link(
    29, 'KILL', 'rollout.graded:sample_groups', 2, (), tear
  ),
  'a bit of the newest checkpoint flipped': Link(
    6, 'TERM', 'learner:train_on_batch', 2, (), flip
  ),
  'a file of the newest checkpoint cut short': Link(
    7, 'TERM', 'learner:train_on_batch', 2, (), cut
  ),
  'a file of the newest checkpoint removed': Link(
    7, 'TERM', 'learner:train_on_batch', 2, (), remove
  ),
  'killed before the last checkpoint': Link(
    1, 'KILL', 'rollouts/000023.jsonl.gz'
  ),
}


@pytest.fixture(scope='module')
def story(tmp_path_factory, cache):
  """The folder of the run, an attempt for each link, and a last one."""
  run, attempts = tmp_path_factory.mktemp('story') / 'run', []
  for number, link in enumerate(LINKS.values()):
    place = f'siri_jax.{link.place}' if ':' in link.place else link.place
    harm = attempt.Harm(link.deed, place, link.call)
    hours = (-1) ** number * number
    attempts.append(
      attempt.make(run, cache, *STEPS, *link.more, harm=harm, hours=hours)
    )
    link.spoil(run)
  attempts.append(attempt.make(run, cache, *STEPS))
  return run, attempts


@pytest.mark.parametrize('fault', LINKS)
def test_a_run_resumes_after(story, tell, fault):
  number = list(LINKS).index(fault)
  link, (hurt, then) = LINKS[fault], story[1][number : number + 2]
  assert hurt.status in STATUSES[link.deed], hurt.said
  lost = hurt.steps - then.step
  # A checkpoint is being written while the next step runs.
  assert lost <= (0 if link.deed == 'TERM' and link.spoil == leave else 2)
  if link.deed == 'TERM and INT':
    assert 'a second signal ends the run at once' in hurt.said
    assert 'saved at step' not in hurt.said
  if link.deed == 'full disk':
    assert 'File too large' in hurt.said
    assert 'Free space' in hurt.said
  if link.row in (6, 7):
    assert f'checkpoint {hurt.steps:06d} is damaged' in then.said
    assert lost == 1
  happened = f'status {hurt.status}; went on after {then.step} updates'
  tell(link.row, fault, happened, then.secs or math.nan, lost)


def test_the_final_result_equals_an_undisturbed_run(
  story, tmp_path, cache, tell
):
  run, attempts = story
  assert attempts[-1].status == exit_status.DONE
  assert (
    attempt.make(tmp_path / 'run', cache, *STEPS).status == exit_status.DONE
  )
  assert soak.outcome(run) == soak.outcome(tmp_path / 'run')
  hours = f'clocks up to {len(LINKS)} h wrong, another time zone each'
  tell(28, f'{len(attempts)} attempts, {hours}', 'the same bits as undisturbed')
