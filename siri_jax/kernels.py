"""The attention kernels of this process's devices, checked before a run."""

import jax

from siri_jax.models import attention, decode_attention


def check_attention(recipe):
  """Raises if cuDNN's attention cannot run here, or is wrong.

  With grouped-query attention, some versions of JAX silently read the keys of
  other sequences.

  Raises:
    ValueError: it fails; the message has the reason and an alternative.
  """
  if recipe.attend is not attention.cudnn:
    return
  shape, name = recipe.shape, 'update_kw.attention'
  instead = f"; {name}='blocked' runs everywhere, slower"
  try:
    found = attention.distance(
      recipe.attend,
      heads=shape.heads,
      kv_heads=shape.kv_heads,
      width=shape.head_dim,
      dtype=recipe.dtype,
    )
  except (NotImplementedError, RuntimeError) as error:
    why = str(error).partition('\n')[0]
    raise ValueError(
      f"{name}='cudnn' cannot run here: {why}{instead}"
    ) from error
  if not found < attention.TOLERANCE:
    raise ValueError(
      f"{name}='cudnn' is wrong with jax {jax.__version__} here: it is "
      f'{float(found):.2g} from the reference (relative), and rounding is at '
      f'most {attention.TOLERANCE}. Install jax 0.11.2 or later{instead}'
    )


def decoding_attention(engine, recipe, say):
  """The attention of the decoding programs on these devices.

  Args:
    engine: its name; 'vllm' does not use these programs.
    recipe: update.UpdateConfig.
    say: called with the reason why a GPU does not get its kernel.
  Returns:
    decode_attention.Attention.
  """
  if engine == 'vllm' or jax.default_backend() != 'gpu':
    return decode_attention.DENSE
  why = _obstacle(recipe.shape, recipe.dtype)
  if not why:
    from siri_jax.models import ragged_attention

    return ragged_attention.RAGGED
  say(
    f'sampling reads the whole cache at every token, because the kernel for '
    f'ragged sequences cannot be used here: {why}'
  )
  return decode_attention.DENSE


def _obstacle(shape, dtype):
  """Why ragged_attention cannot be used here; '' if it can."""
  try:
    from siri_jax.models import ragged_attention

    found = decode_attention.distance(
      ragged_attention.RAGGED,
      heads=shape.heads,
      kv_heads=shape.kv_heads,
      width=shape.head_dim,
      dtype=dtype,
    )
  # Anything may stop it, such as a jax without Triton, or a width of the heads
  # that Triton does not know, and a run can do without it.
  except Exception as error:
    return str(error).partition('\n')[0] or type(error).__name__
  if found < decode_attention.TOLERANCE:
    return ''
  return (
    f'it is {float(found):.2g} from the reference (relative), and rounding is '
    f'at most {decode_attention.TOLERANCE}'
  )
