"""Runs that start a real vLLM server themselves, and are killed with it.

bash tools/test_vllm.sh runs these tests; see real_vllm.py.
"""

import json
import os
import signal
import subprocess
import sys

import builders
import fake_hub
import launch
import pytest
import real_vllm
import tiny_tokenizer

from configs import cosine640
from siri_jax.data import chat, hub_names
from siri_jax.models.hf import export
from siri_jax.rollout import guard
from siri_jax.runtime import exit_status

pytestmark = [*real_vllm.NEEDED, pytest.mark.faults]
SERVER = (
  f'--config.server_kw.python={real_vllm.PYTHON}',
  # A start takes half a minute, or five minutes on a busy machine.
  '--config.server_kw.start_secs=1200.0',
)
SMALLER = (  # Only settings that shrink the paper's run, or suit a CPU.
  '--config.total_steps=2',
  '--config.prompts_per_step=4',
  '--config.group_size=2',
  '--config.schedule_kw.low=8',
  '--config.schedule_kw.high=16',
  '--config.schedule_kw.period=2',
  '--config.eval_kw.samples=2',
  '--config.eval_kw.cap=16',
  '--config.mesh_kw.fsdp=1',
  '--config.update_kw.micro_batch_rows=1',
  '--config.update_kw.attention=reference',
)


def rows(*numbers):
  return json.dumps(
    [{'problem': f'{n} + 0 = ?', 'answer': str(n)} for n in numbers]
  )


@pytest.fixture
def hub(tmp_path):
  """A Hub with the names of the paper's config: small files of each."""
  place, tokens = tmp_path / 'hub', tmp_path / 'tokenizer'
  tiny_tokenizer.write(tokens)
  vocab = chat.load(
    tokens, instruction='{problem}', template_kw={}, thought=True
  ).vocab
  shape = builders.tiny_shape(
    vocab=vocab, dim=64, heads=2, kv_heads=1, head_dim=32
  )
  served = fake_hub.FakeHub(place)
  for number, need in enumerate(hub_names.needs(cosine640.get_config())):
    served.commits.add(need.name.revision)
    if need.setting != 'model_path':
      folder = place / 'datasets' / need.name.repo
      folder.mkdir(parents=True)
      first = 100 * number
      (folder / 'test.json').write_text(rows(*range(first, first + 20)))
      continue
    folder = place / 'models' / need.name.repo
    folder.parent.mkdir(parents=True)
    frame = export.frame_without_base(shape, tokens)
    given = dict(shard_bytes=1_000_000, tell=lambda count: None)
    export.write_folder(folder, builders.lively(shape), frame, {}, **given)
  with served.serving():
    yield served


def test_the_papers_command_trains_through_a_server_that_it_started(
  hub, tmp_path, cache, tell
):
  pushes, home = tmp_path / 'pushes', tmp_path / 'home'
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'siri_jax.main'),
      *('--config=configs/cosine640.py', *SMALLER, *SERVER),
      f'--config.server_kw.folder={pushes}',
      f'--config.cache_dir={cache}',
      f'--workdir={tmp_path / "run"}',
    ],
    cwd=launch.ROOT,
    env={
      **os.environ,
      'HF_HUB_OFFLINE': '0',
      'HF_ENDPOINT': hub.url,
      'HF_HOME': str(home),
    },
    capture_output=True,
    text=True,
    check=False,
  )
  print(done.stdout)
  assert done.returncode == exit_status.DONE, done.stdout + done.stderr
  assert 'vLLM answers at http://127.0.0.1:' in done.stdout
  assert launch.server_processes(pushes) == {}
  # Everything was fetched: the model, its tokenizer, problems, four sets.
  sent = hub.fetched()
  assert sent.count('test.json') == 5
  assert {'config.json', 'tokenizer.json'} <= {*sent}
  records = launch.records(tmp_path / 'run', 'metrics')
  assert [r['weight_version'] for r in records] == [0, 1]
  assert [r['sampler_rejected'] for r in records] == [0, 0]
  ends = launch.records(tmp_path / 'run', 'eval')
  sets = list(cosine640.EVALS)
  assert [r['set'] for r in ends if r['step'] == 2] == sets
  table = done.stdout.partition('dAcc/CR')[0]
  assert 'aime24' in table
  tell(11.5, 'none: one command, an empty cache', 'a table of four sets')


def test_a_killed_run_and_the_server_that_it_started_leave_nothing_behind(
  tmp_path, cache, tell
):
  pushes, run = tmp_path / 'pushes', tmp_path / 'run'
  settings = (
    *real_vllm.CHANGES,
    *SERVER,
    '--config.total_steps=200',
    '--config.server_kw.placement=split',
    f'--config.server_kw.folder={pushes}',
  )

  def steps():
    return launch.lines(run, 'metrics')

  def kill(*wanted):
    for pid, command in launch.server_processes(pushes).items():
      role = 'guard' if guard.__file__ in command else 'engine'
      role = 'server' if '--port' in command and role != 'guard' else role
      if role in wanted:
        os.kill(pid, signal.SIGKILL)

  with launch.process_of(run, cache, *settings) as process:
    assert launch.wait_for(process, lambda: steps() >= 1), process.said
    before = {*launch.server_processes(pushes)}
    kill('server')  # Its engine is left, without a parent.
    seen = steps()
    assert launch.wait_for(process, lambda: steps() > seen + 1), process.said
    assert not before & {*launch.server_processes(pushes)}
    kill('guard')  # The server's processes end with their parents.
    process.kill()
    launch.wait_until(lambda: not launch.server_processes(pushes))
  kinds = [event['kind'] for event in launch.records(run, 'events')]
  assert kinds == ['server_restarted']
  settings = (*settings, f'--config.total_steps={steps() + 1}')
  allowed = '--allow_change=total_steps'
  launch.finish(run, cache, *settings, allowed)
  assert launch.server_processes(pushes) == {}
  tell(11, "a run's own vLLM is killed", 'restarted; nothing of it is left')
  tell(12.8, 'a run, its guard and vLLM are killed', 'none left; it resumes')
