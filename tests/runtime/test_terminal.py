"""Progress on a TTY and in a log."""

import fcntl
import io
import logging
import os
import re
import struct
import termios
import time
import warnings

import pytest

from siri_jax.runtime import terminal

RECORD = {
  'step': 11,
  'phase': 'compress',
  'cap': 58,
  'reward_mean': 0.712,
  'length_mean': 36.14,
  'tokens_per_sec': 4812.4,
}


class Clock:
  now = 100.0

  def __call__(self):
    return self.now


class Screen(io.StringIO):
  """A TTY of unknown width; `shown` is its content."""

  def isatty(self):
    return True

  def shown(self):
    return shown(self.getvalue())


def shown(text):
  """The lines that a screen shows after these characters, without colours."""
  lines = ['']
  for part in re.split(r'(\r|\n|\033\[K)', plain(text)):
    if part == '\n':
      lines.append('')
    elif part == '\r':
      at = 0
    elif part == '\033[K':
      lines[-1] = lines[-1][:at]
    elif part:
      lines[-1] += part
  return lines


def plain(text):
  return re.sub(r'\033\[\d+m', '', text)


@pytest.fixture
def clock():
  return Clock()


@pytest.fixture
def tty(monkeypatch):
  monkeypatch.setenv('TERM', 'xterm')
  monkeypatch.delenv('NO_COLOR', raising=False)
  return Screen()


def steps(screen, clock, count, secs, first=0):
  for step in range(first, first + count):
    clock.now += secs
    screen.step({**RECORD, 'step': step})


# A TTY.


def test_one_updated_line_shows_the_newest_step(tty, clock):
  screen = terminal.Terminal(162, tty, clock)
  steps(screen, clock, count=12, secs=0.5)
  assert tty.shown() == [
    'compress  12/162  cap 58  reward 0.71  length 36.1  4,812 tok/s  1:15 left'
  ]


def test_a_text_is_printed_above_the_line(tty, clock):
  screen = terminal.Terminal(162, tty, clock)
  screen.step(RECORD)
  screen.say('after 12 updates: held out 80.1 %')
  first, living = tty.shown()
  assert first == 'after 12 updates: held out 80.1 %'
  assert living.startswith('compress  12/162')


@pytest.mark.parametrize('own', [False, True], ids=['bare', 'with a handler'])
def test_log_records_and_warnings_are_printed_above_the_line(
  tty, clock, monkeypatch, own
):
  # Replaces pytest's handlers.
  handler = logging.StreamHandler(tty)
  monkeypatch.setattr(logging.getLogger(), 'handlers', [handler] * own)
  monkeypatch.setattr('sys.stderr', tty)
  with terminal.Terminal(162, tty, clock) as screen:
    screen.step(RECORD)
    logging.getLogger('anybody').warning('a retry')
    with warnings.catch_warnings():
      warnings.simplefilter('always')
      warnings.warn('deprecated', stacklevel=1)
    *above, living = tty.shown()
    assert above[0] == 'a retry'
    assert 'deprecated' in above[1]
    assert living.startswith('compress  12/162')
  assert logging.getLogger().handlers == [handler] * own


def test_the_last_line_stays_when_the_run_ends(tty, clock):
  with terminal.Terminal(162, tty, clock) as screen:
    screen.step(RECORD)
    clock.now += 30
    screen.working('checkpoint')
  living, after = tty.shown()
  assert '4,812 tok/s' in living
  assert after == ''


def test_a_long_phase_shows_how_far_it_is(tty, clock):
  screen = terminal.Terminal(162, tty, clock)
  clock.now += 1
  screen.working('warm start', 1200, 2800, note='loss\n1.92')
  assert tty.shown() == ['warm start 1,200/2,800 loss 1.92']
  clock.now += 75
  screen.working('warm start', 1900, 2800)
  assert tty.shown() == ['warm start 1,900/2,800 (1:15)']


def test_work_between_steps_is_named_once_it_takes_long(tty, clock):
  screen = terminal.Terminal(162, tty, clock)
  screen.step(RECORD)
  clock.now += 0.5
  for done in range(3):
    screen.working('sampling', done, 16)
    assert ('sampling' in tty.shown()[0]) == (done == 2)
    clock.now += 0.75
  # The speed is left out on a terminal of 80 columns, and no step.
  assert tty.shown() == [
    'compress  12/162  cap 58  reward 0.71  length 36.1  sampling 2/16 (2 s)'
  ]


def test_the_line_is_redrawn_while_nothing_is_reported(tty, monkeypatch):
  monkeypatch.setattr(terminal, 'TICK_SECS', 0.01)
  monkeypatch.setattr(terminal, 'WORK_SECS', 0.0)
  with terminal.Terminal(162, tty) as screen:
    screen.working('compiling')
    deadline = time.monotonic() + 5
    while 'compiling (0 s)' not in tty.getvalue():
      assert time.monotonic() < deadline
      time.sleep(0.01)


@pytest.mark.parametrize('value', [None, '', '1'])
def test_the_phase_has_a_colour_unless_disabled(tty, clock, monkeypatch, value):
  if value is not None:
    monkeypatch.setenv('NO_COLOR', value)
  terminal.Terminal(162, tty, clock).step(RECORD)
  assert ('\033[36mcompress\033[0m  12' in tty.getvalue()) == (value != '1')


def test_a_dumb_terminal_gets_plain_lines(tty, clock, monkeypatch):
  monkeypatch.setenv('TERM', 'dumb')
  terminal.Terminal(162, tty, clock).step(RECORD)
  assert '\033' not in tty.getvalue()
  assert tty.getvalue().endswith('\n')


@pytest.mark.parametrize('columns', [1, 10, 20, 40, 80, 200])
def test_the_line_never_overflows_a_real_terminal(clock, monkeypatch, columns):
  monkeypatch.setenv('TERM', 'xterm')
  near, far = os.openpty()
  fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
  with open(far, 'w') as stream:
    screen = terminal.Terminal(162, stream, clock)
    steps(screen, clock, count=2, secs=60, first=40)
    clock.now += 9
    screen.working('evaluating held_out', 100, 1024, note='x' * 100)
    stream.write('\nEND')
    stream.flush()
    read = b''
    while not read.endswith(b'END'):
      read += os.read(near, 10_000)
    written = plain(read.decode().removesuffix('END'))
  os.close(near)
  drawn = [line for line in re.split(r'[\r\n]|\033\[K', written) if line]
  assert max(map(len, drawn), default=0) < columns
  if columns >= 10:
    assert '42/162' in drawn[-1]


@pytest.mark.parametrize(
  ('width', 'line'),
  [
    (30, 'expand  1/9  cap 92  sampling'),
    (29, '1/9  cap 92  sampling'),
    (20, '1/9  sampling'),
    (10, '1/9'),
    (3, '1/'),
  ],
)
def test_the_least_important_part_is_left_out_first(width, line):
  work = {'speed': '', 'work': 'sampling'}
  parts = {'phase': 'expand', 'step': '1/9', 'cap': 'cap 92', **work}
  assert terminal.fit(parts, width) == line


def test_a_wide_terminal_has_a_bar(tty, clock, monkeypatch):
  monkeypatch.setattr(terminal.Terminal, '_width', lambda _: 120)
  screen = terminal.Terminal(20, tty, clock)
  steps(screen, clock, count=10, secs=0.5)
  (line,) = tty.shown()
  assert line.endswith('left  |#####     |')


def test_a_line_without_its_phase_has_no_colour(tty, clock, monkeypatch):
  monkeypatch.setattr(terminal.Terminal, '_width', lambda _: 20)
  terminal.Terminal(162, tty, clock).step(RECORD)
  assert '\033[36m' not in tty.getvalue()
  assert tty.shown()[0].startswith('12/162')


# Anything else: a file, a pipe.


def test_without_a_tty_a_step_is_a_plain_line(clock):
  stream = io.StringIO()
  screen = terminal.Terminal(162, stream, clock)
  steps(screen, clock, count=3, secs=60)
  first, second, third = stream.getvalue().splitlines()
  assert first == (
    'compress  1/162  cap 58  reward 0.71  length 36.1  4,812 tok/s'
  )
  assert second.endswith('4,812 tok/s  2:40:00 left')
  assert third.startswith('compress  3/162')


def test_fast_steps_are_thinned_but_for_turns_and_the_last(clock):
  stream = io.StringIO()
  screen = terminal.Terminal(40, stream, clock)
  steps(screen, clock, count=20, secs=0.5)
  screen.step({**RECORD, 'step': 20, 'phase': 'expand'})
  screen.step({**RECORD, 'step': 39, 'phase': 'expand'})
  lines = [line.split()[:2] for line in stream.getvalue().splitlines()]
  assert lines == [
    *(['compress', f'{step}/40'] for step in (1, 5, 9, 13, 17)),
    *(['expand', f'{step}/40'] for step in (21, 40)),
  ]


def test_a_long_step_prints_progress(clock):
  stream = io.StringIO()
  screen = terminal.Terminal(162, stream, clock)
  screen.step(RECORD)
  for done in range(100):
    clock.now += 0.25
    screen.working('sampling', done, 1024)
  _, *lines = stream.getvalue().splitlines()
  assert lines[0] == 'after 12/162: sampling 19/1,024 (5 s)'
  assert len(lines) == 100 * 0.25 / terminal.QUIET_SECS


def test_a_text_is_printed_unchanged(clock):
  stream = io.StringIO()
  with terminal.Terminal(162, stream, clock) as screen:
    screen.say('a table\nof two lines')
  assert stream.getvalue() == 'a table\nof two lines\n'


def test_a_character_outside_the_logs_encoding_is_replaced(clock):
  stream = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
  terminal.Terminal(162, stream, clock).say('80.1 ± 1.2 %')
  assert stream.buffer.getvalue() == b'80.1 ? 1.2 %\n'


@pytest.mark.parametrize(
  ('secs', 'text'),
  [
    (0.4, '0 s'),
    (59.6, '1:00'),
    (92, '1:32'),
    (7510, '2:05:10'),
    (5.2 * 86400, '5.2 days'),
  ],
)
def test_a_duration_is_readable(secs, text):
  assert terminal.duration(secs) == text
