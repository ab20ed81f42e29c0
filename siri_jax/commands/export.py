"""Exports a run's policy as a Hugging Face folder, and uploads it.

  python -m siri_jax.commands.export --run=runs/cosine640 [--step=640]
    [--to=FOLDER] [--push_to_hub=OWNER/NAME [--private]] [--adapters]

Writes RUN/export/000640 for transformers and vLLM: the checkpoint's parameters
in the base model's dtypes, copies of its config and tokenizer files,
generation_config.json with the sampling of the evaluations, the model card
README.md, and siri_jax.json with the origin. The default step is the newest
checkpoint. Needs no GPU and may run during training. An upload needs the token
of `hf auth login` or of HF_TOKEN.

Adapters (lora_kw) are added to the base model's parameters. With --adapters,
RUN/export/000640-adapters gets them alone, in PEFT's format.
"""

import json
import logging
import pathlib
import sys

import jax
import tqdm
from ml_collections import ConfigDict

from siri_jax import policy
from siri_jax.analysis import runs, validate
from siri_jax.analysis.model_card import card
from siri_jax.config import built_in_task, command_line
from siri_jax.data import arithmetic_words, chat
from siri_jax.models.hf import export as hf_export
from siri_jax.models.hf import hub, initial, push
from siri_jax.runtime import checkpoint, stopwatch, terminal

DONE, REFUSED = 0, 2
# Of a run's settings.
READ = ('policy', 'model_path', 'task', 'task_kw', 'eval_kw')


def main(argv=None):
  """Returns the exit status: 0 done, 2 refused."""
  flags = parse(argv)
  jax.config.update('jax_platforms', 'cpu')  # A run may use the GPU.
  logging.getLogger('absl').setLevel(logging.ERROR)  # Orbax logs a lot.
  name = flags.push_to_hub
  try:
    if name:
      push.check(name)
    asked = pathlib.Path(flags.run), flags.step, flags.to
    if flags.adapters:
      print(export_adapters(*asked))
      return DONE
    folder = export(*asked, name)
    print(f'{folder}\n{how_to_load(name or folder, folder)}')
    if name:
      print(push.push(folder, name, private=flags.private))
  except (ValueError, OSError) as error:
    print(f'refused: {flags.run}', file=sys.stderr)
    print(f'  {error}', file=sys.stderr)
    return REFUSED
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
  alone = parser.add_mutually_exclusive_group()
  alone.add_argument(
    '--adapters',
    action='store_true',
    help="writes only a run's adapters (lora_kw), in PEFT's format",
  )
  alone.add_argument(
    '--push_to_hub',
    metavar='OWNER/NAME',
    default='',
    help='the model of the Hugging Face Hub to upload the folder to',
  )
  parser.add_argument(
    '--private',
    action='store_true',
    help='makes a new model of the Hub private',
  )
  return parser.parse_args(argv)


def export(run, step, to, name=''):
  """Writes the folder and returns its path.

  Args:
    run: path of the run's folder.
    step: updates done at the checkpoint; None: the newest.
    to: path of the new folder; None: run/export/STEP.
    name: of the model on the Hub, for its card; '': it is loaded by its path.
  Raises:
    ValueError: the run or checkpoint does not exist, or is damaged.
    OSError: the new folder exists, or cannot be written.
  """
  c, step = opened(run, step)
  saved = run / 'checkpoints'
  shape, params = read_policy(c, saved, step)
  frame = frame_of(c, shape)
  folder = pathlib.Path(to) if to else run / 'export' / f'{step:06d}'
  place = name or str(folder)
  readme = card.text(runs.read(run), step, place=place, files=frame.files)
  generation = generation_config(c, frame.files, eos_ids(c))
  frame = frame._replace(
    files={
      **frame.files,
      'generation_config.json': generation.encode(),
      'README.md': readme.encode(),
    }
  )
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


def opened(run, step):
  """A run's settings, and the updates done of a checkpoint.

  Args:
    run: path of the run's folder.
    step: updates done; None: those of the newest.
  Raises:
    ValueError: it is not a run's folder, or lacks settings.
  """
  if not (run / 'config.json').is_file():
    raise ValueError(f'{run} is not the folder of a run; it has no config.json')
  c = ConfigDict(validate.json_object(run / 'config.json'))
  if lacking := [key for key in READ if key not in c]:
    raise ValueError(f'{run / "config.json"} lacks {", ".join(lacking)}')
  if step is None:
    step = max(checkpoint.finished(run / 'checkpoints'), default=0)
  return c, step


def read_policy(c, saved, step):
  """policy.of_checkpoint, with messages on the terminal."""
  with (
    terminal.Terminal(0, sys.stderr) as screen,
    stopwatch.Signals(screen.say, secs=c.limits_kw.stop_secs) as signals,
  ):
    return policy.of_checkpoint(c, saved, step, screen, signals)


def export_adapters(run, step, to):
  """Writes a run's adapters in PEFT's format and returns the folder's path.

  Raises:
    ValueError: the run has none, or no base that PEFT could load.
    OSError: the new folder exists, or cannot be written.
  """
  c, step = opened(run, step)
  adapters = policy.adapters(c)
  if not adapters.rank:
    raise ValueError(f'{run} has no adapters: its lora_kw.rank is 0')
  if c.policy != 'pretrained':
    raise ValueError(
      f'{run} has policy={c.policy!r}, whose base is no folder that PEFT can '
      'load; export the whole policy, without --adapters'
    )
  params = checkpoint.read_parameters(run / 'checkpoints', step)
  folder = pathlib.Path(to) if to else run / 'export' / f'{step:06d}-adapters'
  hf_export.write_adapters(
    folder, params['layers'], adapters, c.model_path, about(run, c, step)
  )
  return folder


def frame_of(c, shape):
  """The export.Frame: the base model's files, or ours without a base."""
  folder = tokenizer_folder(c)
  if c.policy == 'pretrained':
    return hf_export.frame_of(folder, shape)
  return hf_export.frame_without_base(shape, folder)


def tokenizer_folder(c):
  """The folder of the base model or of the task's tokenizer; '' without."""
  if c.policy == 'pretrained':
    return initial.folder(c)
  tokenizer = c.task_kw.tokenizer if 'tokenizer' in c.task_kw else ''
  return tokenizer and hub.folder(tokenizer, hub.TOKENIZER)


def generation_config(c, files, eos_ids):
  """generation_config.json: the base's, with the sampling of evaluations.

  Args:
    c: the run's ConfigDict.
    files: of the frame, file name -> bytes.
    eos_ids: ids that end a response; () leaves the base's.
  """
  base = json.loads(files.get('generation_config.json', '{}'))
  greedy = not c.eval_kw.temperature
  sampling = {
    'do_sample': not greedy,
    'temperature': 1.0 if greedy else c.eval_kw.temperature,
    'top_p': c.eval_kw.top_p,
    'top_k': 0,
    'max_new_tokens': c.eval_kw.cap,
  }
  ends = {'eos_token_id': list(eos_ids)} if eos_ids else {}
  return json.dumps({**base, **sampling, **ends}, indent=2) + '\n'


def eos_ids(c):
  """The ids that end a response; () of a task of the user's own code."""
  if c.task in built_in_task.TASKS:
    return (arithmetic_words.ID['<eos>'],)
  folder = tokenizer_folder(c)
  return chat.load(folder, instruction='{problem}').eos_ids if folder else ()


def how_to_load(place, folder):
  """Commands that load an exported folder by its path or its name."""
  words = (
    '' if (folder / 'tokenizer.json').is_file() else ' --skip-tokenizer-init'
  )
  return (
    'load it with:\n'
    f"  transformers.AutoModelForCausalLM.from_pretrained('{place}')\n"
    f'  vllm serve {place}{words}'
  )


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
