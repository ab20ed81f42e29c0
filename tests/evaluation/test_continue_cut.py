"""The command continue_cut: cut samples continue from their tokens."""

import json
import shutil

import builders
import launch
import numpy as np
import pytest

from siri_jax import types
from siri_jax.analysis import runs
from siri_jax.commands import continue_cut
from siri_jax.rollout import engines
from siri_jax.runtime import checkpoint, exit_status


class Engine:
  """Ends every response with 9s up to the cap, and a 0."""

  def sample(self, prompts, sampling, progress):
    for prompt in prompts:
      self.asked = prompt.ids.tolist()
      ids = [9] * (sampling.cap_of(prompt) - 1) + [0]
      yield [
        builders.make_sample(prompt.ids, ids, problem_id=prompt.problem_id)
      ]


def test_a_response_continues_from_its_tokens_up_to_the_cap():
  engine = Engine()
  begun = {'p': np.array([5, 6], np.int32)}
  prompts = [types.Prompt('p', np.array([1, 2, 3], np.int32))]
  asked = engines.SamplingParams(1, 6, 1.0, 1.0, 0, (0, 2, 0))
  ((sample,),) = continue_cut.Continuing(engine, begun).sample(
    prompts, asked, print
  )
  assert engine.asked == [1, 2, 3, 5, 6]
  assert sample.prompt_ids.tolist() == [1, 2, 3]
  assert sample.response_ids.tolist() == [5, 6, 9, 9, 9, 0]


@pytest.fixture
def run(whole, tmp_path):
  shutil.copytree(whole, tmp_path / 'run')
  return tmp_path / 'run'


@pytest.mark.slow
def test_some_cut_samples_of_each_step_continue_with_the_nearest_weights(
  run, cache, capsys
):
  words = launch.arguments(run, cache, '--samples=6')
  cut = continue_cut.cut_samples(run, highest=8)
  assert continue_cut.main(words) == exit_status.DONE
  assert 'right under the highest cap' in capsys.readouterr().out
  found = json.loads((run / 'continued/results.json').read_text())['steps']
  assert [record['step'] for record in found] == list(cut)
  assert {record['cap'] for record in found} <= {4, 6, 7}
  assert 6 <= sum(record['continued'] for record in found) <= 2 * len(cut)
  kept = checkpoint.finished(run / 'checkpoints')
  for record in found:
    step = record['step']
    assert record['cut'] == len(cut[step])
    assert abs(record['weights'] - step) == min(abs(k - step) for k in kept)
    before = {(r['problem_id'], r['index']): r for r in cut[step]}
    for row in runs.read_rows(run / f'continued/{step:06d}.jsonl.gz'):
      _, problem, index = row['problem_id'].split('/')
      begun = before[problem, int(index)]['response_ids']
      assert row['response_ids'][: row['cut_at']] == begun
      assert row['cut_at'] < row['length'] <= 8
  first = (run / 'continued/results.json').read_bytes()
  assert continue_cut.main(words) == exit_status.DONE  # Nothing left to do.
  assert (run / 'continued/results.json').read_bytes() == first


def test_a_run_without_cut_samples_is_refused(run, cache, capsys):
  shutil.rmtree(run / 'rollouts')
  words = launch.arguments(run, cache)
  assert continue_cut.main(words) == exit_status.REFUSED
  assert 'no sample cut by a cap below 8 tokens' in capsys.readouterr().err
