"""The quickstart's first third: whether a run learns and compiles once."""

import pathlib
import subprocess
import sys
import tempfile

from siri_jax.runtime import files
from tools.gpu_check.findings import checked, measured

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 54  # One cycle.
ACCURACY = 95.0  # %, after it; 98 were measured on a CPU.
# Two steps of an untrained policy.
TINY = {
  'policy': 'fresh',
  'schedule_kw.period': 2,
  'prompts_per_step': 4,
  'group_size': 2,
  'minibatches': 1,
  'task_kw.problems': 64,
  'task_kw.held_out': 8,
}


def check(tiny):
  """Yields the accuracy at the end, programs compiled, and seconds a step."""
  settings = {
    'total_steps': 2 if tiny else STEPS,
    'writers': '()',
    'record_kw.picture_every': 0,
    **(TINY if tiny else {}),
  }
  with tempfile.TemporaryDirectory() as folder:
    run = pathlib.Path(folder, 'run')
    changes = [f'--config.{key}={value}' for key, value in settings.items()]
    subprocess.run(
      [
        *(sys.executable, '-m', 'siri_jax.main'),
        *('--config=configs/quickstart.py', f'--workdir={run}', *changes),
      ],
      cwd=ROOT,
      check=True,
      stdout=sys.stderr,  # Into the part's log.
    )
    steps = files.read_records(run / 'metrics.jsonl')
    *_, last = files.read_records(run / 'eval.jsonl')
  least = 0.0 if tiny else ACCURACY
  accuracy = 100 * last['accuracy']
  yield checked('held-out accuracy at the end', accuracy, '%', at_least=least)
  first = steps[0]['compile_count']
  again = max(step['compile_count'] for step in steps) - first
  yield checked('programs compiled after the first step', again, at_most=0)
  secs = sorted(step['step_secs'] for step in steps)
  yield measured('a step, median', secs[len(secs) // 2], 's')
