"""A run's policy as a Hugging Face folder, for transformers and vLLM.

  python -m siri_jax.commands.export --run=runs/cosine640 [--step=640]
    [--to=FOLDER]

Writes RUN/export/000640: the checkpoint's parameters in the base model's
dtypes, its config and tokenizer files byte for byte, and siri_jax.json, which
says where they come from. Without --step, the newest checkpoint. Needs no GPU
and may be called while the run goes on.
"""

import argparse
import logging
import pathlib
import sys

import jax
import tqdm
from ml_collections import ConfigDict

from siri_jax.analysis import validate
from siri_jax.models.hf import export as hf_export
from siri_jax.models.hf import initial
from siri_jax.runtime import checkpoint

DONE, REFUSED = 0, 2
READ = ('policy', 'model_path', 'task_kw')  # Of a run's settings.


def main(argv=None):
  """Returns the exit status: 0 done, 2 refused."""
  flags = parse(argv)
  jax.config.update('jax_platforms', 'cpu')  # The GPU is the run's.
  logging.getLogger('absl').setLevel(logging.ERROR)  # Orbax talks.
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
  parser = argparse.ArgumentParser(
    prog='python -m siri_jax.commands.export',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--run', required=True, help="a run's folder")
  parser.add_argument('--step', type=int, help='updates done')
  parser.add_argument('--to', help='the new folder')
  return parser.parse_args(argv)


def export(run, step, to):
  """Writes the folder and returns its path.

  Raises:
    ValueError: no run, no such checkpoint, or one that is damaged.
    OSError: the new folder exists, or cannot be written.
  """
  if not (run / 'config.json').is_file():
    raise ValueError(f'{run} is not the folder of a run: it has no config.json')
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
  """What goes round the numbers: the base model's, or our own."""
  if c.policy == 'pretrained':
    return hf_export.frame_of(c.model_path, shape)
  tokenizer = c.task_kw.tokenizer if 'tokenizer' in c.task_kw else ''
  return hf_export.frame_without_base(shape, tokenizer)


def about(run, c, step):
  """Where the parameters come from."""
  info = validate.json_object(run / 'RUN.json')
  return {
    'run': info.get('id'),
    'updates': step,
    'base': c.model_path,
    **{key: info.get(key) for key in ('config', 'git', 'versions')},
  }


if __name__ == '__main__':
  sys.exit(main())
