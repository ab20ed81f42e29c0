"""Views of metrics.jsonl for those who like them: TensorBoard, W&B.

The truth is the run folder; a view may lag behind it or be thrown away. A
writer is a class in WRITERS with `write(step, scalars)` and `close()`.
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
    import tensorboardX  # It imports torch where there is one.

    # The name of an event file is made of the second and the host: without a
    # suffix, an attempt in the same second would write over the one before.
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
  """A Weights & Biases run of the folder's id; WANDB_MODE=offline is obeyed."""

  needs = 'wandb'

  def __init__(self, folder, run_info, first_step):
    del first_step  # Steps done again bring the same numbers again.
    import wandb

    self._run = wandb.init(
      project='siri_jax',
      id=run_info['id'],
      name=folder.resolve().name,
      resume='allow',
      dir=str(folder),
      config=json.loads((folder / 'config.json').read_text()),
      # It would keep every drawing of the living line.
      settings=wandb.Settings(console='off'),
    )
    # As a metric of its own: wandb drops what it is sent for an earlier step
    # than its newest, as a resumed run does.
    self._run.define_metric('*', step_metric='step')

  def write(self, step, scalars):
    self._run.log({'step': step, **scalars})

  def close(self):
    self._run.finish()


WRITERS = {'tensorboard': TensorBoard, 'wandb': WeightsAndBiases}


class Writers:
  """All the views of a run as one; one that cannot be written ends nothing."""

  def __init__(self, writers):
    self._writers = writers

  def write(self, step, scalars):
    """Passes on what is a finite number; the rest has no place on a curve."""
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
  """What is wrong with a config's list of writers, as messages."""
  wrong = []
  for name in names:
    if name not in WRITERS:
      wrong.append(f'writers: {name!r} is none of {", ".join(WRITERS)}')
    elif not importlib.util.find_spec(WRITERS[name].needs):
      package = WRITERS[name].needs
      wrong.append(
        f'writers: {name!r} needs a package that is not installed: '
        f'pip install {package}'
      )
  return wrong


def open_writers(names, folder, run_info, first_step):
  """Opens the views of a run.

  Args:
    names: keys of WRITERS.
    folder: the run's folder.
    run_info: what its RUN.json holds.
    first_step: the step that this attempt starts from; what a view holds of
      it and later ones is hidden.
  Returns:
    Writers.
  Raises:
    ValueError: a name is unknown or its package missing; all at once.
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
