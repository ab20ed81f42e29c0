"""A real vLLM server: pushes, samples, training and exports.

bash tools/test_vllm.sh runs these tests; see real_vllm.py.
"""

import contextlib
import json
import signal

import families
import jax
import launch
import numpy as np
import pytest
import real_vllm
import tiny_tokenizer

from siri_jax import build, compiled, types
from siri_jax.analysis import runs
from siri_jax.commands import evaluate as evaluate_command
from siri_jax.commands import export
from siri_jax.config import plan
from siri_jax.config import recipe as recipes
from siri_jax.data import arithmetic_words, chat, load
from siri_jax.models.hf import initial
from siri_jax.rollout import engines, http_client, servers
from siri_jax.runtime import exit_status, xla_flags
from tests.helpers import tiny

pytestmark = real_vllm.NEEDED


@pytest.fixture(scope='module')
def served(tmp_path_factory):
  """Arguments of a run with a ready server, and its process."""
  with real_vllm.serving(tmp_path_factory.mktemp('vllm')) as found:
    yield found


@contextlib.contextmanager
def both_engines(served, cache, **changes):
  """The server and the embedded engine, as engines on the same parameters."""
  c = tiny.get_config()
  c.update(changes)
  c.model_kw.head_dim, c.model_kw.dim, c.cache_dir = 32, 64, str(cache)
  c.server_kw.urls = (served[2].url,)
  c.server_kw.folder = served[0][-1].partition('=')[2]
  c.server_kw.logprob_share, c.server_kw.patience_secs = 1.0, 60.0
  xla_flags.set_up(c.cache_dir)
  task, _ = load.load_task(c)
  shape = initial.shape_of(c, task.vocab)
  made = plan.make(c)
  recipe = recipes.recipe_of(made, shape, made.c.update_kw.remat)
  _, layout, programs = build.compile_programs(
    made, task, recipe, longest=made.longest, say=print
  )
  programs = compiled.with_frozen(programs, {})
  params = initial.parameters(c, shape, layout.state.params)
  params = jax.tree.map(lambda x: 8 * x, params)  # So that tokens differ.
  both = []
  with contextlib.ExitStack() as stack:
    for name in ('vllm', 'embedded'):
      c.engine = name
      both.append(
        build.make_engine(
          plan.make(c),
          programs,
          task,
          requests=made.samples,
          prompt_tokens=c.max_prompt_tokens,
          servers=servers.External(c.server_kw.urls),
          run='test',
          say=print,
        )
      )
      stack.callback(both[-1].close)
    yield task, params, *both


def prompts_of(task, count=8):
  return [
    types.Prompt(p.id, np.asarray(task.encode(p), np.int32))
    for p in task.train[:count]
  ]


def greedy(engine, task):
  """(problem, index) -> sample, the likeliest tokens all along."""
  asked = engines.SamplingParams(1, 8, 0.0, 1.0, 0, (0, 0, 0))
  groups = engine.sample(prompts_of(task), asked, lambda *_: None)
  return {s.problem_id: s for group in groups for s in group}


def test_after_a_push_greedy_answers_equal_the_trainers(served, cache):
  with both_engines(served, cache) as (task, params, real, own):
    for version in range(2):
      for engine in (real, own):
        engine.push(params, version)
      found, expected = greedy(real, task), greedy(own, task)
      for name, sample in expected.items():
        assert found[name].response_ids.tolist() == sample.response_ids.tolist()
        assert found[name].spans == sample.spans
        np.testing.assert_allclose(
          found[name].sampler_logp, sample.sampler_logp, atol=1e-4
        )
      params = jax.tree.map(lambda x: 1.2 * x[..., ::-1], params)


def test_two_ranks_that_share_a_model_answer_as_the_trainer_does(
  tmp_path, cache, monkeypatch
):
  monkeypatch.setenv('VLLM_CPU_OMP_THREADS_BIND', '0|1')
  with (
    real_vllm.serving(tmp_path, '--config.server_kw.tensor=2') as served,
    both_engines(served, cache) as (task, params, real, own),
  ):
    for engine in (real, own):
      engine.push(params, 0)
    found, expected = greedy(real, task), greedy(own, task)
    for name, sample in expected.items():
      assert found[name].response_ids.tolist() == sample.response_ids.tolist()
      np.testing.assert_allclose(
        found[name].sampler_logp, sample.sampler_logp, atol=1e-4
      )


@pytest.mark.parametrize(('kind', 'tied'), [('qwen3', True), ('llama', False)])
def test_greedy_answers_of_other_families_are_never_a_padded_row(
  tmp_path, cache, kind, tied
):
  torch = pytest.importorskip('torch')
  vocab = len(arithmetic_words.TOKENS)
  model = families.make(
    kind,
    spread=0.02,
    vocab_size=vocab + 9,
    hidden_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=32,
    tie_word_embeddings=tied,
  )
  with torch.no_grad():
    model.lm_head.weight[vocab:] = 30 * model.lm_head.weight[:9]
  model.save_pretrained(tmp_path / 'model')
  policy = dict(policy='pretrained', model_path=str(tmp_path / 'model'))
  words = [f'--config.{name}={value}' for name, value in policy.items()]
  with (
    real_vllm.serving(tmp_path, *words) as served,
    both_engines(served, cache, **policy) as (task, params, real, own),
  ):
    for engine in (real, own):
      engine.push(params, 0)
    found, expected = greedy(real, task), greedy(own, task)
    for name, sample in expected.items():
      assert sample.response_ids.max() < vocab
      assert found[name].response_ids.tolist() == sample.response_ids.tolist()
      np.testing.assert_allclose(
        found[name].sampler_logp, sample.sampler_logp, atol=1e-4
      )
    asked = engines.SamplingParams(8, 8, 1.0, 1.0, 0, (0, 0, 0))
    drawn = [
      s.response_ids.max()
      for group in real.sample(prompts_of(task), asked, lambda *_: None)
      for s in group
    ]
    assert max(drawn) < vocab
    assert real.counts['rejected'] == 0


def test_a_push_that_is_refused_leaves_the_old_weights_serving(served, cache):
  with both_engines(served, cache) as (task, params, real, _):
    real.push(params, 0)
    before = greedy(real, task)
    label = served[2].get('/weight_info')
    bad = jax.tree.map(lambda x: x.at[(0,) * x.ndim].set(np.nan), params)
    publisher = real._publisher
    with pytest.raises(http_client.TransientError, match='not finite'):
      publisher.bring(served[2], publisher.write(bad, 1))
    assert served[2].get('/weight_info') == label
    after = greedy(real, task)
    for name, sample in before.items():
      assert after[name].response_ids.tolist() == sample.response_ids.tolist()


def test_only_health_is_open_without_the_key(served, monkeypatch):
  line = served[2]
  monkeypatch.delenv(http_client.KEY)
  line.ask('GET', '/health')
  for path in ('/metrics', '/v1/models', '/weight_info', '/server_info', '/'):
    with pytest.raises(http_client.ServerError, match='401'):
      line.get(path)
  for path in ('/update_weights', '/inference/v1/generate', '/collective_rpc'):
    with pytest.raises(http_client.ServerError, match='401'):
      line.post(path, {})


def test_a_run_trains_a_whole_cycle_with_a_push_every_step(
  served, cache, tmp_path
):
  run = tmp_path / 'run'
  told = (
    *served[0],
    '--config.schedule_kw.period=4',
    '--config.total_steps=4',
    '--config.server_kw.logprob_share=1.0',
    '--config.server_kw.sleep=1',  # On a CPU it frees no memory.
  )
  assert launch.here(run, cache, *told) == exit_status.DONE
  records = launch.records(run, 'metrics')
  assert [r['weight_version'] for r in records] == [0, 1, 2, 3]
  assert [r['sampler_rejected'] for r in records] == [0] * 4
  assert all(r['sampler_told'] == r['tokens'] for r in records)
  assert max(r['sampler_gap_max'] for r in records) < 1e-3
  assert served[2].get('/weight_info')['weight_version'].endswith(':4')


def test_a_cycle_with_targets_and_forced_ends_of_thoughts_is_sampled_in_parts(
  served, cache, tmp_path
):
  run = tmp_path / 'run'
  budget = 'tests.rollout.test_real_vllm:noted_and_short'
  told = (
    *served[0],
    '--config.schedule_kw.period=2',
    '--config.total_steps=2',
    '--config.max_prompt_tokens=24',  # The server has room for 31 tokens.
    '--config.schedule_kw.high=7',
    '--config.eval_kw.cap=7',
    f'--config.budget={budget}',
    '--config.reward=lcpo_exact',
    '--config.reward_kw.alpha=0.1',
  )
  assert launch.here(run, cache, *told) == exit_status.DONE
  caps = [r['cap'] for r in launch.records(run, 'metrics')]
  rows = runs.read_rows(run / 'rollouts' / '000000.jsonl.gz')
  for row in rows:
    own = 2 if row['index'] < 2 else caps[0]
    assert (row['cap'], row['target'], row['mode']) == (own, own, own == 2)
    assert row['length'] <= own
    assert row.get('forced', [2]) == [2]
  forced = [row for row in rows if row.get('forced')]
  assert max(row['length'] for row in forced) > 3
  for row in forced:
    assert row['response_ids'][2] == arithmetic_words.ID['</think>']


def noted_and_short(problem, cap, uniforms):
  """The first two samples of a group have two tokens, the others a thought."""
  short = types.Budget(cap=2, target=2, note='2', mode=1)
  half = dict(thinking=2, solution=cap - 3, close='</think>')
  long = types.Budget(cap=cap, target=cap, note=str(cap), **half)
  return [short] * 2 + [long] * (len(uniforms) - 2)


def test_forced_first_tokens_are_sampled_on_from_and_trained_on(
  served, cache, tmp_path
):
  run = tmp_path / 'run'
  told = (
    *served[0],
    '--config.schedule_kw.period=2',
    '--config.total_steps=2',
    '--config.max_prompt_tokens=24',  # The server has room for 31 tokens.
    '--config.schedule_kw.high=7',
    '--config.eval_kw.cap=7',
    '--config.server_kw.logprob_share=1.0',
    '--config.budget=forced_modes',
    '--config.budget_kw.start=#1',
    '--config.budget_kw.short=3',
    '--config.loss=forced_first_ratio',
    '--config.advantage=unchanged',
    '--config.text_rewards=against_start',
    '--config.monitor_kw.every=2',
  )
  assert launch.here(run, cache, *told) == exit_status.DONE
  records = launch.records(run, 'metrics')
  assert [r['cap'] for r in records] == [7, 4]
  assert max(r['sampler_gap_max'] for r in records) < 1e-3
  rows = runs.read_rows(run / 'rollouts' / '000000.jsonl.gz')
  for row in rows:
    none = row['index'] < 2
    first = '</think>' if none else '#1'
    assert row['response_ids'][0] == arithmetic_words.ID[first]
    assert 1 < row['length'] <= (3 if none else 7)
  # The server has log-probabilities of all tokens but the forced ones.
  assert records[0]['sampler_told'] == records[0]['tokens'] - len(rows)


def test_term_ends_the_server_cleanly(served):
  _, process, line = served
  process.send_signal(signal.SIGTERM)
  assert process.wait() == exit_status.DONE
  with pytest.raises(http_client.TransientError, match='cannot be reached'):
    line.ask('GET', '/health')


@pytest.fixture(scope='module')
def questions(tmp_path_factory):
  """Arguments of a run on problems of words, with a tokenizer folder."""
  folder = tmp_path_factory.mktemp('questions')
  file = folder / 'questions.jsonl'
  rows = [
    {'id': f'p{n}', 'problem': f'{n} + 3?', 'answer': f'{n + 3}', 'source': ''}
    for n in range(8)
  ]
  file.write_text('\n'.join(map(json.dumps, rows)))
  task = {
    'train': str(file),
    'evals': {'few': str(file)},
    'tokenizer': str(tiny_tokenizer.write(folder / 'tokenizer')),
    'instruction': '{problem}',
    'template_kw': {},
  }
  return (
    *real_vllm.CHANGES[1:],
    '--config.task=jsonl',
    f'--config.task_kw={task}',
    '--config.grading_rule=deepscaler',
    "--config.grading_rule_kw={'kind': 'continuation', 'verify_kw': {}}",
    '--config.update_kw.row_tokens=64',
    '--config.learning_rate=1e-4',  # At higher rates responses become empty.
    '--config.eval_kw.temperature=0.0',
    '--config.eval_kw.cap=24',
  )


def test_an_export_opens_in_transformers_and_in_vllm_with_the_runs_own_answers(
  questions, tmp_path, cache
):
  transformers = pytest.importorskip('transformers')
  torch = pytest.importorskip('torch')
  run, folder = tmp_path / 'run', tmp_path / 'export'
  told = (*questions, '--config.total_steps=2')
  assert launch.here(run, cache, *told) == exit_status.DONE
  assert export.main([f'--run={run}', f'--to={folder}']) == export.DONE
  with real_vllm.opened(tmp_path, folder) as line:
    words = launch.arguments(run, cache, *told, '--samples=1')
    words.append(f'--weights=newest,{line.url}')
    assert evaluate_command.main(words) == exit_status.DONE
    text = {'messages': [{'role': 'user', 'content': '1 + 3?'}]}
    asked = line.post('/tokenize', text)['tokens']
  own, theirs = (
    [
      row['response_ids']
      for path in sorted((run / 'evaluations' / name / 'few/samples').iterdir())
      for row in runs.read_rows(path)
    ]
    for name in ('000002', line.url.partition('//')[2].replace(':', '-'))
  )
  assert theirs == own
  words = chat.load(
    folder, instruction='{problem}', template_kw={}, thought=True
  )
  assert words.encode('1 + 3?') == asked
  model = transformers.Qwen2ForCausalLM.from_pretrained(folder)
  with torch.no_grad():
    given = model.generate(
      torch.tensor([asked]),
      do_sample=False,
      max_new_tokens=24,
      eos_token_id=list(words.eos_ids),
    )
  assert given[0, len(asked) :].tolist() == own[1]
  assert len({*own[1]}) > 4  # The response is not trivial.
