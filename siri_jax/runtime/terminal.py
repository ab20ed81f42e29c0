"""The terminal: one living line on a TTY, plain lines elsewhere."""

import logging
import os
import sys
import threading
import time

STEP_SECS = 2.0  # Plain lines of steps stand at least so far apart.
QUIET_SECS = 5.0  # After so long without a plain line, one says what goes on.
DRAW_SECS = 0.1  # The living line is drawn no more often than that
TICK_SECS = 1.0  # and no less often than that.
WORK_SECS = 1.0  # Work between steps is named once it takes so long.
DROPPED_FIRST = ('step', 'speed', 'cap', 'left', 'length', 'reward', 'work')
COLOURS = {'compress': '\033[36m', 'expand': '\033[33m'}


class Terminal:
  """Shows a run to whoever watches: `with Terminal(c.total_steps) as screen`.

  `step` shows a step that is done, `working` what goes on in between and
  before, `say` a text that stays.

  Attributes:
    moves: how often it has heard of work; what does not move hangs.
  """

  def __init__(
    self, total_steps, stream=None, clock=time.monotonic, quiet_secs=QUIET_SECS
  ):
    self.moves = 0
    self._total_steps = total_steps
    self._stream = stream or sys.stdout
    if hasattr(self._stream, 'reconfigure'):  # No '±' may end a run.
      self._stream.reconfigure(errors='replace')
    self._clock, self._quiet_secs = clock, quiet_secs
    self._living = self._stream.isatty() and os.environ.get('TERM') != 'dumb'
    self._status = {}  # What the newest step gave, part by part.
    self._steps = []  # (time, step) of the first step and of the newest.
    self._work = ''  # What goes on now, in a word,
    self._detail = ''  # how far it is,
    self._since = clock()  # and since when.
    self._shown = clock()  # When something was last written.
    # Reentrant: a signal's handler may speak while the line is being drawn.
    self._lock = threading.RLock()
    self._ended = threading.Event()
    self._handlers = []

  def __enter__(self):
    # A thread, as nothing else of ours runs during a long compilation.
    threading.Thread(target=self._tick_on, daemon=True).start()
    if self._living:
      self._stand_around_log()
    return self

  def __exit__(self, *_):
    self._ended.set()
    with self._lock:
      self._work = ''
      if self._draw():
        self._stream.write('\n')
      self._stream.flush()
      if self._living:
        logging.captureWarnings(False)
      for handler in self._handlers:
        logging.getLogger().removeHandler(handler)
      self._living = False

  def say(self, text):
    """Writes a text that stays, above the living line."""
    with self._lock:
      self._lift()
      self._stream.write(f'{text}\n')
      self._stream.flush()
      self._shown = self._clock()
      self._draw()

  def working(self, word, done=0, total=0, note=''):
    """Shows what goes on now and how far it is; call it as often as you like.

    Args:
      word: the work: 'SFT', 'sampling', 'evaluation', ...
      done: how much of it is done.
      total: how much there is, 0 where that is not known.
      note: a few words more, such as a loss.
    """
    with self._lock:
      self.moves += 1
      if word != self._work:
        self._work, self._since = word, self._clock()
      amount = f'{done:,}/{total:,}' if total else f'{done:,}' if done else ''
      self._detail = ' '.join(f'{amount} {note}'.split())
      self._show_work(DRAW_SECS)

  def doing(self):
    """What goes on now and how far it is, in words."""
    return f'{self._work} {self._detail}'.strip()

  def step(self, record):
    """Shows a step that is done, from its record in metrics.jsonl."""
    with self._lock:
      self.moves += 1
      now = self._clock()
      turned = not self._status or record['phase'] != self._status['phase']
      self._steps = [*self._steps[:1], (now, record['step'])]
      self._status = self._parts(record)
      self._work = ''
      last = record['step'] + 1 == self._total_steps
      if self._living:
        self._draw()
      elif turned or last or now - self._shown >= STEP_SECS:
        self.say('  '.join(part for part in self._status.values() if part))

  def _parts(self, record):
    """What a line says of a step, by name."""
    done = record['step'] + 1
    return {
      'phase': record['phase'],
      'step': f'{done}/{self._total_steps}',
      'cap': f'cap {record["cap"]:,}',
      'reward': f'reward {record["reward_mean"]:.2f}',
      'length': f'length {record["length_mean"]:,.1f}',
      'speed': f'{record["tokens_per_sec"]:,.0f} tok/s',
      'left': self._left(self._total_steps - done),
    }

  def _left(self, steps):
    """The time that so many steps take at the pace of those seen."""
    (began, first), (now, last) = self._steps[0], self._steps[-1]
    if first == last or not steps:  # The first step holds the compilation.
      return ''
    return f'{duration((now - began) / (last - first) * steps)} left'

  def _show_work(self, draw_secs=0.0):
    """Shows what goes on, unless something was shown only just before."""
    waited = self._clock() - self._shown
    if self._living and waited >= draw_secs:
      self._draw()
    elif not self._living and self._work and waited >= self._quiet_secs:
      step = self._status.get('step')
      self.say((f'after {step}: ' if step else '') + self._work_line())

  def _work_line(self):
    """What goes on now and since when; '' while it may be over at once."""
    secs = self._clock() - self._since
    if not self._work or (self._status and secs < WORK_SECS):
      return ''
    waited = f'({duration(secs)})' if secs >= WORK_SECS else ''
    return ' '.join(p for p in (self._work, self._detail, waited) if p)

  def _draw(self):
    """Draws the living line, and says whether there was one to draw."""
    if not self._living or not (self._status or self._work):
      return False
    line = fit({**self._status, 'work': self._work_line()}, self._width())
    colour = COLOURS.get(self._status.get('phase'))
    if colour and not os.environ.get('NO_COLOR'):
      phase, space, rest = line.partition(' ')
      line = f'{colour}{phase}\033[0m{space}{rest}'
    self._stream.write(f'\r\033[K{line}')
    self._stream.flush()
    self._shown = self._clock()
    return True

  def _lift(self):
    """Takes the living line away for something else to be written."""
    if self._living:
      self._stream.write('\r\033[K')
      self._stream.flush()

  def _width(self):
    """Columns of the terminal, as it is now."""
    try:
      return os.get_terminal_size(self._stream.fileno()).columns or 80
    except OSError:
      return 80

  def _tick_on(self):
    while not self._ended.wait(TICK_SECS):
      with self._lock:
        if not self._ended.is_set():
          self._show_work()

  def _stand_around_log(self):
    """Has the line lifted before a log record is written, and drawn after."""
    root = logging.getLogger()
    speakers = root.handlers or [logging.lastResort]
    handlers = [_Calls(self._lift), *speakers, _Calls(self._draw)]
    self._handlers = [h for h in handlers if h not in root.handlers]
    root.handlers[:] = handlers
    logging.captureWarnings(True)


class _Calls(logging.Handler):
  """A log handler that calls a function and writes nothing."""

  def __init__(self, function):
    super().__init__()
    self._function = function

  def emit(self, record):
    del record
    self._function()


def fit(parts, width):
  """Parts as one line shorter than `width`, the least wanted ones left out.

  Args:
    parts: dict of texts by name, in the order shown; empty ones are not.
    width: columns of the terminal.
  """
  parts = {name: text for name, text in parts.items() if text}
  for name in DROPPED_FIRST:
    if len('  '.join(parts.values())) >= width and len(parts) > 1:
      parts.pop(name, None)
  return '  '.join(parts.values())[: max(width - 1, 0)]


def duration(secs):
  """Seconds for people: '9 s', '1:32', '2:05:10', '5.2 days'."""
  minutes, secs = divmod(round(secs), 60)
  hours, minutes = divmod(minutes, 60)
  if hours >= 100:
    return f'{hours / 24:.1f} days'
  if hours:
    return f'{hours}:{minutes:02}:{secs:02}'
  return f'{minutes}:{secs:02}' if minutes else f'{secs} s'


def short(count):
  """A number for people, to three digits: '1.68M'."""
  count = float(f'{count:.3g}')
  for letter, size in zip('ZEPTGMk', range(21, 0, -3), strict=True):
    if count >= 10**size:
      return f'{count / 10**size:.3g}{letter}'
  return f'{count:g}'
