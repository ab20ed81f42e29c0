"""Supervised fine-tuning (SFT) of the built-in task's policy.

Random parameters are trained on the task's traces, which have redundant checks,
in rounds of one learning-rate cycle. After each round a gate tests whether the
policy copies operands and looks up digits well enough, so that GRPO works with
every seed. The result is cached; runs with equal settings share it.
"""

import fcntl
import functools
import hashlib
import json
import operator
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from siri_jax import compiled, types
from siri_jax.algorithm import losses, optimizers, packing, update
from siri_jax.data import arithmetic_audit
from siri_jax.models import attention, sharding
from siri_jax.runtime import checkpoint

SHOWN_EVERY, SAVED_EVERY = 20, 200  # Optimiser steps.
WINDOW_STEPS = 24  # Steps whose rows are packed together.
TRACE_TOKENS = 60  # Less than the mean length of a trace with its prompt.
GATE_TRACES = 256
GATE_FROM = 10_000_000  # Index of the gate's first trace; never trained on.


class UnfitError(ValueError):
  """The SFT policy did not pass its gate."""


def parameters(c, task, shape, fresh, screen, signals):
  """Parameters after SFT, from the cache if possible.

  Args:
    c: the config; sft_kw as in configs/quickstart.py.
    task: types.Task with traces.
    shape: decoder.ModelConfig.
    fresh: random parameters to start from.
    screen: terminal.Terminal.
    signals: stopwatch.Signals.
  Returns:
    The parameters, float32.
  Raises:
    UnfitError: the gate was not passed after the last round.
    stopwatch.StopRequested: a signal came; the progress is saved.
  """
  recipe = _recipe(c, shape)
  like = jax.eval_shape(lambda p: compiled.new_state(p, recipe.tx), fresh)
  layout = sharding.on_one_device(jax.devices()[0], like)
  folder = pathlib.Path(c.cache_dir, 'warm_starts', _name(c, task, shape))
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / '.lock', 'w') as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      screen.working('waiting for the SFT of another run')
      fcntl.flock(lock, fcntl.LOCK_EX)
    saves = checkpoint.CheckpointManager(folder, keep=1)
    try:
      found = saves.restore(checkpoint.abstract(like, layout.state), screen.say)
      state, facts = found or (compiled.new_state(fresh, recipe.tx), {})
      state = jax.device_put(state, layout.state)
      if not facts.get('passed'):
        state = _train(c, task, recipe, layout, state, saves, screen, signals)
    finally:
      saves.close()
  return state.params


def _train(c, task, recipe, layout, state, saves, screen, signals):
  """Trains in rounds until the gate is passed."""
  kw = c.sft_kw
  screen.working('SFT: compiling')
  # Nothing is frozen.
  learn = functools.partial(compiled.compile_update(recipe, layout), {})
  logprobs = functools.partial(compiled.compile_logprobs(recipe, layout), {})
  one, denom = np.int32(1), np.float32(kw.rows * kw.tokens)
  yes, no = np.bool_(True), np.bool_(False)
  for done, rows in _batches(c, task, int(state.step)):
    if signals.asked:
      saves.save(state, {'passed': False})
      signals.stop()
    state, metrics = learn(state, rows, one, denom, no, yes)
    if done % SHOWN_EVERY == 0:
      note = f'loss {float(metrics["loss"]):.3f}'
      screen.working('SFT', done, kw.steps * kw.rounds, note)
    round_over = done % kw.steps == 0
    passed = round_over and _passes(c, task, logprobs, state, screen)
    if round_over or done % SAVED_EVERY == 0:
      saves.save(state, {'passed': passed})
    if passed:
      return state
  raise UnfitError(
    f'SFT did not reach {dict(kw.gate)} in {kw.rounds} rounds of '
    f'{kw.steps} steps; raise one of them in sft_kw, or use another seed'
  )


def _batches(c, task, done):
  """Yields (steps done after it, its rows [1, M, R]) from step `done` on."""
  for step in range(done, c.sft_kw.steps * c.sft_kw.rounds):
    number, place = divmod(step, WINDOW_STEPS)
    if place == 0 or step == done:
      window = _window(c, task, number)
    yield step + 1, jax.tree.map(operator.itemgetter(place), window)


def _passes(c, task, logprobs, state, screen):
  """Whether the policy passes the gate; prints its values."""
  seen = _gate(c, task, logprobs, state.params)
  values = ', '.join(f'{name} {value:.3f}' for name, value in seen.items())
  screen.say(f'SFT after {int(state.step)} steps: {values}')
  return all(seen[name] >= least for name, least in c.sft_kw.gate.items())


def _recipe(c, shape):
  """The update config: cross-entropy and Muon, with a cosine rate per round."""
  kw = c.sft_kw

  def rate(peak):
    cycle = optax.warmup_cosine_decay_schedule(
      0.0, peak, kw.warmup_steps, kw.steps, peak / 20
    )
    return lambda count: cycle(count % kw.steps)

  return update.UpdateConfig(
    shape=shape,
    loss=losses.supervised,
    extra=(),
    tx=optimizers.muon(
      learning_rate=rate(kw.learning_rate),
      adam_learning_rate=rate(kw.adam_learning_rate),
      b1=c.optimizer_kw.b1,
      b2=kw.adam_b2,
      eps=c.optimizer_kw.eps,
      clip_norm=c.optimizer_kw.clip_norm,
    ),
    attend=attention.IMPLEMENTATIONS[c.update_kw.attention],
    dtype=jnp.dtype(c.compute_dtype),
    remat=c.update_kw.remat or 'nothing',  # The model is small.
    param_sharding=c.update_kw.param_sharding,
    temperature=1.0,
    chunk=c.update_kw.logprob_chunk_tokens,
  )


def _window(c, task, number):
  """Packed rows of the `number`th window of WINDOW_STEPS steps.

  Returns:
    types.PackedBatch [WINDOW_STEPS, 1, M, R].
  """
  kw = c.sft_kw
  count = WINDOW_STEPS * kw.rows * kw.row_tokens // TRACE_TOKENS
  samples = _samples(c, task, number * count, count)
  rows, used = packing.pack(
    samples,
    [_weights(c, s.response_ids) for s in samples],
    np.ones(len(samples), np.float32),
    _fit(c, micro_batch_rows=1),
  )
  # Shuffled, because packing groups sequences of similar length.
  order = np.random.default_rng([c.seed, number]).permutation(used)
  order = order[: WINDOW_STEPS * kw.rows]
  shape = (WINDOW_STEPS, 1, kw.rows, kw.row_tokens)
  return jax.tree.map(lambda x: x[order].reshape(shape), rows)


def _fit(c, micro_batch_rows):
  """A packing.PackingConfig for one device."""
  return packing.PackingConfig(
    row_tokens=c.sft_kw.row_tokens,
    sequences=attention.SEQUENCES,
    micro_batch_rows=micro_batch_rows,
    devices=1,
    cost=(0, 0),
  )


def _samples(c, task, first, count):
  """Traces as samples; a trace longer than a row is cut."""
  return [
    types.Tokens(
      prompt_ids=np.asarray(task.encode(problem), np.int32),
      response_ids=np.asarray(
        ids[: c.sft_kw.row_tokens - c.max_prompt_tokens], np.int32
      ),
    )
    for problem, ids in task.traces(first, count)
  ]


def _weights(c, response_ids):
  """Weight of each token: higher for operands and for digits of checks."""
  roles = arithmetic_audit.roles(response_ids)
  return np.where(roles > 0, c.sft_kw.skill_weight, 1.0)


def _gate(c, task, logprobs, params):
  """Mean probability of the right token, by role of the token.

  Returns:
    dict: 'copied', of operands at the worst step index; 'looked_up', of the
    digits of a first check.
  """
  samples = _samples(c, task, GATE_FROM, GATE_TRACES)
  found = {}
  for first in range(0, GATE_TRACES, c.sft_kw.rows):
    part = samples[first : first + c.sft_kw.rows]
    rows, count = packing.pack(
      part,
      [arithmetic_audit.roles(s.response_ids) for s in part],
      np.ones(len(part)),
      _fit(c, micro_batch_rows=c.sft_kw.rows),
    )
    logp, _ = logprobs(params, rows, np.int32(count))
    logp = np.asarray(logp)
    for role in np.unique(rows.mask[rows.mask > 0]):
      found.setdefault(int(role), []).append(logp[rows.mask == role])
  right = {role: np.exp(np.concatenate(x)).mean() for role, x in found.items()}
  looked_up = right.pop(arithmetic_audit.CHECK)
  return {'copied': float(min(right.values())), 'looked_up': float(looked_up)}


def _name(c, task, shape):
  """A name from a digest of everything that affects the result."""
  decides = [
    c.seed,
    c.sft_kw.to_dict(),
    c.optimizer_kw.b1,
    c.optimizer_kw.eps,
    c.optimizer_kw.clip_norm,
    c.compute_dtype,
    c.update_kw.attention,
    c.task_kw.to_dict(),
    task.fingerprints,
    str(shape),
    jax.__version__,
  ]
  text = json.dumps(decides, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
