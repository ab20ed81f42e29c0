"""Writes the inputs of every peer: a random policy, tokenizer and problems.

python tools/benchmarks/peers/prepare.py SIZE STEPS FOLDER

FOLDER becomes a Hugging Face model folder with the tokenizer in tokenizer/ and
the problems in problems.jsonl. All systems get the same weights and prompts.
"""

import json
import pathlib
import sys

import job
import numpy as np
import safetensors.numpy
import tokenizers


def config(shape):
  """Qwen2's config.json for a shape of job.SIZES."""
  return dict(
    architectures=['Qwen2ForCausalLM'],
    model_type='qwen2',
    vocab_size=len(job.WORDS),
    hidden_size=shape['dim'],
    intermediate_size=shape['mlp'],
    num_hidden_layers=shape['layers'],
    num_attention_heads=shape['heads'],
    num_key_value_heads=shape['kv_heads'],
    hidden_act='silu',
    max_position_embeddings=job.MAX_PROMPT + job.CAP,
    rms_norm_eps=job.NORM_EPS,
    rope_theta=job.ROPE_THETA,
    tie_word_embeddings=False,
    eos_token_id=job.WORDS.index(job.END),
    pad_token_id=job.WORDS.index(job.END),
    torch_dtype='float32',
  )


def sizes(shape):
  """Hugging Face's tensor names with their sizes."""
  dim, mlp, words = shape['dim'], shape['mlp'], len(job.WORDS)
  query = shape['heads'] * shape['head_dim']
  key = shape['kv_heads'] * shape['head_dim']
  layer = {
    'input_layernorm.weight': (dim,),
    'self_attn.q_proj.weight': (query, dim),
    'self_attn.q_proj.bias': (query,),
    'self_attn.k_proj.weight': (key, dim),
    'self_attn.k_proj.bias': (key,),
    'self_attn.v_proj.weight': (key, dim),
    'self_attn.v_proj.bias': (key,),
    'self_attn.o_proj.weight': (dim, query),
    'post_attention_layernorm.weight': (dim,),
    'mlp.gate_proj.weight': (mlp, dim),
    'mlp.up_proj.weight': (mlp, dim),
    'mlp.down_proj.weight': (dim, mlp),
  }
  return {
    'model.embed_tokens.weight': (words, dim),
    **{
      f'model.layers.{i}.{name}': size
      for i in range(shape['layers'])
      for name, size in layer.items()
    },
    'model.norm.weight': (dim,),
    'lm_head.weight': (words, dim),
  }


def weights(shape):
  """Name -> float32 array: matrices N(0, 0.02), norms 1, biases 0."""
  draw = np.random.default_rng(0)

  def tensor(name, size):
    if len(size) == 1:
      return np.full(size, float('norm' in name), np.float32)
    return draw.normal(0.0, 0.02, size).astype(np.float32)

  return {name: tensor(name, size) for name, size in sizes(shape).items()}


def tokenizer():
  """A tokenizer with one token per word; spaces separate words."""
  ids = {word: place for place, word in enumerate(job.WORDS)}
  words = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, job.END))
  words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  words.add_special_tokens([job.END])
  return words


def main(size, steps, folder):
  """Writes the folder."""
  shape, folder = job.SIZES[size], pathlib.Path(folder)
  # In a separate folder: next to Qwen2's config.json, transformers would load
  # it as Qwen's byte-level tokenizer.
  (folder / 'tokenizer').mkdir(parents=True, exist_ok=True)
  tokenizer().save(str(folder / 'tokenizer/tokenizer.json'))
  safetensors.numpy.save_file(
    weights(shape), folder / 'model.safetensors', metadata={'format': 'pt'}
  )
  names = dict(
    tokenizer_class='PreTrainedTokenizerFast',
    eos_token=job.END,
    pad_token=job.END,
    chat_template=job.prompt('{{ messages[-1].content }}'),
  )
  lines = [
    json.dumps(dict(id=str(i), problem=problem, answer=answer, source=''))
    for i, (problem, answer) in enumerate(job.problems(int(steps)))
  ]
  for name, text in {
    'config.json': json.dumps(config(shape), indent=1),
    'tokenizer/tokenizer_config.json': json.dumps(names, indent=1),
    'problems.jsonl': '\n'.join(lines),
  }.items():
    (folder / name).write_text(text)


if __name__ == '__main__':
  main(*sys.argv[1:])
