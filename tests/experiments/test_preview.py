"""The runs of an ablation and their cost, before anything runs."""

from siri_jax.commands import ablate
from siri_jax.runtime import exit_status

WORDS = (
  '--config=tests/helpers/tiny.py',
  '--axis=schedule=cosine,stair',
  '--axis=seed=0,1',
  '--dry_run',
)


def test_a_dry_run_lists_every_run_with_its_cost_and_makes_no_folder(
  tmp_path, capsys
):
  out = tmp_path / 'ablation'
  assert ablate.main([*WORDS, f'--out={out}']) == exit_status.DONE
  lines = capsys.readouterr().out.splitlines()
  names = [line.split()[0] for line in lines[2:6]]
  assert names == [
    f'schedule={schedule},seed={seed}'
    for schedule in ('cosine', 'stair')
    for seed in (0, 1)
  ]
  assert lines[6].startswith('4 runs')
  assert 'CPU cores' in ' '.join(lines)
  assert lines[-1].endswith('schedule=cosine,seed=0 --dry_run')
  assert not out.exists()


def test_a_dry_run_is_refused_where_a_run_would_be(tmp_path, capsys):
  run = tmp_path / 'schedule=stair,seed=1'
  run.mkdir()
  (run / 'notes').mkdir()
  assert ablate.main([*WORDS, f'--out={tmp_path}']) == exit_status.REFUSED
  out, err = capsys.readouterr()
  assert '4 runs' in out
  assert 'schedule=stair,seed=1' in err
  assert 'something else: it has notes' in err
  slurm = '--executor=slurm'
  assert ablate.main([*WORDS, f'--out={tmp_path}', slurm]) == 2
  assert 'there is no srun' in capsys.readouterr().err


def test_an_ablation_in_the_folder_of_a_run_is_refused(tmp_path, capsys):
  (tmp_path / 'RUN.json').write_text('{}')
  assert ablate.main([*WORDS, f'--out={tmp_path}']) == exit_status.REFUSED
  assert 'is the folder of a run' in capsys.readouterr().err
