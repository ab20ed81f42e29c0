"""Budgets, forced tokens and chunks of recipes through a real vLLM server.

bash tools/test_vllm.sh runs these tests; see real_vllm.py. The recipes are
those of `:laptop`, in fewer steps and after less SFT, and share a server.
"""

import launch
import pytest
import real_vllm

from siri_jax import main
from siri_jax.analysis import runs
from siri_jax.data import arithmetic_words
from siri_jax.runtime import exit_status

pytestmark = real_vllm.NEEDED
LONGEST = 'recipes/l1_exact:laptop'  # Its prompts have three tokens more.
CHANGES = (
  '--config.engine=vllm',
  '--config.total_steps=2',
  '--config.prompts_per_step=8',
  '--config.task_kw.held_out=8',
  '--config.record_kw.rollouts_every=1',
  '--config.record_kw.picture_every=0',
  '--config.writers=()',
  '--config.server_kw.logprob_share=1.0',
  '--config.server_kw.patience_secs=60.0',
  '--config.sft_kw.steps=40',
  '--config.sft_kw.rounds=1',
  '--config.sft_kw.warmup_steps=5',
  '--config.sft_kw.gate.copied=0.0',
  '--config.sft_kw.gate.looked_up=0.0',
)


@pytest.fixture(scope='module')
def served(tmp_path_factory):
  """Arguments of a run with a ready server."""
  folder = tmp_path_factory.mktemp('vllm')
  with real_vllm.serving(folder, config=LONGEST, changes=CHANGES) as found:
    yield found[0]


def samples(served, cache, run, name):
  """The samples of a recipe's run, whose records are checked."""
  words = (f'--config={name}:laptop', f'--workdir={run}', *served)
  told = main.main([*words, f'--config.cache_dir={cache}'])
  assert told == exit_status.DONE
  records = launch.records(run, 'metrics')
  assert [r['weight_version'] for r in records] == [0, 1]
  assert [r['sampler_rejected'] for r in records] == [0, 0]
  assert len({r['compile_count'] for r in records}) == 1
  # The update reads each token after the tokens that the server had before it.
  assert max(r['sampler_gap_max'] for r in records) < 1e-3
  found = [
    runs.read_rows(path) for path in sorted((run / 'rollouts').iterdir())
  ]
  for record, rows in zip(records, found, strict=True):
    forced = sum(len(row.get('forced', ())) for row in rows)
    assert record['sampler_told'] == sum(r['length'] for r in rows) - forced
    assert max(row['length'] for row in rows) <= record['cap']
  return [row for rows in found for row in rows]


def test_a_target_is_in_the_prompts_of_a_group(served, cache, tmp_path):
  rows = samples(served, cache, tmp_path / 'run', 'recipes/l1_exact')
  targets = [row['target'] for row in rows]
  assert targets == [t for t in targets[::8] for _ in range(8)]
  assert 2 <= min(targets) < max(targets) <= 90


def test_a_thought_is_closed_and_the_response_goes_on(served, cache, tmp_path):
  rows = samples(served, cache, tmp_path / 'run', 'recipes/elastic_reasoning')
  forced = [row for row in rows if row.get('forced')]
  assert forced
  for row in forced:
    (at,) = row['forced']
    assert row['response_ids'][at] == arithmetic_words.ID['</think>']
    assert at < row['length'] - 1 or row['finish_reason'] == 'length'
  assert max(row['length'] - row['forced'][0] for row in forced) > 2


def test_a_response_is_sampled_in_chunks(served, cache, tmp_path):
  rows = samples(served, cache, tmp_path / 'run', 'recipes/delethink')
  starts = [0, 31, 47, 63, 79]
  for row in rows:
    assert row['chunks'] == [at for at in starts if at < row['length']]
  assert max(len(row['chunks']) for row in rows) > 2
