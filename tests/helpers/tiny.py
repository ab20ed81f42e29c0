"""A config whose run takes seconds: python -m siri_jax.main --config=this."""

import contextlib
import io
from unittest import mock

import jax.numpy as jnp
from ml_collections import config_dict

from siri_jax import build, trainer
from siri_jax.config import base, plan, plugin_defaults
from siri_jax.data import load
from siri_jax.rollout import engines, weight_sync
from siri_jax.runtime import distributed, terminal, xla_flags


def brevity(batch):
  """A reward for short responses, which an untrained policy can get.

  Args:
    batch: types.Batch.
  Returns:
    float32 [B], the share of the cap that is left.
  """
  return 1 - batch.length / jnp.float32(batch.cap)


def fresh_words(batch, memory):
  """A text reward: the share of words that the last response did not have.

  Args:
    batch: types.TextBatch.
    memory: problem id -> the first words of its last response.
  Returns:
    list of B numbers in [0, 1], and the new memory.
  """
  rewards, last = [], {}
  for problem, text in zip(batch.problems, batch.completions, strict=True):
    words, old = text.split(), memory.get(problem.id, ())
    rewards.append(len(set(words) - set(old)) / (len(words) + 1))
    last[problem.id] = words[:9]
  return rewards, last


def publishing(engine, *, max_concurrent, decode_steps):
  """The embedded engine, which also writes each push for servers."""
  own = engines.embedded(
    engine, max_concurrent=max_concurrent, decode_steps=decode_steps
  )
  publisher = weight_sync.WeightPublisher(
    engine.server.folder, 'tiny', engine.publish, push_secs=1.0, sleeps=False
  )
  take = own.push

  def both(params, version):
    publisher.write(params, version)
    take(params, version)

  own.push = both
  return own


def get_config():
  c = base.get_config()
  c.total_steps = 6
  c.writers = ()  # TensorBoard's writer imports torch, if installed.
  c.task = 'arithmetic'
  c.task_kw = config_dict.ConfigDict(
    plugin_defaults.LINES['task']['arithmetic'] | dict(problems=64, held_out=8)
  )
  c.max_prompt_tokens = 23
  c.grading_rule = 'exact'
  c.grading_rule_kw = config_dict.create(kind='continuation')
  c.grader_kw.workers = 1
  c.reward = 'tests.helpers.tiny:brevity'

  c.policy = 'fresh'
  c.model_kw = config_dict.create(
    model_type='qwen2',
    layers=1,
    dim=16,
    heads=2,
    kv_heads=1,
    head_dim=8,
    mlp=32,
    rope_theta=100.0,
    norm_eps=1e-6,
    tied=False,
  )
  c.compute_dtype = 'float32'
  c.update_kw.remat = 'nothing'

  c.schedule_kw = config_dict.create(low=4, high=8, period=4, phase=0)
  c.engine_kw = config_dict.create(max_concurrent=8, decode_steps=8)
  c.prompts_per_step, c.group_size = 4, 4
  c.learning_rate = 1e-2
  c.update_kw.row_tokens = 32
  c.update_kw.micro_batch_rows = 4
  c.update_kw.logprob_chunk_tokens = 64

  c.eval_kw.every = 0
  c.checkpoint_kw.every = 1
  c.checkpoint_kw.keep = 2
  c.record_kw.rollouts_every = 2
  c.record_kw.picture_every = 0
  c.eval_kw.samples = 1
  c.eval_kw.table_samples = 4
  c.eval_kw.cap = 8
  return c


def train(path, cache, *, killed=None, **changes):
  """Trains a run of this config to its end, or until it is killed.

  Args:
    path: the run's folder.
    cache: cache of compiled programs.
    killed: number of updates, after which the push fails; None: to the end.
    **changes: settings that differ.
  """
  with opened(path, cache, **changes) as parts:
    push = parts[0].push

    def push_until(params, version):
      if version == killed:
        raise InterruptedError
      push(params, version)

    parts[0].push = push_until
    with contextlib.suppress(InterruptedError):
      trainer.train(*parts)


PROGRAMS = {}  # Of the runs of this process, by their settings.
compile_programs = build.compile_programs


def shared_programs(plan, *given, **more):
  """build.compile_programs, once for runs of equal settings.

  Tracing takes most of the time of a run of a few steps. The tests in faults/
  resume runs in new processes, which trace and compile their own.
  """
  settings = {**plan.c.to_dict(), 'cache_dir': ''}
  key = repr(sorted(settings.items()))
  if key not in PROGRAMS:
    PROGRAMS[key] = compile_programs(plan, *given, **more)
  return PROGRAMS[key]


def changed(**changes):
  """The tiny config with settings changed; {'a.b': value} reaches within."""
  c = get_config()
  with c.ignore_type(), c.unlocked():
    for name, value in changes.items():
      *outer, last = name.split('.')
      place = c
      for key in outer:
        place = place[key]
      kw = last.endswith('_kw')
      place[last] = config_dict.create(**value) if kw else value
  return c


@contextlib.contextmanager
def opened(path, cache, **changes):
  """A context with a run of this config, ready to train.

  Runs of equal settings share their compiled programs.

  Args:
    path: the run's folder.
    cache: cache of compiled programs.
    **changes: settings that differ.
  Yields:
    (context.TrainContext, types.TrainState, progress.Progress to start from).
  """
  c = changed(cache_dir=str(cache), **changes)
  xla_flags.set_up(c.cache_dir)
  made = plan.make(c)
  task, _ = load.load_task(c)
  asked = dict(source='tests/helpers/tiny.py', overrides={}, allow_change=())
  with (
    mock.patch.object(build, 'compile_programs', shared_programs),
    build.open_folder(path, c, **asked) as folder,
    terminal.Terminal(c.total_steps, stream=io.StringIO()) as screen,
    build.open_run(
      made, task, folder, screen, distributed.SingleProcess()
    ) as parts,
  ):
    yield parts
