"""The vLLM engine: its requests, and the checks of responses."""

import dataclasses
import json
import re

import fake_vllm
import numpy as np
import pytest
from fake_vllm import GENERATE, PARAMS, client, make_prompts, sampled

from siri_jax.commands import evaluate as evaluate_command
from siri_jax.rollout import engines, http_client, vllm
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


def test_a_group_in_several_prompts_is_several_requests_of_its_seeds(tmp_path):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    whole = sampled(engine, count=1, n=4)
    before = len(fake.asked)
    (prompt,) = make_prompts(1)
    parts = [
      dataclasses.replace(prompt, first=first, samples=count, cap=cap)
      for first, count, cap in ((0, 1, 3), (1, 3, 9))
    ]
    asked = engines.SamplingParams(4, 9, 1.0, 1.0, 0, (0, 0, 7))
    groups = list(engine.sample(parts, asked, lambda *_: None))
    sent = [
      b['sampling_params'] for p, b in fake.asked[before:] if p == GENERATE
    ]
    assert engine.pending() == []
  found = {(s.problem_id, s.index): s for group in groups for s in group}
  assert found.keys() == whole.keys()
  for index in 1, 2, 3:
    assert found['p0', index].response_ids.tolist() == whole['p0', index]
  assert found['p0', 0].response_ids.size <= 3
  sent = sorted(sent, key=lambda body: body['n'])
  assert [(body['n'], body['max_tokens']) for body in sent] == [(1, 3), (3, 9)]
  assert sent[1]['seed'] - sent[0]['seed'] == 1


def test_the_route_without_versions_is_the_fallback(tmp_path):
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


def test_servers_that_share_devices_are_awake_only_while_sampling(
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
      assert sampled(engine) == expected  # With the same weights.
      assert fake.asleep
      engine.push(PARAMS, version)
      assert not fake.asleep


class Scripted(fake_vllm.Fake):
  """Returns the scripted response for a prompt's ids."""

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


def test_a_server_is_evaluated_like_an_engine(tmp_path, cache):
  with fake_vllm.serving(Scripted()) as fake:
    words = ['--config=tests/helpers/scripted.py']
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


class Limited(Scripted):
  """Its own limit is two tokens, whatever it is asked for."""

  def choices(self, prompt, body):
    asked = {**body['sampling_params'], 'max_tokens': 2}
    return super().choices(prompt, {**body, 'sampling_params': asked})


def test_a_server_that_cuts_below_the_cap_is_not_measured(
  tmp_path, cache, capsys
):
  with fake_vllm.serving(Limited()) as fake:
    words = ['--config=tests/helpers/scripted.py', '--sets=hard']
    words += [f'--weights={fake.url}', f'--config.cache_dir={cache}']
    words += [f'--workdir={tmp_path / "run"}']
    assert evaluate_command.main(words) == exit_status.REFUSED
  assert 'cut after 2 of ' in capsys.readouterr().err
  assert not list(tmp_path.rglob('results.json'))


# Addresses.


@pytest.mark.parametrize(
  ('given', 'used'),
  [
    ('http://node7:8000', 'http://node7:8000'),
    ('HTTP://Node-7.cluster:8000//', 'http://node-7.cluster:8000'),
    ('https://10.0.0.3/v1', 'https://10.0.0.3'),
    ('http://gpu_1:1/proxy/a/v1/', 'http://gpu_1:1/proxy/a'),
    ('http://[FE80::1]:65535/', 'http://[fe80::1]:65535'),
  ],
)
def test_an_address_has_one_spelling(given, used):
  assert http_client.canonical(given) == used
  assert http_client.canonical(used) == used
  assert http_client.Connection(given).url == used


@pytest.mark.parametrize(
  'url',
  [
    *('', 'node7', 'node7:8000', 'ftp://node7', 'http://', 'http://:80'),
    *('http:/node7', 'http:// node7', 'http://no de7:1', 'http://node7 '),
    *(
      'http://node7:',
      'http://node7:x',
      'http://node7:0',
      'http://node7:65536',
    ),
    *('http://node7:-1', 'http://node7:²', 'http://[::1', 'http://a..b:1'),
    *('http://nöde:1', f'http://{"a" * 64}:1', 'http://node7/a b'),
    *('http://node7\\x:1', 'http://node7:1\n', 'http://node7?x=1'),
    *('http://node7:1/#top', 'http://{node}:1', 'http://a%20b:1'),
  ],
)
def test_what_is_no_address_is_refused_before_it_is_asked(url):
  with pytest.raises(
    ValueError, match=r'is not a server address; write http://'
  ):
    http_client.canonical(url)


SECRETS = (
  *('http://me:hush@node7:1', 'http://hush@node7', 'https://me:a@hush:b@n:1'),
  *('http://n:1/?key=hush', 'HTTP://me:hu/sh@n', 'http://me:hush pass@n:1'),
  *('ftp://me:hush@n', 'http://n:1/v1?x=1#hush', 'me:hush@n:1'),
)


@pytest.mark.parametrize('url', SECRETS)
def test_a_refused_address_does_not_show_what_may_be_a_secret(url):
  with pytest.raises(ValueError, match='has no place in it') as refusal:
    http_client.canonical(url)
  assert 'hush' not in str(refusal.value)
  assert 'hu/sh' not in str(refusal.value)
  assert http_client.KEY in str(refusal.value)


# How a sample may end.


@pytest.mark.parametrize(
  ('ids', 'reason', 'told'),
  [
    ([3] * 8, 'length', r'1 cut after 8 of 9 tokens \(a limit of the server'),
    ([3, 4], 'stop', '1 that stop at id 4, no end token of the tokenizer'),
    ([3, 0, 4, 0], 'stop', '1 that go on after an end token'),
    ([3, 0, *[4] * 7], 'length', '1 that go on after an end token'),
    ([*[3] * 8, 0], 'length', '1 called cut that end in an end token'),
  ],
)
def test_a_sample_that_neither_policy_nor_cap_ended_is_asked_for_again(
  tmp_path, ids, reason, told
):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    change = fake_vllm.changed(token_ids=ids, finish_reason=reason)
    fake.faults[GENERATE].append(change)
    found = sampled(engine, count=1)
    assert ids not in found.values()
    assert engine.counts['rejected'] == 1
    assert re.search(told, engine.said[0])


@pytest.mark.parametrize(
  ('ids', 'reason'),
  [([3] * 9, 'length'), ([*[3] * 8, 0], 'stop'), ([0], 'stop')],
)
def test_a_sample_that_the_policy_or_the_cap_ended_is_taken(
  tmp_path, ids, reason
):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    change = fake_vllm.changed(token_ids=ids, finish_reason=reason)
    fake.faults[GENERATE].append(change)
    assert ids in sampled(engine, count=1).values()
    assert engine.counts['rejected'] == 0


def test_a_log_probability_may_be_above_0_by_rounding_alone(tmp_path):
  with (
    fake_vllm.serving() as fake,
    client(tmp_path, fake, logprob_share=1.0) as engine,
  ):
    for value, rejected in ((1e-6, 0), (3.0, 1), (0.01, 2)):
      change = fake_vllm.changed(
        token_ids=[0],
        finish_reason='stop',
        logprobs={'content': [{'logprob': value}]},
      )
      fake.faults[GENERATE].append(change)
      sampled(engine, count=1)
      assert engine.counts['rejected'] == rejected


def test_a_push_has_the_server_forget_what_older_weights_computed(
  tmp_path, monkeypatch
):
  sent, post = [], http_client.Connection.post
  monkeypatch.setattr(
    http_client.Connection,
    'post',
    lambda self, path, *a, **kw: (
      sent.append(path) or post(self, path, *a, **kw)
    ),
  )
  with fake_vllm.serving() as fake, client(tmp_path, fake):
    pass
  assert '/pause?mode=wait&clear_cache=true' in sent


# Padded rows of an embedding.


def test_a_server_is_told_which_ids_no_token_has(tmp_path):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    sampled(engine, count=1)
    engine._rules = engine._rules._replace(padding=3)
    sampled(engine, count=1)
    fake.lacks.add(GENERATE)
    sampled(engine, count=1)
  sent = [
    body.get('sampling_params', body)
    for path, body in fake.asked
    if path in (GENERATE, '/v1/completions')
  ]
  assert 'logit_bias' not in sent[0]
  for body in (sent[1], sent[-1]):  # By either route.
    assert body['logit_bias'] == dict.fromkeys(('19', '20', '21'), -1e9)


def test_more_padding_than_a_server_leaves_out_is_refused():
  names = [field.name for field in dataclasses.fields(engines.EngineInputs)]
  inputs = engines.EngineInputs(**dict.fromkeys(names))
  inputs = dataclasses.replace(inputs, padding=vllm.MOST_PADDING + 1)
  with pytest.raises(ValueError, match='embeds 1025 ids more than'):
    engines.vllm(inputs, max_concurrent=1, decode_steps=1)
