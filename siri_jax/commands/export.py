"""Exports a run's policy as a Hugging Face folder.

  python -m siri_jax.commands.export --run=runs/cosine640 [--step=640]
    [--to=FOLDER]

Writes RUN/export/000640 for transformers and vLLM: the checkpoint's parameters
in the base model's dtypes, copies of its config and tokenizer files, and
siri_jax.json with the origin. The default step is the newest checkpoint. Needs
no GPU and may run during training.
"""

import logging
import pathlib
import sys

import jax
import tqdm
from ml_collections import ConfigDict

from siri_jax.analysis import validate
from siri_jax.config import command_line
from siri_jax.models.hf import export as hf_export
from siri_jax.models.hf import hub, initial
from siri_jax.runtime import checkpoint

DONE, REFUSED = 0, 2
READ = ('policy', 'model_path', 'task_kw')  # Of a run's settings.


def main(argv=None):
  """Returns the exit status: 0 done, 2 refused."""
  flags = parse(argv)
  jax.config.update('jax_platforms', 'cpu')  # A run may use the GPU.
  logging.getLogger('absl').setLevel(logging.ERROR)  # Orbax logs a lot.
  try:
    folder = export(pathlib.Path(flags.run), flags.step, flags.to)
  except (ValueError, OSError) as error:
    print(f'refused: {flags.run}', file=sys.stderr)
    print(f'  {error}', file=sys.stderr)
    return REFUSED
  print(folder)
  return DONE


def parse(argv):
  """The command line."""
  parser = command_line.parser(__doc__)
  parser.add_argument('--run', required=True, help="a run's folder")
  parser.add_argument(
    '--step',
    type=int,
    help='a checkpoint, in updates done; by default the newest',
  )
  parser.add_argument('--to', help='the new folder; by default RUN/export/STEP')
  return parser.parse_args(argv)


def export(run, step, to):
  """Writes the folder and returns its path.

  Raises:
    ValueError: the run or checkpoint does not exist, or is damaged.
    OSError: the new folder exists, or cannot be written.
  """
  if not (run / 'config.json').is_file():
    raise ValueError(f'{run} is not the folder of a run; it has no config.json')
  c = ConfigDict(validate.json_object(run / 'config.json'))
  if lacking := [key for key in READ if key not in c]:
    raise ValueError(f'{run / "config.json"} lacks {", ".join(lacking)}')
  saved = run / 'checkpoints'
  if step is None:
    step = max(checkpoint.finished(saved), default=0)
  params = checkpoint.read_parameters(saved, step)
  shape = initial.shape_of(c, params['embed'].shape[0])
  frame = frame_of(c, shape)
  folder = pathlib.Path(to) if to else run / 'export' / f'{step:06d}'
  with tqdm.tqdm(total=len(frame.dtypes), unit='tensor', disable=None) as bar:
    hf_export.write_folder(
      folder,
      params,
      frame,
      about(run, c, step),
      shard_bytes=hf_export.SHARD_BYTES,
      tell=bar.update,
    )
  return folder


def frame_of(c, shape):
  """The export.Frame: the base model's files, or ours without a base."""
  if c.policy == 'pretrained':
    return hf_export.frame_of(initial.folder(c), shape)
  tokenizer = c.task_kw.tokenizer if 'tokenizer' in c.task_kw else ''
  folder = tokenizer and hub.folder(tokenizer, hub.TOKENIZER)
  return hf_export.frame_without_base(shape, folder)


def about(run, c, step):
  """The content of siri_jax.json: the origin of the parameters."""
  info = validate.json_object(run / 'RUN.json')
  return {
    'run': info.get('id'),
    'updates': step,
    'base': c.model_path,
    **{key: info.get(key) for key in ('config', 'git', 'versions', 'hub')},
  }


if __name__ == '__main__':
  sys.exit(main())
