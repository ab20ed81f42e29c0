"""Programs that threads compile before their first call."""

import concurrent.futures
import contextlib

import jax

from siri_jax.runtime import machine


class Ahead:
  """A program whose compilation has begun; a call waits for its end."""

  def __init__(self, pool, program, *calls):
    """Starts to compile.

    Args:
      pool: of `compiling`, which takes the work in order.
      program: of compiled.Programs, bound by `with_frozen` or not.
      *calls: the arguments of a call each; only their shapes, dtypes and
        shardings matter.
    """
    self._program = program
    self._jitted = getattr(program, 'func', program)
    bound = getattr(program, 'args', ())

    def compile_for(given):
      self._jitted.lower(*bound, *given).compile()

    # Their memory may be donated before a thread looks at them.
    calls = jax.tree.map(_without_memory, calls)
    self._begun = [pool.submit(compile_for, given) for given in calls]

  def wait(self):
    """Waits until it is compiled, and raises what stopped that."""
    for each in self._begun:
      each.result()

  def __call__(self, *given):
    self.wait()
    return self._program(*given)

  def _cache_size(self):
    """Number of compiled programs, by the name that jax.jit gives it."""
    return max(len(self._begun), self._jitted._cache_size())


def _without_memory(x):
  if isinstance(x, jax.Array):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
  return x


@contextlib.contextmanager
def compiling():
  """A pool for `Ahead`; the context does not wait for the work."""
  # A compilation keeps about two cores busy.
  threads = max(1, len(machine.cores()) // 2)
  pool = concurrent.futures.ThreadPoolExecutor(threads, 'compile')
  try:
    yield pool
  finally:
    pool.shutdown(wait=False)
