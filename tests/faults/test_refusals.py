"""Refusals at the start and at a resume: status 2, with the reason."""

import json
import shutil
import subprocess
import sys
import textwrap

import jax
import launch
import pytest
import tiny_tokenizer

from siri_jax.runtime import checkpoint, exit_status, run_folder

pytestmark = [
  pytest.mark.faults,
]


# Another run's folder, or the same one twice.

HOLDER = """
import sys, time
from siri_jax.runtime import run_folder
about = {'source': 'a.py', 'overrides': {}}
held = run_folder.RunFolder(sys.argv[1], {'seed': 0}, **about)
print('held', flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(
  tmp_path, cache, capsys, tell
):
  run = tmp_path / 'run'
  command = [sys.executable, '-c', HOLDER, str(run)]
  with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
    assert holder.stdout.readline() == b'held\n'
    for more in ((), ('--config.seed=7',)):
      assert launch.here(run, cache, *more) == exit_status.REFUSED
      assert f'in use by pid {holder.pid} on' in capsys.readouterr().err
    holder.kill()
    holder.wait()
    run_folder.RunFolder(run, {'seed': 0}, source='', overrides={}).close()
  tell(21, 'a second process on the folder', 'status 2, names the first')
  tell(21, 'the lock of a killed process', 'is free at once')


# Resuming with other files or settings.


def on_files(folder, cache, *more):
  """Runs a step on problem files and a tokenizer; its exit status."""
  task = {
    'train': str(folder / 'train.jsonl'),
    'evals': {'test': str(folder / 'test.jsonl')},
    'tokenizer': str(folder / 'tokenizer'),
    'instruction': '{problem}',
    'template_kw': {},
  }
  return launch.here(
    folder / 'run',
    cache,
    '--config.task=jsonl',
    f'--config.task_kw={task}',
    '--config.max_prompt_tokens=24',
    '--config.total_steps=1',
    *more,
  )


def write_problems(path, words):
  rows = [
    {'id': f'p{n}', 'problem': f'{word} {n}', 'answer': '1', 'source': 'made'}
    for n, word in enumerate(words)
  ]
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def write_files(folder):
  write_problems(folder / 'train.jsonl', ['add'] * 8)
  write_problems(folder / 'test.jsonl', ['sum'] * 2)
  tiny_tokenizer.write(folder / 'tokenizer')


@pytest.mark.slow
def test_other_files_with_the_same_settings_are_refused_by_kind(
  tmp_path, cache, capsys, tell
):
  write_files(tmp_path)
  assert on_files(tmp_path, cache) == exit_status.DONE
  write_problems(tmp_path / 'train.jsonl', ['take'] * 8)
  write_problems(tmp_path / 'test.jsonl', ['less'] * 2)
  template = tiny_tokenizer.TEMPLATE.replace('<assistant>', '')
  tiny_tokenizer.write(tmp_path / 'tokenizer', template=template)
  assert on_files(tmp_path, cache) == exit_status.REFUSED
  said = capsys.readouterr().err
  assert 'other contents of data, held_out, tokenizer' in said
  assert (
    on_files(tmp_path, cache, '--config.temperature=0.5') == exit_status.REFUSED
  )
  assert 'temperature: 1.0 -> 0.5' in capsys.readouterr().err
  allowed = '--allow_change=data,held_out,tokenizer'
  assert on_files(tmp_path, cache, allowed) == exit_status.DONE
  tell(8, 'other settings, problems or held-out sets', 'status 2, each named')
  tell(24, 'another tokenizer or chat template', 'status 2, named')


@pytest.mark.slow
def test_another_runs_checkpoints_are_refused_by_its_settings(
  whole, tmp_path, cache, capsys, tell
):
  run = tmp_path / 'run'
  shutil.copytree(whole / 'checkpoints', run / 'checkpoints')
  assert (
    launch.here(run, cache, '--config.temperature=0.5') == exit_status.REFUSED
  )
  said = capsys.readouterr().err
  assert 'has checkpoints of other settings' in said
  assert 'temperature: 1.0 -> 0.5' in said
  tell(8, 'checkpoints from another run', 'status 2, each setting named')


@pytest.mark.slow
def test_another_model_or_dtype_is_refused_and_never_cast(
  whole, cache, capsys, tell
):
  wider = ('--config.model_kw.mlp=64', '--allow_change=model_kw,model')
  assert launch.here(whole, cache, *wider) == exit_status.REFUSED
  said = capsys.readouterr().err
  assert 'is of another model: params/layers/' in said
  assert "(1, 16, 32), 'float32'" in said
  folder = whole / 'checkpoints'
  step = max(checkpoint.finished(folder))
  half = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, 'bfloat16', sharding=x.sharding),
    checkpoint.read_parameters(folder, step),
  )
  with pytest.raises(ValueError, match=r'float32.*bfloat16'):
    checkpoint.read_parameters(folder, step, half)
  tell(8, 'a model of another shape', 'status 2, names the arrays')
  tell(10, 'another dtype than was saved', 'refused, never cast')


# Invalid configs and problem files.

TRIED = """
import json, sys
from jax._src import xla_bridge
from siri_jax import main
for arguments in json.load(sys.stdin):
  print('#', main.main(arguments), file=sys.stderr, flush=True)
print('# devices', xla_bridge.backends_are_initialized(), file=sys.stderr)
"""
BAD = [
  (('--config.learning_rat=1',), 'did you mean learning_rate'),
  (('--config.seed=one',), 'seed=one'),
  (('--config.seed=-1',), 'seed=-1'),
  (('--config.total_steps=0',), 'total_steps=0'),
  (('--config.total_steps=1.5',), 'total_steps=1.5'),
  (('--config.temperature=nan',), 'temperature=nan'),
  (('--config.temperature=0.0',), 'temperature=0.0'),
  (('--config.top_p=1.5',), 'top_p=1.5'),
  (('--config.learning_rate=inf',), 'learning_rate=inf'),
  (('--config.group_size=1',), 'group_size=1'),
  (('--config.prompts_per_step=True',), 'prompts_per_step'),
  (('--config.minibatches=3',), 'minibatches=3 does not divide'),
  (('--config.mesh_kw.data=3',), 'does not divide over the 3 devices'),
  (('--config.schedule_kw.low=9',), 'low=9'),
  (('--config.schedule_kw.period=5',), 'period=5'),
  (('--config.schedule_kw.perod=4',), 'schedule_kw.perod'),
  (('--config.schedule=cosin',), "mean 'cosine'"),
  (('--config.schedule=no.such:one',), 'import'),
  (('--config.reward=siri_jax.algorithm.rewards',), 'reward'),
  (('--config.loss_kw.low=nan',), 'loss_kw.low=nan'),
  (('--config.policy=pretrained',), 'needs model_path'),
  (('--config.model_kw.heads=3', '--config.model_kw.kv_heads=2'), 'multiple'),
  (('--config.model_kw.head_dim=9',), 'head_dim=9 is odd'),
  (('--config.update_kw.attention=flash',), "update_kw.attention='flash'"),
  (('--config.writers=csv',), 'writers'),
  (('--config.checkpoint_kw.keep=0',), 'checkpoint_kw.keep=0'),
  (('--config.limits_kw.stall_secs=0.0',), 'limits_kw.stall_secs=0.0'),
  (('--config.alarms_kw.cut=2.0',), 'alarms_kw.cut=2.0'),
  (('--config.eval_kw.samples=17',), 'eval_kw.samples=17'),
  (('steps=3',), 'steps=3'),
  (('--stepz=3',), 'stepz'),
  (('--config=tests/nowhere.py',), 'nowhere.py'),
]


@pytest.mark.slow
def test_a_bad_config_is_refused_before_a_device_or_a_file_is_touched(
  tmp_path, tell
):
  lines = [
    launch.arguments(tmp_path / 'run', tmp_path / 'cache', *more)
    for more, _ in BAD
  ]
  tried = subprocess.run(
    [sys.executable, '-c', textwrap.dedent(TRIED)],
    input=json.dumps(lines),
    capture_output=True,
    text=True,
    cwd=launch.ROOT,
  )
  *answers, last = tried.stderr.split('# 2\n')
  for answer, (more, told) in zip(answers, BAD, strict=True):
    assert told in answer, more
    assert 'Traceback' not in answer
  assert last == '# devices False\n'
  assert list(tmp_path.iterdir()) == []
  tell(22, f'{len(BAD)} bad command lines', 'status 2, no device, no file')


GOOD = json.dumps(
  {'id': 'q', 'problem': 'add', 'answer': '1', 'source': 'made'}
)
FILES = {
  'a line cut short': (GOOD[:20], 'train.jsonl:9: not JSON'),
  'a key that is missing': ('{"id": "q"}\n', 'train.jsonl:9: "problem" is'),
  'an empty answer': (
    GOOD.replace('"1"', '""') + '\n',
    'train.jsonl:9: "answer" is empty',
  ),
  'an id twice': (GOOD.replace('q', 'p3') + '\n', 'already in line 4'),
  'not UTF-8': ('\udcff\n', 'train.jsonl:9: byte 1 is not UTF-8'),
}


@pytest.mark.parametrize('fault', FILES)
def test_a_bad_line_of_problems_is_named_by_file_and_line(
  tmp_path, cache, capsys, tell, fault
):
  text, told = FILES[fault]
  write_files(tmp_path)
  with open(tmp_path / 'train.jsonl', 'ab') as file:
    file.write(text.encode(errors='surrogateescape'))
  assert on_files(tmp_path, cache, '--dry_run') == exit_status.REFUSED
  assert told in capsys.readouterr().err
  tell(23, f'problems: {fault}', 'status 2, file and line')


def test_a_file_without_problems_and_prompts_that_are_too_long_are_refused(
  tmp_path, cache, capsys, tell
):
  write_files(tmp_path)
  (tmp_path / 'train.jsonl').write_text('')
  assert on_files(tmp_path, cache, '--dry_run') == exit_status.REFUSED
  assert 'train.jsonl has no problems' in capsys.readouterr().err
  write_problems(tmp_path / 'train.jsonl', ['a' * 100] * 8)
  assert on_files(tmp_path, cache, '--dry_run') == exit_status.REFUSED
  assert 'no training prompt fits in 24 tokens' in capsys.readouterr().err
  tell(23, 'no problems, or none that fits', 'status 2')


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(
  tmp_path, cache, capsys, tell
):
  write_files(tmp_path)
  path = tmp_path / 'train.jsonl'
  text = path.read_bytes().replace(b'\n', b'\r\n')
  path.write_bytes(b'\xef\xbb\xbf' + text)
  assert on_files(tmp_path, cache, '--dry_run') == exit_status.DONE
  tell(23, 'problems: byte-order mark, CRLF', 'read as they are')
