"""The supervised start of the built-in task's policy: a small base model.

Fresh parameters learn the task's traces, with all their needless checks, in
rounds of one learning-rate cycle each; after a round a gate asks whether the
policy copies and looks up as the traces do, for a seed's draws must not
decide whether what follows works. The result lies in the cache folder, where
every run with the same settings finds it.
"""

import fcntl
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
TRACE_TOKENS = 60  # Fewer than a trace and its prompt have on average.
GATE_TRACES = 256
GATE_FROM = 10_000_000  # The first trace of the gate's; none is learned from.


class UnfitError(ValueError):
  """An SFT policy that did not pass its gate; says what it lacked."""


def parameters(c, task, shape, fresh, screen, signals):
  """Warm-started parameters, from the cache folder if they lie there.

  Args:
    c: the config; sft_kw as in configs/quickstart.py.
    task: types.Task with traces.
    shape: qwen2.ModelConfig.
    fresh: the parameters to start from.
    screen: terminal.Terminal.
    signals: stopwatch.Signals.
  Returns:
    The parameters, float32.
  Raises:
    UnfitError: the gate was not passed after the last round.
    stopwatch.StopRequested: a signal came; what was learned is saved.
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
  """Rounds of supervised steps until the gate is passed."""
  kw = c.sft_kw
  learn = compiled.compile_update(recipe, layout)
  logprobs = compiled.compile_logprobs(recipe, layout)
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
    f'{kw.steps} steps: raise one of them in sft_kw, or take another seed'
  )


def _batches(c, task, done):
  """(steps done with it, its rows [1, M, R]) for each step from `done` on."""
  for step in range(done, c.sft_kw.steps * c.sft_kw.rounds):
    number, place = divmod(step, WINDOW_STEPS)
    if place == 0 or step == done:
      window = _window(c, task, number)
    yield step + 1, jax.tree.map(operator.itemgetter(place), window)


def _passes(c, task, logprobs, state, screen):
  """Whether the policy passes the gate; prints what was measured."""
  seen = _gate(c, task, logprobs, state.params)
  told = ', '.join(f'{name} {value:.3f}' for name, value in seen.items())
  screen.say(f'SFT after {int(state.step)} steps: {told}')
  return all(seen[name] >= least for name, least in c.sft_kw.gate.items())


def _recipe(c, shape):
  """Cross-entropy under Muon, whose rates are a cosine anew each round."""
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
    attend=attention.IMPLEMENTATIONS[c.attention],
    dtype=jnp.dtype(c.compute_dtype),
    remat=c.remat or 'nothing',  # It is small.
    param_sharding=c.param_sharding,
    temperature=1.0,
    chunk=c.logprob_chunk_tokens,
  )


def _window(c, task, number):
  """Packed rows for the next WINDOW_STEPS steps, a function of the number.

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
  # Shuffled: packing puts sequences of like length together.
  order = np.random.default_rng([c.seed, number]).permutation(used)
  order = order[: WINDOW_STEPS * kw.rows]
  shape = (WINDOW_STEPS, 1, kw.rows, kw.row_tokens)
  return jax.tree.map(lambda x: x[order].reshape(shape), rows)


def _fit(c, micro_batch_rows):
  """Rows that one device reads, in the order in which they are filled."""
  return packing.PackingConfig(
    row_tokens=c.sft_kw.row_tokens,
    sequences=attention.SEQUENCES,
    micro_batch_rows=micro_batch_rows,
    devices=1,
    cost=(0, 0),
  )


def _samples(c, task, first, count):
  """Traces as samples; one that is longer than a row is cut like a response."""
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
  """Weight of each token: more on operands, copied, and on checks' digits."""
  roles = arithmetic_audit.roles(response_ids)
  return np.where(roles > 0, c.sft_kw.skill_weight, 1.0)


def _gate(c, task, logprobs, params):
  """Mean probability of the right token, by what the token is for.

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
  """A name for all that decides the result."""
  decides = [
    c.seed,
    c.sft_kw.to_dict(),
    c.optimizer_kw.b1,
    c.optimizer_kw.eps,
    c.optimizer_kw.clip_norm,
    c.compute_dtype,
    c.attention,
    task.fingerprints,
    str(shape),
    jax.__version__,
  ]
  text = json.dumps(decides, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
