"""Run folders with steps and evaluations of known values."""

import math

from siri_jax.runtime import run_folder

COSINE = {'low': 46, 'high': 92, 'period': 8, 'phase': 0}


def step_record(step, cap=None):
  """A step of a run with a cap of period 8."""
  swing = round(69 + 23 * math.cos(2 * math.pi * step / 8))
  return {
    'step': step,
    'cap': cap or swing,
    'phase': 'compress' if step % 8 < 4 else 'expand',
    'accuracy': 0.5 + step / 100,
    'length_mean': 40.0 - step,
    'length_p90': 45.5,
    'length_wrong': None if step == 1 else 38.0,
    'entropy': 0.4,
    'reward_mean': 0.5,
    'loss': 1e-3,
    'grad_norm': 0.3,
    'rollout_secs': 2.0,
    'update_secs': 1.0,
    'step_secs': 3.0,
    'tokens_per_sec': 4000.0,
  }


def evaluation(step, kind, accuracy, length, name='held_out', **changes):
  return {
    'step': step,
    'kind': kind,
    'set': name,
    'accuracy': accuracy,
    'accuracy_se': 0.01,
    'length': length,
    'length_se': 0.5,
    'truncated_frac': 0.02,
    'tokens': 10_000 * step,
    **changes,
  }


def sample(**changes):
  """A sample as in eval/ and rollouts/."""
  return {
    **dict(problem_id='p0', index=0, length=10, finish_reason='stop'),
    **dict(correct=True, extracted='1', why='equal', answer='1'),
    **dict(problem='one?', response='wait </think> 1'),
    **changes,
  }


POINTS = [
  evaluation(0, 'start', 0.50, 50.0),
  evaluation(4, 'compressed', 0.60, 30.0),
  evaluation(8, 'expanded', 0.75, 40.0),
]


def make(path, steps=16, evals=POINTS, source='configs/a.py', **changes):
  """A run's folder with steps of `step_record`."""
  config = {
    **dict(seed=0, task='arithmetic', cap_at='sampler'),
    'eval_kw': {'cap': 92},
    **dict(total_steps=16, schedule='cosine', schedule_kw=COSINE),
    **changes,
  }
  with run_folder.RunFolder(path, config, source=source, overrides={}) as made:
    made.start(0)
    for step in range(steps):
      cap = 92 if config['schedule'] == 'constant' else None
      made.append('metrics', step_record(step, cap))
    for record in evals:
      made.append('eval', record)
  return path
