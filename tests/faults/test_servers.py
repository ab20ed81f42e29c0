"""Servers that die, hang, return garbage, or lack the weights."""

import threading

import fake_vllm
import launch
import pytest
from fake_vllm import (
  GENERATE,
  PARAMS,
  UPDATE,
  client,
  make_prompts,
  sampled,
)

from siri_jax.data import arithmetic_words
from siri_jax.rollout import engines, http_client, server_pool, vllm
from siri_jax.runtime import exit_status

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  """Divides pauses by 100."""
  monkeypatch.setattr(server_pool, 'REST_SECS', 0.01)
  monkeypatch.setattr(server_pool, 'LONGEST_REST_SECS', 0.05)
  monkeypatch.setattr(server_pool, 'LOOK_SECS', 0.05)
  monkeypatch.setattr(vllm, 'LOOK_SECS', 0.02)


@pytest.fixture(scope='module')
def expected(tmp_path_factory):
  """The samples without a fault."""
  with (
    fake_vllm.serving() as fake,
    client(tmp_path_factory.mktemp('push'), fake) as engine,
  ):
    return sampled(engine)


# Transient faults, which do not change the samples.

PASSING = {
  'a reset': fake_vllm.reset,
  'status 429': 429,
  'status 500': 500,
  'status 503': 503,
  'garbage where JSON belongs': b'<html>oops',
  'JSON cut short': b'{"choices": [{"index": 0,',
  'JSON of another kind': b'[1, 2]',
  'no token ids': fake_vllm.changed(token_ids=None),
  'ids outside the vocabulary': fake_vllm.changed(token_ids=[19, 0]),
  'an id that is no number': fake_vllm.changed(token_ids=['x']),
  'too many tokens': fake_vllm.changed(token_ids=[3] * 10),
  'no tokens': fake_vllm.changed(token_ids=[]),
  'an abort': fake_vllm.changed(finish_reason='abort'),
  'an error': fake_vllm.changed(finish_reason='error'),
  'a sample too few': fake_vllm.fewer,
  'an index twice': fake_vllm.changed(index=0),
  'an index that is none': fake_vllm.changed(index='x'),
  'weights of another version': fake_vllm.changed(
    weight_versions=[{'version': 'other', 'start': 0, 'end': 1}]
  ),
  'weights of two versions': fake_vllm.changed(
    weight_versions=lambda own: [*own, {'version': 'other'}]
  ),
  'no version': fake_vllm.changed(weight_versions=None),
  'log-probabilities that are none': fake_vllm.changed(
    logprobs={'content': [{'logprob': None}]}
  ),
  'a log-probability above 0': fake_vllm.changed(
    token_ids=[5, 0],
    finish_reason='stop',
    logprobs={'content': [{'logprob': 0.5}, {'logprob': -1.0}]},
  ),
  'a log-probability that is a text': fake_vllm.changed(
    token_ids=[5, 0],
    finish_reason='stop',
    logprobs={'token_logprobs': ['-1.0', -1.0]},
  ),
  'cut below the cap': fake_vllm.changed(
    token_ids=[5] * 8, finish_reason='length'
  ),
  'cut at once': fake_vllm.changed(token_ids=[5], finish_reason='length'),
  'a stop without an end token': fake_vllm.changed(
    token_ids=[4, 5], finish_reason='stop'
  ),
  'a stop at the cap without an end token': fake_vllm.changed(
    token_ids=[4] * 9, finish_reason='stop'
  ),
  'tokens after an end token': fake_vllm.changed(
    token_ids=[4, 0, 5, 0], finish_reason='stop'
  ),
  'two end tokens': fake_vllm.changed(token_ids=[0, 0], finish_reason='stop'),
  'an end token within a cut sample': fake_vllm.changed(
    token_ids=[0, *[4] * 8], finish_reason='length'
  ),
  'a cut sample that ends': fake_vllm.changed(
    token_ids=[*[4] * 8, 0], finish_reason='length'
  ),
  'silence': fake_vllm.silent,
}


@pytest.mark.parametrize('fault', PASSING)
def test_a_transient_fault_does_not_change_the_samples(
  tmp_path, expected, tell, fault
):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    fake.faults[GENERATE].append(PASSING[fault])
    assert sampled(engine) == expected
    assert any(fake.url in text for text in engine.said)
  rows = {'silence': 12, 'a reset': 14, 'an abort': 16, 'an error': 16}
  row = 14 if fault.startswith('status') else rows.get(fault, 15)
  tell(row, f'server: {fault}', 'request repeated, same samples')


@pytest.mark.parametrize('fault', PASSING)
def test_a_permanent_fault_ends_the_run_and_names_the_server(
  tmp_path, fault, monkeypatch
):
  with (
    fake_vllm.serving() as fake,
    client(tmp_path, fake, patience_secs=0.2) as engine,
  ):
    fake.faults[GENERATE].extend([PASSING[fault]] * 1000)
    with pytest.raises(http_client.ServerError, match=fake.url) as caught:
      sampled(engine, count=1)
  told = str(caught.value)
  assert 'Restart that server' in told or 'no other run pushes to it' in told


def test_a_server_that_is_slow_is_waited_for(tmp_path, expected, tell):
  with fake_vllm.serving() as fake:
    with client(tmp_path, fake, patience_secs=0.3) as engine:
      fake.faults[GENERATE].append(fake_vllm.slow(1.0))
      assert sampled(engine) == expected
    assert fake.paths().count(GENERATE) == 3
    assert engine.said == []
  tell(13, 'server: slow, token by token', 'waited for')


def test_a_server_that_is_down_for_a_while_is_waited_for(
  tmp_path, expected, tell
):
  with fake_vllm.serving() as fake:
    with client(tmp_path, fake, patience_secs=5.0) as engine:
      fake.down()
      fake.restart()
      threading.Timer(0.2, fake.up).start()
      assert sampled(engine) == expected
    assert fake.paths().count('/finish_weight_update') == 2
  tell(11, 'server: dies and is restarted', 'weights pushed again')


def test_a_server_restarted_between_steps_gets_the_weights_again(
  tmp_path, expected, tell
):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    fake.restart()
    assert sampled(engine) == expected
    assert fake.label.endswith(':7')
    assert engine.counts['rejected'] > 0
  tell(17, 'server: restarted, serves its first weights', 'pushed again')


def test_another_server_takes_over_from_a_failing_one(tmp_path, expected, tell):
  with (
    fake_vllm.serving() as one,
    fake_vllm.serving() as other,
    client(tmp_path, one, other) as engine,
  ):
    one.faults[GENERATE].extend([503] * 1000)
    assert sampled(engine) == expected
    assert GENERATE in other.paths()
  tell(14, 'server: one of two is always busy', 'the other samples')


# The push.


@pytest.mark.parametrize('path', ['/pause', UPDATE, '/finish_weight_update'])
@pytest.mark.parametrize('fault', [500, fake_vllm.reset], ids=['500', 'reset'])
def test_a_push_that_fails_half_way_is_repeated(tmp_path, path, fault, tell):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    fake.faults[path].append(fault)
    before = len(fake.asked)
    engine.push(PARAMS, 8)
    paths = [path for path, _ in fake.asked[before:]]
    assert paths.index('/pause') < paths.index('/resume')
    assert fake.label.endswith(':8')
    assert not fake.paused
  tell(18, f'a push fails at {path}', 'repeated')


def test_a_push_that_never_succeeds_ends_the_run_and_keeps_old_weights(
  tmp_path, tell
):
  with (
    fake_vllm.serving() as fake,
    client(tmp_path, fake, patience_secs=0.2) as engine,
  ):
    fake.faults[UPDATE].extend([500] * 1000)
    with pytest.raises(
      http_client.ServerError, match=f'{fake.url}{UPDATE}.*on order'
    ):
      engine.push(PARAMS, 8)
    assert fake.label.endswith(':7')
    assert not fake.paused
  tell(18, 'a push that never succeeds', 'ends, old weights are served')
  tell(24, 'a server with another model', 'it refuses the push; ends, named')


def test_a_server_that_another_run_pushes_to_ends_the_run(tmp_path, tell):
  with (
    fake_vllm.serving() as fake,
    client(tmp_path, fake, patience_secs=0.2) as engine,
  ):

    def taken(handler, answer):
      fake.label = 'other-run:3'
      return answer

    fake.faults['/finish_weight_update'].extend([taken] * 1000)
    told = f'{fake.url} serves weights other-run:3 after a push of run-'
    with pytest.raises(http_client.ServerError, match=told):
      engine.push(PARAMS, 8)
  tell(20, "another run's server", 'ends, named')


def test_a_server_that_was_left_paused_is_resumed(tmp_path, tell):
  with fake_vllm.serving() as fake:
    fake.paused = True
    with client(tmp_path, fake):
      assert not fake.paused
  tell(19, 'a server left paused by a trainer that crashed', 'resumed')


def test_a_server_that_missed_a_push_gets_it_before_it_is_used(tmp_path):
  with (
    fake_vllm.serving() as one,
    fake_vllm.serving() as other,
    client(tmp_path, one, other, slots=8) as engine,
  ):
    other.down()
    engine.push(PARAMS, 8)
    other.up()
    one.faults[GENERATE].extend([fake_vllm.slow(0.3)] * 8)
    sampled(engine, count=8)
    assert one.label == other.label


def test_the_last_two_pushes_are_kept(tmp_path):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    for version in (8, 9):
      engine.push(PARAMS, version)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    'run-000008',
    'run-000009',
  ]


def test_a_run_that_resumes_before_its_last_push_is_served(tmp_path):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    for version in (8, 9, 10):
      engine.push(PARAMS, version)
    engine.push(PARAMS, 8)  # It was killed, and this is its newest checkpoint.
    assert fake.label.endswith(':8')
  assert [path.name for path in tmp_path.iterdir()] == ['run-000008']


# Permanent faults.


def test_a_wrong_key_ends_the_run_at_once(tmp_path):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    fake.faults[GENERATE].extend([401] * 3)
    with pytest.raises(
      http_client.ServerError, match=f'401.*{http_client.KEY}'
    ):
      sampled(engine)


def test_an_invalid_address_is_named():
  with pytest.raises(
    ValueError, match="'localhost:8000' is not a server address"
  ):
    http_client.Connection('localhost:8000')


def test_a_stop_cancels_open_requests(tmp_path):
  with fake_vllm.serving() as fake, client(tmp_path, fake) as engine:
    fake.faults[GENERATE].extend([fake_vllm.silent] * 3)
    asked = engines.SamplingParams(2, 9, 1.0, 1.0, 0, (0, 0, 7))

    def stop(*_):
      if GENERATE in fake.paths():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
      list(engine.sample(make_prompts(), asked, stop))
    names = [t.name for t in threading.enumerate()]
    assert engine.pending() == ['p0', 'p1', 'p2'], names


# A whole run.


@pytest.mark.slow
def test_a_run_trains_on_servers_and_ends_with_status_6_without_any(
  tmp_path, cache, capsys, tell
):
  fake = fake_vllm.Fake(vocab=len(arithmetic_words.TOKENS))
  with fake_vllm.serving(fake):
    told = (
      '--config.engine=vllm',
      f"--config.server_kw.urls=('{fake.url}',)",
      f'--config.server_kw.folder={tmp_path / "pushes"}',
      '--config.server_kw.patience_secs=0.5',
    )
    run = tmp_path / 'run'
    more = '--config.total_steps=4'
    assert launch.here(run, cache, *told, more) == exit_status.DONE
    assert fake.label.endswith(':4')
  assert len(launch.records(run, 'metrics')) == 4
  capsys.readouterr()
  more = '--config.total_steps=6'
  assert launch.here(run, cache, *told, more) == exit_status.UNSERVED
  said = capsys.readouterr().out
  assert f'{fake.url}/weight_info cannot be reached' in said
  assert 'Restart that server' in said
  tell(11, 'no server is left', 'status 6, named; resumes')
