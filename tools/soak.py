"""Interrupts a run at random moments and compares it with an undisturbed run.

  python -m tools.soak --config=configs/quickstart.py [--ends=20] [--seed=0]
    [--folder=runs/soak] [--config.KEY=VALUE ...]

The first run is undisturbed. The second is ended by KILL or TERM at random
moments (--seed) and resumed. Parameters, metrics, evaluations and samples must
be equal bit for bit, except for times and cache counts. The exit status is 0 if
they are. Both runs are in --folder; a soak that is interrupted starts over.
"""

import argparse
import hashlib
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp

from siri_jax.analysis import runs
from siri_jax.runtime import checkpoint, files

PASSING = ('secs', 'per_sec', 'time', 'grader_cached')
STATUSES = {
  signal.SIGKILL: {-signal.SIGKILL},
  signal.SIGTERM: {128 + signal.SIGTERM, -signal.SIGTERM},
}


def main(argv):
  """Runs both, prints each interruption, and returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--ends', type=int, default=20)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--folder', type=pathlib.Path, default='runs/soak')
  asked, rest = parser.parse_known_args(argv)
  whole, broken = asked.folder / 'whole', asked.folder / 'broken'
  for run in (whole, broken):
    shutil.rmtree(run, ignore_errors=True)
    run.with_suffix('.txt').unlink(missing_ok=True)
  print(f'undisturbed: progress is in {whole}.txt', flush=True)
  began = time.monotonic()
  run_on(whole, rest)
  secs = time.monotonic() - began
  print(
    f'undisturbed: {secs:.0f} s, {runs.steps_done(whole)} steps', flush=True
  )
  ends = plan(asked.ends, runs.steps_done(whole), secs, asked.seed)
  began = time.monotonic()
  for number, (step, wait, how) in enumerate(ends, 1):
    print(f'{number}: {end(broken, rest, step, wait, how)}', flush=True)
  run_on(broken, rest)
  print(f'ended {len(ends)} times: {time.monotonic() - began:.0f} s in all')
  differ = differences(whole, broken)
  print(f'differ: {", ".join(differ)}' if differ else 'equal, bit for bit')
  return 1 if differ else 0


def plan(ends, steps, secs, seed):
  """Draws the moment and the signal that end each attempt.

  Args:
    ends: number of attempts.
    steps: steps of the whole run.
    secs: seconds of the whole run.
    seed: seed of the draws.
  Returns:
    list of (records to wait for, seconds to wait after them, signal), the
    records ascending.
  """
  draw = random.Random(seed)
  moments = sorted(draw.randrange(steps) for _ in range(ends))
  return [
    (at, draw.uniform(0, secs / steps), draw.choice(list(STATUSES)))
    for at in moments
  ]


def end(folder, arguments, step, wait, how):
  """Starts an attempt and ends it by a signal; returns a line about it."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  with started(folder, arguments) as process:
    while runs.steps_done(folder) < step and process.poll() is None:
      time.sleep(0.01)
    time.sleep(wait)
    process.send_signal(how)
    status = process.wait()
  if status not in STATUSES[how] | {0}:  # 0: it ended before the signal.
    raise RuntimeError(f'status {status} on {how.name}; see {folder}.txt')
  return f'{how.name} at {runs.steps_done(folder)} steps'


def run_on(folder, arguments):
  """Runs an attempt to its end."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  with started(folder, arguments) as process:
    if process.wait():
      raise RuntimeError(f'status {process.returncode}; see {folder}.txt')


def started(folder, arguments):
  """Starts a run as a process; its output goes to <folder>.txt."""
  log = open(folder.with_suffix('.txt'), 'ab')  # noqa: SIM115
  words = [sys.executable, '-m', 'siri_jax.main', f'--workdir={folder}']
  with log:
    return subprocess.Popen([*words, *arguments], stdout=log, stderr=log)


def differences(one, other):
  """Names of the results in which two runs differ."""
  one, other = outcome(one), outcome(other)
  return [name for name in one if one[name] != other[name]]


def outcome(folder):
  """The results that are equal for all runs of a config, interrupted or not."""
  newest = max((folder / 'checkpoints').glob('[0-9]' * 6))
  with ocp.StandardCheckpointer() as checkpointer:
    arrays = checkpointer.restore((newest / 'state').resolve())
  return {
    'updates': newest.name,
    'parameters': digest(arrays),
    'memory': checkpoint.read_facts(newest.parent, int(newest.name))['memory'],
    'metrics': untimed(folder / 'metrics.jsonl'),
    'evaluations': untimed(folder / 'eval.jsonl'),
    'samples': {
      str(path.relative_to(folder)): path.read_bytes()
      for path in sorted(folder.rglob('*.jsonl.gz'))
    },
  }


def untimed(path):
  """Records without times and cache counts."""
  return [
    {k: v for k, v in record.items() if not k.endswith(PASSING)}
    for record in files.read_records(path)
  ]


def digest(tree):
  """sha256 of the bytes of a tree's arrays."""
  found = hashlib.sha256()
  for array in jax.tree.leaves(tree):
    found.update(np.asarray(array).tobytes())
  return found.hexdigest()


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
