"""Progress on the terminal: one updated line on a TTY, else plain lines."""

import logging
import os
import sys
import threading
import time

import tqdm

STEP_SECS = 2.0  # Least time between plain lines of steps.
QUIET_SECS = 5.0  # Longest time without a plain line.
DRAW_SECS = 0.1  # Least time between redraws of the updated line.
TICK_SECS = 1.0  # Longest time between redraws.
WORK_SECS = 1.0  # Least duration of an activity that is shown.
# Of a line that is too long; the step stays.
DROPPED_FIRST = (
  *('bar', 'speed', 'reward', 'phase', 'left', 'cap', 'length', 'work'),
)
BAR = 10  # Columns of the bar.
COLOURS = {'compress': '\033[36m', 'expand': '\033[33m'}


class Terminal:
  """Shows the progress of a run: `with Terminal(c.total_steps) as screen`.

  `step` shows a finished step, `working` the current activity, and `say` a line
  that stays.

  Attributes:
    moves: number of progress calls; the watchdog reads it.
  """

  def __init__(
    self, total_steps, stream=None, clock=time.monotonic, quiet_secs=QUIET_SECS
  ):
    self.moves = 0
    self._total_steps = total_steps
    self._stream = stream or sys.stdout
    if hasattr(self._stream, 'reconfigure'):  # '±' must not raise.
      self._stream.reconfigure(errors='replace')
    self._clock, self._quiet_secs = clock, quiet_secs
    self._living = self._stream.isatty() and os.environ.get('TERM') != 'dumb'
    self._status = {}  # The parts of the newest step's line.
    self._steps = []  # (time, step) of the first step and of the newest.
    self._work = ''  # The current activity,
    self._detail = ''  # its progress,
    self._since = clock()  # and its start.
    self._shown = clock()  # Time of the last output.
    # Reentrant: a signal handler may print while the line is being drawn.
    self._lock = threading.RLock()
    self._ended = threading.Event()
    self._handlers = []

  def __enter__(self):
    # A thread, because the main thread is busy during a long compilation.
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
    """Prints a line that stays, above the updated line."""
    with self._lock:
      self._lift()
      self._stream.write(f'{text}\n')
      self._stream.flush()
      self._shown = self._clock()
      self._draw()

  def working(self, word, done=0, total=0, note=''):
    """Shows the current activity and its progress; may be called often.

    Args:
      word: the activity: 'SFT', 'sampling', 'evaluation', ...
      done: amount of work done.
      total: amount in all, 0 if unknown.
      note: further words, such as a loss.
    """
    with self._lock:
      self.moves += 1
      if word != self._work:
        self._work, self._since = word, self._clock()
      amount = f'{done:,}/{total:,}' if total else f'{done:,}' if done else ''
      self._detail = ' '.join(f'{amount} {note}'.split())
      self._show_work(DRAW_SECS)

  def doing(self):
    """The current activity and its progress as text."""
    return f'{self._work} {self._detail}'.strip()

  def step(self, record):
    """Shows a finished step, from its record in metrics.jsonl."""
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
    """The parts of a step's line, by name."""
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
    """The time for `steps` more steps at the pace so far."""
    (began, first), (now, last) = self._steps[0], self._steps[-1]
    if first == last or not steps:  # The first step includes compilation.
      return ''
    return f'{duration((now - began) / (last - first) * steps)} left'

  def _show_work(self, draw_secs=0.0):
    """Shows the current activity, unless there was output just before."""
    waited = self._clock() - self._shown
    if self._living and waited >= draw_secs:
      self._draw()
    elif not self._living and self._work and waited >= self._quiet_secs:
      step = self._status.get('step')
      self.say((f'after {step}: ' if step else '') + self._work_line())

  def _work_line(self):
    """The current activity and its duration; '' if it just began."""
    secs = self._clock() - self._since
    if not self._work or (self._status and secs < WORK_SECS):
      return ''
    waited = f'({duration(secs)})' if secs >= WORK_SECS else ''
    return ' '.join(p for p in (self._work, self._detail, waited) if p)

  def _draw(self):
    """Draws the updated line; returns whether there was one."""
    if not self._living or not (self._status or self._work):
      return False
    parts = {**self._status, 'work': self._work_line(), 'bar': self._bar()}
    line = fit(parts, self._width())
    phase = self._status.get('phase', '')
    colour = COLOURS.get(phase) if line.startswith(phase) else None
    if colour and not os.environ.get('NO_COLOR'):
      phase, space, rest = line.partition(' ')
      line = f'{colour}{phase}\033[0m{space}{rest}'
    self._stream.write(f'\r\033[K{line}')
    self._stream.flush()
    self._shown = self._clock()
    return True

  def _bar(self):
    """A bar of the steps done; '' before the first."""
    if not self._steps:
      return ''
    return tqdm.tqdm.format_meter(
      self._steps[-1][1] + 1,
      self._total_steps,
      elapsed=0,
      ascii='utf' not in (getattr(self._stream, 'encoding', '') or '').lower(),
      bar_format=f'|{{bar:{BAR}}}|',
    )

  def _lift(self):
    """Erases the updated line before other output."""
    if self._living:
      self._stream.write('\r\033[K')
      self._stream.flush()

  def _width(self):
    """Current width of the terminal in columns."""
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
    """Erases the line before each log record and draws it after."""
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
  """Joins parts to one line shorter than `width`; drops unimportant parts.

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
  """Seconds as text: '9 s', '1:32', '2:05:10', '5.2 days'."""
  minutes, secs = divmod(round(secs), 60)
  hours, minutes = divmod(minutes, 60)
  if hours >= 100:
    return f'{hours / 24:.1f} days'
  if hours:
    return f'{hours}:{minutes:02}:{secs:02}'
  return f'{minutes}:{secs:02}' if minutes else f'{secs} s'


def short(count):
  """A number with three digits: '1.68M'."""
  count = float(f'{count:.3g}')
  for letter, size in zip('ZEPTGMk', range(21, 0, -3), strict=True):
    if count >= 10**size:
      return f'{count / 10**size:.3g}{letter}'
  return f'{count:g}'
