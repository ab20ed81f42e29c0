"""Programs that threads compile before their first call."""

import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax.runtime import ahead


def test_a_call_finds_its_program_compiled(caplog):
  def plus(x):
    return x + 41

  program = jax.jit(plus)
  with ahead.compiling() as pool, jax.log_compiles():
    soon = ahead.Ahead(pool, program, (np.float32(0),), (np.zeros(3),))
    soon.wait()
    caplog.clear()
    assert soon(np.float32(1)) == 42
    assert soon(np.zeros(3)).tolist() == [41] * 3
  assert 'XLA compilation of jit(plus)' not in caplog.text


def test_the_arguments_that_are_bound_are_compiled_too():
  program = functools.partial(jax.jit(jnp.subtract), np.float32(44))
  with ahead.compiling() as pool:
    assert ahead.Ahead(pool, program, (np.float32(0),))(np.float32(2)) == 42


def test_a_call_waits_for_the_compilation():
  may_trace = threading.Event()

  def slow(x):
    may_trace.wait(60)
    return x + 1

  with ahead.compiling() as pool:
    soon = ahead.Ahead(pool, jax.jit(slow), (np.float32(0),))
    threading.Timer(0.1, may_trace.set).start()
    assert soon(np.float32(1)) == 2
  assert may_trace.is_set()


def test_the_arguments_may_be_deleted_before_they_are_compiled():
  given = jnp.arange(3)
  program = jax.jit(lambda x: x + 1)
  blocked = threading.Event()
  with ahead.compiling() as pool:
    for _ in range(pool._max_workers):
      pool.submit(blocked.wait, 60)
    soon = ahead.Ahead(pool, program, (given,))
    given.delete()
    blocked.set()
    assert soon(np.arange(3)).tolist() == [1, 2, 3]


def test_an_error_of_the_compilation_is_raised_by_the_call():
  def wrong(x):
    raise ValueError('not a program')

  with ahead.compiling() as pool:
    soon = ahead.Ahead(pool, jax.jit(wrong), (np.float32(0),))
    with pytest.raises(ValueError, match='not a program'):
      soon(np.float32(0))


def test_a_program_counts_before_it_is_called():
  program = jax.jit(lambda x: 2 * x)
  with ahead.compiling() as pool:
    soon = ahead.Ahead(pool, program, (np.float32(0),), (np.zeros(3),))
    counts = [soon._cache_size()]
    for given in (np.float32(1), np.zeros(3), np.zeros(4)):
      soon(given)
      counts.append(soon._cache_size())
  # Only the last call is of a shape that was not compiled ahead.
  assert counts == [2, 2, 2, 3]
