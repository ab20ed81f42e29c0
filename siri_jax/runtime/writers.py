"""Writers of metrics to TensorBoard, Weights & Biases and Trackio.

They copy metrics.jsonl of the run folder, may lag behind it and can be deleted.
A writer is a class in WRITERS with `write(step, scalars)` and `close()`. The
class attribute `needs` is the package to install, and `opens` the command that
shows the run, with {folder}, the run's parent folder, and {project}.
"""

import contextlib
import importlib.util
import io
import json
import math
import numbers
import pathlib

from siri_jax.runtime import run_folder
from siri_jax.settings import NAME, NAMES, TEXT

# Metrics by the group of their tags; the others are in train/.
TIMES = ('tokens_per_sec', 'compile_count')
ROLLOUT = (
  *('reward_mean', 'accuracy', 'cap', 'truncated_frac', 'zero_variance_frac'),
  *('length_mean', 'length_p90', 'length_correct', 'length_wrong'),
  *('tokens', 'sampled_tokens', 'tokens_so_far', 'weight_version'),
)
PREFIXES = ('grader', 'sampler')


class TensorBoard:
  """Event files in <folder>/tensorboard, with the settings as hparams."""

  needs = 'tensorboardX'
  opens = 'tensorboard --logdir={folder}'  # Of the package tensorboard.

  def __init__(self, folder, run_info, first_step, kw):
    del kw
    import tensorboardX  # It imports torch if installed.

    # The name of an event file has the second and the host. Without a suffix,
    # an attempt in the same second would overwrite it.
    attempt = len(run_info.get('attempts', ()))
    self._settings, self._results = settings_of(folder), {}
    self._writer = tensorboardX.SummaryWriter(
      str(folder / 'tensorboard'),
      purge_step=first_step,
      flush_secs=2,
      filename_suffix=f'.{attempt}',
    )

  def write(self, step, scalars):
    for name, value in scalars.items():
      self._writer.add_scalar(name, value, step)
      if name.startswith('eval/'):
        self._results[name] = value

  def close(self):
    """Adds the settings and the last evaluations, for its table of runs."""
    from tensorboardX import summary

    if self._results:
      for part in summary.hparams(self._settings, self._results):
        self._writer.file_writer.add_summary(part)
    self._writer.close()


class WeightsAndBiases:
  """A Weights & Biases run with the folder's id; respects WANDB_MODE."""

  needs = 'wandb'
  opens = 'https://wandb.ai, project {project}'

  def __init__(self, folder, run_info, first_step, kw):
    del first_step  # Repeated steps have the same numbers.
    import wandb

    self._run = wandb.init(
      project=kw['project'],
      entity=kw['entity'] or None,
      group=group_of(folder, kw) or None,
      tags=list(kw['tags']),
      id=run_info['id'],
      name=folder.resolve().name,
      resume='allow',
      dir=str(folder),
      config=json.loads((folder / 'config.json').read_text()),
      # It would store every redraw of the updated line.
      settings=wandb.Settings(console='off'),
    )
    # `step` is a metric: wandb drops values for steps before its newest, which
    # a resumed run sends.
    self._run.define_metric('*', step_metric='step')

  def write(self, step, scalars):
    self._run.log({'step': step, **scalars})

  def close(self):
    self._run.finish()


class Trackio:
  """A Trackio run with the folder's id; respects TRACKIO_DIR and others."""

  needs = 'trackio'
  opens = 'trackio show --project {project}'

  def __init__(self, folder, run_info, first_step, kw):
    del first_step  # Repeated steps have the same numbers.
    import trackio

    with contextlib.redirect_stdout(io.StringIO()):  # It greets the user.
      self._run = trackio.init(
        project=kw['project'],
        name=run_info['id'],
        group=group_of(folder, kw) or None,
        config=settings_of(folder),
        resume='allow',
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
      )

  def write(self, step, scalars):
    self._run.log(scalars, step=step)

  def close(self):
    with contextlib.redirect_stdout(io.StringIO()):
      self._run.finish()


WRITERS = {
  'tensorboard': TensorBoard,
  'wandb': WeightsAndBiases,
  'trackio': Trackio,
}
SETTINGS = {'project': NAME, 'entity': TEXT, 'group': TEXT, 'tags': NAMES}


class Writers:
  """All writers of a run; a writer that fails does not end the run."""

  def __init__(self, writers):
    self._writers = writers

  def write(self, step, scalars):
    """Writes the values that are finite numbers, by `tag`."""
    finite = {
      tag(name): float(value)
      for name, value in scalars.items()
      if name != 'step' and _finite(value)
    }
    for writer in self._writers:
      with contextlib.suppress(OSError):
        writer.write(step, finite)

  def close(self):
    for writer in self._writers:
      with contextlib.suppress(OSError):
        writer.close()


def tag(name):
  """A metric's name with its group: 'train/loss', 'time/update_secs'."""
  if '/' in name:
    return name
  if name.endswith('_secs') or name in TIMES:
    return f'time/{name}'
  group, _, rest = name.partition('_')
  if group in PREFIXES:
    return f'{group}/{rest}'
  return f'rollout/{name}' if name in ROLLOUT else f'train/{name}'


def settings_of(folder):
  """The settings of a run by dotted name, as numbers and text."""
  config = json.loads((folder / 'config.json').read_text())
  plain = (bool, int, float, str)
  return {
    name: value if isinstance(value, plain) else json.dumps(value)
    for name, value in run_folder.flatten(config).items()
  }


def group_of(folder, kw):
  """The group of a run: writers_kw.group, or the name of its ablation."""
  parent = folder.resolve().parent
  ablation = parent.name if (parent / 'ablation.json').exists() else ''
  return kw['group'] or ablation


def commands(names, folder, project):
  """The commands that show a run's metrics, a line each."""
  parent = pathlib.Path(folder).parent
  return [
    WRITERS[n].opens.format(folder=parent, project=project) for n in names
  ]


def faults(names):
  """Messages about a config's list of writers."""
  wrong = []
  for name in names:
    if name not in WRITERS:
      known = ', '.join(WRITERS)
      wrong.append(f'writers: unknown writer {name!r}; choose from {known}')
    elif not importlib.util.find_spec(WRITERS[name].needs):
      package = WRITERS[name].needs
      wrong.append(
        f'writers: {name!r} needs a package that is not installed; run '
        f'pip install {package}'
      )
  return wrong


def open_writers(names, folder, run_info, first_step, **kw):
  """Opens the writers of a run.

  Args:
    names: keys of WRITERS.
    folder: the run's folder.
    run_info: content of its RUN.json.
    first_step: first step of this attempt; values that a writer has of it and
      of later steps are hidden.
    **kw: writers_kw.
  Returns:
    Writers.
  Raises:
    ValueError: names are unknown or packages missing; lists all.
  """
  wrong = faults(names)
  if wrong:
    raise ValueError('\n'.join(wrong))
  folder = pathlib.Path(folder)
  return Writers([WRITERS[n](folder, run_info, first_step, kw) for n in names])


def _finite(value):
  """Whether a value is one finite number, of Python, numpy or JAX."""
  if getattr(value, 'ndim', None) == 0:
    value = value.item()
  return isinstance(value, numbers.Real) and math.isfinite(value)
