"""Writers of metrics to TensorBoard and Weights & Biases.

They copy metrics.jsonl of the run folder, may lag behind it and can be deleted.
A writer is a class in WRITERS with `write(step, scalars)` and `close()`.
"""

import contextlib
import importlib.util
import json
import math
import numbers
import pathlib


class TensorBoard:
  """Event files in <folder>/tensorboard: tensorboard --logdir=<folder>."""

  needs = 'tensorboardX'

  def __init__(self, folder, run_info, first_step):
    import tensorboardX  # It imports torch if installed.

    # The name of an event file has the second and the host. Without a suffix,
    # an attempt in the same second would overwrite it.
    attempt = len(run_info.get('attempts', ()))
    self._writer = tensorboardX.SummaryWriter(
      str(folder / 'tensorboard'),
      purge_step=first_step,
      flush_secs=2,
      filename_suffix=f'.{attempt}',
    )

  def write(self, step, scalars):
    for name, value in scalars.items():
      self._writer.add_scalar(name, value, step)

  def close(self):
    self._writer.close()


class WeightsAndBiases:
  """A Weights & Biases run with the folder's id; respects WANDB_MODE."""

  needs = 'wandb'

  def __init__(self, folder, run_info, first_step):
    del first_step  # Repeated steps have the same numbers.
    import wandb

    self._run = wandb.init(
      project='siri_jax',
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


WRITERS = {'tensorboard': TensorBoard, 'wandb': WeightsAndBiases}


class Writers:
  """All writers of a run; a writer that fails does not end the run."""

  def __init__(self, writers):
    self._writers = writers

  def write(self, step, scalars):
    """Writes the values that are finite numbers."""
    finite = {
      name: float(value)
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


def open_writers(names, folder, run_info, first_step):
  """Opens the writers of a run.

  Args:
    names: keys of WRITERS.
    folder: the run's folder.
    run_info: content of its RUN.json.
    first_step: first step of this attempt; values that a writer has of it and
      of later steps are hidden.
  Returns:
    Writers.
  Raises:
    ValueError: names are unknown or packages missing; lists all.
  """
  wrong = faults(names)
  if wrong:
    raise ValueError('\n'.join(wrong))
  folder = pathlib.Path(folder)
  return Writers([WRITERS[n](folder, run_info, first_step) for n in names])


def _finite(value):
  """Whether a value is one finite number, of Python, numpy or JAX."""
  if getattr(value, 'ndim', None) == 0:
    value = value.item()
  return isinstance(value, numbers.Real) and math.isfinite(value)
