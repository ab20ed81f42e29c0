"""The soak test: moments of interruption, and differences."""

from tools import soak


def test_interruptions_are_spread_over_the_run_and_drawn_by_the_seed():
  ends = soak.plan(20, 162, 324.0, seed=0)
  assert len(ends) == 20
  steps = [step for step, _, _ in ends]
  assert steps == sorted(steps)
  assert min(steps) >= 0
  assert max(steps) < 162
  assert all(0 <= wait <= 2.0 for _, wait, _ in ends)
  assert {how.name for _, _, how in ends} == {'SIGKILL', 'SIGTERM'}
  assert ends == soak.plan(20, 162, 324.0, seed=0)
  assert ends != soak.plan(20, 162, 324.0, seed=1)


def test_a_number_that_differs_is_found_and_a_time_is_not(tmp_path):
  paths = tmp_path / 'a.jsonl', tmp_path / 'b.jsonl'
  paths[0].write_text('{"step": 0, "loss": 1.0, "step_secs": 1.0}\n')
  paths[1].write_text('{"step": 0, "loss": 1.0, "step_secs": 2.0}\n')
  assert soak.untimed(paths[0]) == soak.untimed(paths[1])
  paths[1].write_text('{"step": 0, "loss": 1.5, "step_secs": 1.0}\n')
  assert soak.untimed(paths[0]) != soak.untimed(paths[1])
