"""The client of vLLM servers: what it sends, and what it makes of answers."""

import json

import fake_vllm
import numpy as np
import pytest
from fake_vllm import GENERATE, PARAMS, client, make_prompts, sampled

from siri_jax.commands import evaluate as evaluate_command
from siri_jax.rollout import engines, vllm
from siri_jax.runtime import exit_status
from tests.helpers import scripted


def test_every_sampling_parameter_is_sent_and_ids_come_back(tmp_path):
  with (
    fake_vllm.serving() as fake,
    client(tmp_path, fake, logprob_share=0.5) as engine,
  ):
    asked = engines.SamplingParams(2, 9, 0.6, 0.9, 5, (0, 0, 7))
    groups = list(engine.sample(make_prompts(), asked, lambda *_: None))
    bodies = [body for path, body in fake.asked if path == GENERATE]
  assert sorted(body['token_ids'] for body in bodies) == [
    [5, 1],
    [5, 2],
    [5, 3],
  ]
  sent = bodies[0]['sampling_params']
  wanted = dict(n=2, max_tokens=9, temperature=0.6, top_p=0.9, top_k=5)
  assert {name: sent[name] for name in wanted} == wanted
  assert sent['stop_token_ids'] == [0]
  seeds = sorted(body['sampling_params']['seed'] for body in bodies)
  assert min(np.diff(seeds)) >= vllm.SPACING
  assert {s.spans for g in groups for s in g} == {
    ((7, 0, s.response_ids.size),) for g in groups for s in g
  }
  told = {g[0].problem_id: g[0].sampler_logp for g in groups}
  assert told['p0'] is None
  assert told['p2'] is None
  assert set(told['p1'].tolist()) == {fake_vllm.LOGP}


def test_a_route_without_versions_serves_where_the_other_is_lacking(tmp_path):
  with fake_vllm.serving() as fake:
    fake.lacks.add(GENERATE)
    with client(tmp_path, fake) as engine:
      found = sampled(engine)
    assert fake.paths().count('/v1/completions') == 3
  assert len(found) == 6


def test_work_goes_to_all_servers(tmp_path):
  with fake_vllm.serving() as one, fake_vllm.serving() as other:
    with client(tmp_path, one, other, slots=8) as engine:
      for fake in (one, other):
        fake.faults[GENERATE].extend([fake_vllm.slow(0.1)] * 4)
      sampled(engine, count=8)
    assert one.paths().count(GENERATE) == other.paths().count(GENERATE) == 4


def test_servers_that_share_devices_are_awake_only_while_they_are_needed(
  tmp_path,
):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    expected = sampled(engine)
    assert '/sleep' not in fake.paths()
  with (
    fake_vllm.serving() as fake,
    client(tmp_path, fake, sleeps=True) as engine,
  ):
    for version in (8, 9):
      assert sampled(engine) == expected
      assert fake.asleep
      assert sampled(engine) == expected  # With the same weights once more.
      assert fake.asleep
      engine.push(PARAMS, version)
      assert not fake.asleep


class Scripted(fake_vllm.Fake):
  """Says what the script has a policy say, by the prompt's ids."""

  def choices(self, prompt, body):
    asked, number = body['sampling_params'], int(scripted.WORDS[prompt[0]])
    for index in range(asked['n']):
      ids = [scripted.ID[word] for word in scripted.response(number, index)]
      cut = len(ids) > asked['max_tokens']
      yield {
        'index': index,
        'token_ids': ids[: asked['max_tokens']],
        'finish_reason': 'length' if cut else 'stop',
      }

  def answer(self, path, body):
    answer = super().answer(path, body)
    if path == GENERATE:
      answer['choices'] = list(answer['choices'])
    return answer


# ml_collections loads a config in an old way.
@pytest.mark.filterwarnings('ignore:.*load_module')
def test_a_server_is_measured_as_an_engine_is(tmp_path, cache):
  with fake_vllm.serving(Scripted()) as fake:
    words = ['evaluate', '--config=tests/helpers/scripted.py']
    words += [f'--weights={fake.url},start', f'--config.cache_dir={cache}']
    words += [f'--workdir={tmp_path / "run"}']
    assert evaluate_command.main(words) == exit_status.DONE
  name = fake.url.removeprefix('http://').replace(':', '-')
  served, own = (
    json.loads(
      (tmp_path / 'run/evaluations' / folder / 'hard/results.json').read_text()
    )
    for folder in (name, 'start')
  )
  assert 0 < served['accuracy'] < 1
  differs = {key for key in own if own[key] != served[key]}
  assert differs == {'weights'}
