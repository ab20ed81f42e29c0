"""What each tensor-parallel rank of vLLM's takes of a Qwen2's arrays."""

PADDED = 64  # A vocabulary is cut as if it were a multiple of it.
# Our names of the arrays that are cut, by which of Hugging Face's axes.
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
    shape: qwen2.ModelConfig.
    rank: index of the rank.
    ranks: how many there are.
  Returns:
    tuple of slice, one an axis.
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
  """A rank's slice of an axis that is `units` heads or the like long."""
  first = units * rank // ranks
  # Ranks that are more than the heads hold one each, some the same.
  last = max(first + 1, units * (rank + 1) // ranks)
  width = max(1, size // units)  # A padded vocabulary is longer than the axis.
  return slice(min(first * width, size), min(last * width, size))
