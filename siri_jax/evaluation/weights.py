"""The weights to evaluate: a checkpoint, a start, a model folder, a server."""

import contextlib
import dataclasses
import os
import pathlib
from typing import Any

from siri_jax import build, compiled, policy
from siri_jax.analysis import runs
from siri_jax.config import memory
from siri_jax.config import plan as plans
from siri_jax.config import recipe as recipes
from siri_jax.data import load
from siri_jax.models.hf import hub, initial
from siri_jax.rollout import http_client, servers, vllm
from siri_jax.runtime import checkpoint, credentials, files


@dataclasses.dataclass(frozen=True)
class Weights:
  """A reference to weights to evaluate; they are not read yet.

  Attributes:
    name: name of the folder of the results.
    c: the config of their policy.
    done: updates done.
    checkpoints: folder of their checkpoint; '' for the config's start.
    url: address of the running server that has them; '' if they are read.
    path: parts of the place that they are named after, the name last; () if
      they have no other name.
  """

  name: str
  c: Any
  done: int
  checkpoints: str
  url: str = ''
  path: tuple[str, ...] = ()


def find(c, word, workdir):
  """The weights of a word on the command line.

  Args:
    c: the config; not changed.
    word: 'newest' or the updates done of a checkpoint of the run, 'start',
      the path or Hub name of a Hugging Face folder, or a running server's URL.
    workdir: the run's folder.
  Returns:
    Weights.
  Raises:
    ValueError: there are no such weights; lists those that exist.
  """
  if word == 'start':
    return Weights(word, c, 0, '')
  if word == 'newest' or word.isdigit():
    return _checkpoint(c, word, pathlib.Path(workdir, 'checkpoints'))
  if '://' in word:
    return _server(c, word)
  folder, name = pathlib.Path(word).resolve(), hub.parse(word)
  if not (folder.is_dir() or name):
    raise ValueError(
      f'unknown --weights={credentials.masked(word)}; write newest, start, the '
      'updates done of a checkpoint, the path or Hub name of a Hugging Face '
      'folder, or the URL of a server'
    )
  c = c.copy_and_resolve_references()
  if name:
    c.policy, c.model_path = 'pretrained', word
    owner, short = name.repo.split('/')
    path = owner, short + f'@{name.revision}' * (name.revision != 'main')
    return Weights(path[-1], c, 0, '', path=path)
  c.policy, c.model_path = 'pretrained', str(folder)
  return Weights(folder.name, c, 0, '', path=folder.parts[1:])


def distinct(found):
  """Weights without repeats, with different names.

  Weights of the same name get the names of their parent folders too.

  Args:
    found: list of Weights.
  Returns:
    list of Weights; A/hf and B/hf get the names A-hf and B-hf.
  Raises:
    ValueError: two still have the same name.
  """
  known = {(e.path, e.name, e.done, e.checkpoints, e.url): e for e in found}
  paths = [each.path or (each.name,) for each in known.values()]
  names = ['-'.join(end) for end in runs.ends(paths)]
  if len({*names}) < len(names):
    listed = ', '.join('/'.join(path) for path in paths)
    name = max(names, key=names.count)
    raise ValueError(
      f'--weights: two of {listed} have the name {name}; evaluate them in '
      'separate folders, by --out'
    )
  return [
    dataclasses.replace(each, name=name)
    for each, name in zip(known.values(), names, strict=True)
  ]


def identity(weights):
  """JSON values that identify the weights."""
  if weights.url:
    model = vllm.model_of(weights.url)
    return {'served': model['id'], 'root': model.get('root') or ''}
  if weights.checkpoints:
    path = checkpoint.manifest(weights.checkpoints, weights.done)
    return {'manifest': files.sha256(path)}
  return {'policy': initial.fingerprint(weights.c)}


@contextlib.contextmanager
def engine(
  weights,
  task,
  screen,
  signals,
  *,
  requests,
  prompt_tokens,
  longest,
  server_logs,
):
  """A context with the config's engine on these weights.

  Args:
    weights: Weights.
    task: types.Task of its config.
    screen: terminal.Terminal.
    signals: stopwatch.Signals.
    requests: most samples in the engine at a time.
    prompt_tokens: tokens of the longest prompt.
    longest: tokens of the longest response.
    server_logs: folder of the output of servers that it starts.
  Yields:
    engines.Engine.
  Raises:
    ValueError: the weights are damaged, or of another model.
    http_client.ServerError: a server does not start.
  """
  if weights.url:
    with contextlib.closing(served(weights, task, screen)) as made:
      yield made
    return
  plan = plans.make(weights.c)
  with contextlib.ExitStack() as stack:
    own = server_logs, screen, signals, screen.say
    fleet = stack.enter_context(servers.serving(plan, task, *own))
    programs, params = _read(plan, weights, task, screen, signals, longest)
    made = build.make_engine(
      plan,
      programs,
      task,
      requests=requests,
      prompt_tokens=prompt_tokens,
      servers=fleet,
      run=f'evaluation-{os.getpid()}',
      say=screen.say,
    )
    stack.callback(made.close)
    made.push(params, weights.done)
    del params
    yield made


def _read(plan, weights, task, screen, signals, longest):
  """(compiled.Programs, parameters) of weights; see `engine`."""
  shape = initial.shape_of(weights.c, task.vocab)
  remat = memory.choose_remat(plan.c, memory.of_plan(plan, shape))
  recipe = recipes.recipe_of(plan, shape, remat)
  blank, layout, programs = build.compile_programs(
    plan, task, recipe, longest=longest, say=screen.say
  )
  screen.working(f'reading {weights.name}')
  own = weights.c, task, recipe, layout, screen, signals
  frozen = policy.frozen(*own)
  programs = compiled.with_frozen(programs, frozen)
  if not weights.checkpoints:
    return programs, policy.trained(*own)
  like = checkpoint.abstract(blank.params, layout.state.params)
  where = weights.checkpoints, weights.done
  params = checkpoint.read_parameters(*where, like)
  policy.refuse_other_base(*where, policy.base(frozen, recipe.adapters))
  if task.train and _is_of_others(where, task):
    screen.say(
      f'note: {weights.name} was trained on other problems, or with another '
      'tokenizer or template, than this config has'
    )
  return programs, params


def served(weights, task, screen):
  """A running server as an engine; it keeps its weights."""
  c = weights.c
  rules = vllm.Rules(
    task.eos_ids, task.vocab, c.engine_kw.max_concurrent, logprob_share=0.0
  )
  return vllm.Vllm(
    servers.External([weights.url]),
    None,
    rules,
    patience_secs=c.server_kw.patience_secs,
    say=screen.say,
  )


def _server(c, word):
  try:
    url = http_client.canonical(word)
  except ValueError as error:
    raise ValueError(f'--weights: {error}') from None
  c = load.with_tokenizer(c).copy_and_resolve_references()
  c.policy, c.model_path = 'fresh', ''  # No policy of ours is made.
  scheme, _, rest = url.partition('://')
  host, *prefix = rest.replace(':', '-').split('/')
  return Weights(host, c, 0, '', url, (scheme, *prefix, host))


def _is_of_others(where, task):
  """Whether a checkpoint has other problems, tokenizer or template."""
  # A checkpoint of an earlier version has no fingerprints.
  then = checkpoint.read_facts(*where).get('fingerprints', {})
  now = task.fingerprints
  return any(then.get(name) != now[name] for name in ('data', 'tokenizer'))


def _checkpoint(c, word, folder):
  steps = checkpoint.finished(folder)
  known = {str(step): step for step in steps}
  known |= {'newest': steps[-1]} if steps else {}
  done = known.get(word.lstrip('0') or '0')
  if done is None:
    there = ', '.join(map(str, steps)) or 'none'
    raise ValueError(
      f'--weights={word}: no such checkpoint in {folder}; it has {there}'
    )
  return Weights(f'{done:0{checkpoint.DIGITS}d}', c, done, str(folder))
