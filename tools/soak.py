"""Ends a run at random moments, again and again, and compares what comes out.

  python -m tools.soak --config=configs/quickstart.py [--ends=20] [--seed=0]
    [--folder=runs/soak] [--config.KEY=VALUE ...]

One run goes through undisturbed; one is ended by KILL or TERM, in turns drawn
by the seed, and gone on with. Parameters, metrics, evaluations and samples
have to be equal, bit for bit, but for what a clock or a cache says. Exit
status 0 if they are. Both runs lie in --folder; a soak that is itself ended
starts anew.
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
from siri_jax.runtime import files

PASSING = ('secs', 'per_sec', 'time', 'grader_cached')
STATUSES = {
  signal.SIGKILL: {-signal.SIGKILL},
  signal.SIGTERM: {128 + signal.SIGTERM, -signal.SIGTERM},
}


def main(argv):
  """Soaks, tells of each end, and returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--ends', type=int, default=20)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--folder', type=pathlib.Path, default='runs/soak')
  asked, rest = parser.parse_known_args(argv)
  whole, broken = asked.folder / 'whole', asked.folder / 'broken'
  for run in (whole, broken):
    shutil.rmtree(run, ignore_errors=True)
    run.with_suffix('.txt').unlink(missing_ok=True)
  print(f'undisturbed: {whole}.txt tells how far it is', flush=True)
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
  """When each attempt is ended.

  Args:
    ends: how many there are.
    steps: of the whole run.
    secs: that the whole run took.
    seed: of the draws.
  Returns:
    list of (records to wait for, seconds to wait then, signal), the records
    ascending.
  """
  draw = random.Random(seed)
  moments = sorted(draw.randrange(steps) for _ in range(ends))
  return [
    (at, draw.uniform(0, secs / steps), draw.choice(list(STATUSES)))
    for at in moments
  ]


def end(folder, arguments, step, wait, how):
  """Ends one attempt, and tells of it in words."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  with started(folder, arguments) as process:
    while runs.steps_done(folder) < step and process.poll() is None:
      time.sleep(0.01)
    time.sleep(wait)
    process.send_signal(how)
    status = process.wait()
  if status not in STATUSES[how] | {0}:  # It may just have been done.
    raise RuntimeError(f'status {status} on {how.name}; see {folder}.txt')
  return f'{how.name} at {runs.steps_done(folder)} steps'


def run_on(folder, arguments):
  """Runs an attempt to its end."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  with started(folder, arguments) as process:
    if process.wait():
      raise RuntimeError(f'status {process.returncode}; see {folder}.txt')


def started(folder, arguments):
  """The program as a process; what it says goes to <folder>.txt."""
  said = open(folder.with_suffix('.txt'), 'ab')  # noqa: SIM115
  words = [sys.executable, '-m', 'siri_jax.main', f'--workdir={folder}']
  with said:
    return subprocess.Popen([*words, *arguments], stdout=said, stderr=said)


def differences(one, other):
  """Names of what two runs do not have in common."""
  one, other = outcome(one), outcome(other)
  return [name for name in one if one[name] != other[name]]


def outcome(folder):
  """What runs of the same config have in common, however often broken off."""
  newest = max((folder / 'checkpoints').glob('[0-9]' * 6))
  with ocp.StandardCheckpointer() as checkpointer:
    arrays = checkpointer.restore((newest / 'state').resolve())
  return {
    'updates': newest.name,
    'parameters': digest(arrays),
    'metrics': untimed(folder / 'metrics.jsonl'),
    'evaluations': untimed(folder / 'eval.jsonl'),
    'samples': {
      str(path.relative_to(folder)): path.read_bytes()
      for path in sorted(folder.rglob('*.jsonl.gz'))
    },
  }


def untimed(path):
  """Records but for what a clock or the graders' cache said."""
  return [
    {k: v for k, v in record.items() if not k.endswith(PASSING)}
    for record in files.read_records(path)
  ]


def digest(tree):
  """sha256 of a tree's arrays, bit for bit."""
  found = hashlib.sha256()
  for array in jax.tree.leaves(tree):
    found.update(np.asarray(array).tobytes())
  return found.hexdigest()


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
