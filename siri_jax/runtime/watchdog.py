"""Ends a run that makes no progress, and writes a report."""

import faulthandler
import os
import threading

from siri_jax.runtime import files

STALLED = 4  # Exit status; tools/supervise.sh restarts the run.
TICKS = 20  # Checks within the allowed time.
REPORT_SECS = 30.0  # Limit for the report, because the disk may hang.


class Watchdog:
  """A thread that checks whether the terminal still reports progress.

  It counts checks and reads no clock, so that a stopped process or a sleeping
  machine does not count as a stall.
  """

  def __init__(self, folder, screen, *, secs):
    """Watches only within the context.

    Args:
      folder: run_folder.RunFolder, for the report.
      screen: terminal.Terminal, whose `moves` count progress.
      secs: longest time without progress.
    """
    self._folder, self._screen, self._secs = folder, screen, secs
    self._asked = {}
    self._ended = threading.Event()

  def __enter__(self):
    threading.Thread(target=self._watch, daemon=True).start()
    return self

  def __exit__(self, *_):
    self._ended.set()

  def ask(self, **about):
    """Adds functions whose results go into the report."""
    self._asked |= about

  def _watch(self):
    seen, looks = -1, 0
    while not self._ended.wait(self._secs / TICKS):
      moves = self._screen.moves
      looks, seen = (looks + 1 if moves == seen else 0), moves
      if looks >= TICKS:
        self._end()

  def _end(self):
    report = threading.Thread(target=self._report, daemon=True)
    report.start()
    report.join(REPORT_SECS)
    os._exit(STALLED)

  def _report(self):
    records = files.read_records(self._folder.path / 'metrics.jsonl')
    steps = len(records)
    path = self._folder.path / 'stalls' / f'{steps:06d}.txt'
    doing = self._screen.doing() or 'unknown'
    self._screen.say(
      f'no progress for {self._secs:g} s (activity: {doing}); ending. '
      f'{path} has the stacks; the same command resumes the run'
    )
    path.parent.mkdir(exist_ok=True)
    with open(path, 'a') as file:
      file.write(f'No progress for {self._secs:g} s, doing: {doing}\n\n')
      file.flush()
      faulthandler.dump_traceback(file, all_threads=True)
      asked = {'last record': records[-1:], **self._answers()}
      for name, answer in asked.items():
        file.write(f'\n{name}: {files.to_json(answer)}\n')
    self._folder.event('stalled', step=steps, doing=doing, report=str(path))

  def _answers(self):
    return {name: function() for name, function in self._asked.items()}
