"""The slices of Qwen2's tensors that vLLM's tensor-parallel ranks load."""

PADDED = 64  # vLLM pads the vocabulary to a multiple of this before sharding.
# Our names of the sharded arrays, by the axis of Hugging Face's tensor.
ROWS = {
  'vocabulary': ('embed', 'head'),
  'heads': ('q', 'q_bias'),
  'kv_heads': ('k', 'k_bias', 'v', 'v_bias'),
  'mlp': ('gate', 'up'),
}
COLUMNS = {'heads': ('o',), 'mlp': ('down',)}


def part_of(source, shape, rank, ranks):
  """The slice of a Hugging Face tensor that a tensor-parallel rank loads.

  Args:
    source: hf_names.Source of the tensor.
    shape: decoder.ModelConfig.
    rank: index of the rank.
    ranks: number of ranks.
  Returns:
    tuple of slice, one for each axis.
  Source: vLLM's QKVParallelLinear, MergedColumnParallelLinear,
    RowParallelLinear and VocabParallelEmbedding.
  """
  units = {
    'vocabulary': -(-shape.vocab // PADDED) * PADDED,
    'heads': shape.heads,
    'kv_heads': shape.kv_heads,
    'mlp': shape.mlp,
  }
  part = [slice(0, size) for size in source.size]
  for axis, table in enumerate((ROWS, COLUMNS)):
    for what, ours in table.items():
      if source.name in ours:
        part[axis] = _share(units[what], source.size[axis], rank, ranks)
  return tuple(part)


def _share(units, size, rank, ranks):
  """A rank's slice of an axis of `units` heads (or other units)."""
  first = units * rank // ranks
  # If there are more ranks than heads, several ranks hold the same head.
  last = max(first + 1, units * (rank + 1) // ranks)
  width = max(1, size // units)  # A padded vocabulary is longer than the axis.
  return slice(min(first * width, size), min(last * width, size))
