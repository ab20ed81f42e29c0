"""The dimension key, and a check of documented shapes.

N  prompts of a step          G  samples of each prompt
B  samples, B = N * G         T  tokens of one sequence
M  packed rows                R  tokens of a packed row
V  vocabulary                 D  model width
H  query heads                K  key-value heads
F  MLP width                  E  width of a head
S  slots of the engine        P  tokens of a prompt
L  layers                     C  columns of a key-value cache
"""


def check(spec, *arrays):
  """Checks arrays against a spec such as 'B T, B' and returns the sizes.

  It uses only shapes, so under jit it costs nothing at run time.

  Args:
    spec: one shape for each array, separated by commas. A letter is a
      dimension (the same letter, the same size), a number a fixed size, '.'
      a scalar and '...' any leading dimensions, equal for all arrays.
    *arrays: anything with a `.shape`.
  Returns:
    dict from letter to size, and from '...' to the leading sizes.
  Raises:
    ValueError: shapes do not fit; names the spec and every array's shape.
  """
  specs = [s.split() for s in spec.split(',')]
  if len(specs) != len(arrays):
    raise ValueError(f'{spec!r} names {len(specs)} arrays, got {len(arrays)}')
  sizes = {}
  for names, array in zip(specs, arrays, strict=True):
    names = [] if names == ['.'] else names
    shape = tuple(array.shape)
    if names[:1] == ['...']:
      lead = max(0, len(shape) - len(names) + 1)
      shape = (shape[:lead], *shape[lead:])
    fits = len(names) == len(shape) and all(
      size == (int(name) if name.isdigit() else sizes.setdefault(name, size))
      for name, size in zip(names, shape, strict=True)
    )
    if not fits:
      shapes = ', '.join(str(tuple(a.shape)) for a in arrays)
      raise ValueError(f'shapes {shapes} do not fit {spec!r} (so far {sizes})')
  return sizes
