"""The job on siri_jax: runs its command and reads metrics.jsonl.

python tools/benchmarks/peers/siri_peer.py SIZE STEPS FOLDER
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import job

LOOK_SECS = 0.01  # Interval between two reads of the file.


def command(steps, folder, run):
  """The command line of the run, with empty caches."""
  settings = {
    'model_path': folder,
    'task_kw.train': f'{folder}/problems.jsonl',
    'task_kw.tokenizer': f'{folder}/tokenizer',
    'cache_dir': run / 'cache',
  }
  return [
    *(sys.executable, '-m', 'siri_jax.main'),
    f'--config=tools/benchmarks/peers/siri_job.py:{steps}',
    f'--workdir={run / "run"}',
    *(f'--config.{name}={value}' for name, value in settings.items()),
  ]


def watch(process, metrics):
  """Reports every step as its record appears, until the run ends."""
  last, rest = time.perf_counter(), ''
  for text in growing(process, metrics):
    *records, rest = (rest + text).split('\n')
    for record in map(json.loads, records):
      now = time.perf_counter()
      job.report(record['step'], now - last, record['tokens'])
      last = now


def growing(process, path):
  """Yields the text added to a file while a process runs."""
  while not path.is_file() and process.poll() is None:
    time.sleep(LOOK_SECS)
  if path.is_file():
    with path.open() as file:
      while process.poll() is None:
        yield file.read()
        time.sleep(LOOK_SECS)
      yield file.read()


def main(size, steps, folder):
  """Runs siri_jax and returns its exit status."""
  del size  # The folder has the policy.
  folder = pathlib.Path(folder).resolve()
  with tempfile.TemporaryDirectory() as run:
    run = pathlib.Path(run)
    root = pathlib.Path(__file__).parents[3]
    # stdout is for the reports only.
    with subprocess.Popen(
      command(steps, folder, run), cwd=root, stdout=sys.stderr
    ) as process:
      watch(process, run / 'run/metrics.jsonl')
    return process.returncode


if __name__ == '__main__':
  sys.exit(main(*sys.argv[1:]))
