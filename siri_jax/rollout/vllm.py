"""Samples from vLLM servers: token ids there, token ids back.

What a server answers is looked at before it counts: samples that weights of
another version wrote, that were aborted, that hold ids outside the vocabulary
or more than the cap, are counted and asked for again.
"""

import collections
import contextlib
import hashlib
import json
import math
import queue
import threading
from typing import NamedTuple

import numpy as np

from siri_jax import types
from siri_jax.rollout import http_client, server_pool
from siri_jax.settings import FOLDER, NAMES, SHARE, Rule, real, whole

SETTINGS = {
  'urls': Rule(lambda v: NAMES.holds(v) and len(v), 'a tuple of addresses'),
  'folder': FOLDER,
  'patience_secs': real(0),
  'push_secs': real(0),
  'logprob_share': SHARE,
  'tensor': whole(1),
  'data': whole(1),
  'memory': real(0, 1),
  'sleep': whole(0, 1),
}

LOOK_SECS = 1.0  # Between two looks for answers, and for signals.
TRIES = 5  # Of a prompt whose samples will not do.
SPACING = 2**20  # Between prompts' seeds: vLLM adds a sample's index.
GENERATE, COMPLETIONS = '/inference/v1/generate', '/v1/completions'


class Rules(NamedTuple):
  """What a sample must be, and how many are asked for at a time.

  Attributes:
    eos_ids: ids that end a response.
    vocab: ids there are.
    slots: samples under way, over all servers.
    logprob_share: share of the prompts whose samples come with the sampler's
      log-probabilities.
  """

  eos_ids: tuple[int, ...]
  vocab: int
  slots: int
  logprob_share: float


class Vllm:
  """A sampler (engines.Engine) over HTTP.

  Attributes:
    counts: since the start, how many 'rejected' samples there were.
  """

  def __init__(self, hosts, publisher, rules, *, patience_secs, say):
    """Asks nothing yet.

    Args:
      hosts: addresses of the servers.
      publisher: weight_sync.WeightPublisher; None where servers keep what they
        have.
      rules: Rules.
      patience_secs: see server_pool.ServerPool.
      say: hears what is worth knowing, as text.
    """
    self.counts = collections.Counter(rejected=0)
    self._publisher, self._rules, self._say = publisher, rules, say
    self._fleet = server_pool.ServerPool(
      hosts, patience_secs=patience_secs, refresh=self._refresh, say=say
    )
    self._routes = {}  # Address -> the route that it has.
    self._pushed = None
    self._waiting = {}  # Ids of problems under way, in order.
    self._ended = threading.Event()

  @property
  def version(self):
    """See engines.Engine; None where servers keep the weights they have."""
    return self._pushed.version if self._pushed else None

  def push(self, params, version):
    """Has all servers serve these parameters; see engines.Engine.

    A server that cannot take them now is brought up to date before it is
    asked for anything.

    Raises:
      http_client.ServerError: none of them takes them.
    """
    self._pushed = self._publisher.write(params, version)
    for host in self._fleet.hosts:
      host.current = False
    self._fleet.each(self._refresh)

  def sample(self, prompts, sampling, progress):
    """Yields groups as they are finished; see engines.Engine.

    Raises:
      http_client.ServerError: no server gives what it is asked for; names it.
    """
    left, answers = queue.SimpleQueue(), queue.SimpleQueue()
    for number, prompt in enumerate(prompts):
      left.put((prompt, self._body(prompt, sampling, self._tells(number))))
    self._waiting = dict.fromkeys(prompt.problem_id for prompt in prompts)
    self._ended = ended = threading.Event()
    at_once = min(len(prompts), max(1, self._rules.slots // sampling.n))
    with self._fleet.watched(ended):
      try:
        for _ in range(at_once):
          job = (left, answers, sampling, ended)
          threading.Thread(target=self._work, args=job, daemon=True).start()
        while self._waiting:
          done = len(prompts) - len(self._waiting)
          progress(done * sampling.n, len(prompts) * sampling.n)
          with contextlib.suppress(queue.Empty):
            found = answers.get(timeout=LOOK_SECS)
            if isinstance(found, Exception):
              raise found
            del self._waiting[found[0].problem_id]
            yield found
      finally:
        self.close()
        if self._publisher and self._publisher.sleeps:
          self._fleet.each(self._put_to_sleep)

  def pending(self):
    """Ids of the problems that are not complete."""
    return list(self._waiting)

  def close(self):
    """Breaks off what is under way."""
    self._ended.set()
    self._fleet.break_off(self._ended)

  def _work(self, left, answers, sampling, ended):
    """Asks prompt after prompt, till there is none."""
    with contextlib.suppress(queue.Empty, server_pool.ClientClosedError):
      while True:
        prompt, body = left.get_nowait()
        try:
          answers.put(self._group(prompt, body, sampling, ended))
        except server_pool.ClientClosedError:
          raise
        except Exception as error:  # For the caller's thread to raise.
          answers.put(error)

  def _group(self, prompt, body, sampling, ended):
    """The samples of one prompt, asked for until all of them will do."""
    seed = body['sampling_params']['seed']
    for attempt in range(TRIES):
      # What the weights or a pause spoilt comes right with the same seed; a
      # bad id would be drawn again.
      body['sampling_params']['seed'] = seed + max(0, attempt - 1) * sampling.n
      host, choices = self._fleet.run(
        lambda host: (host, self._ask(host.line, body, ended)), ended
      )
      samples, wrong = self._read(prompt, choices, sampling)
      if not wrong:
        return samples
      self.counts['rejected'] += sum(wrong.values())
      told = ', '.join(f'{count} {what}' for what, count in wrong.items())
      self._say(f'{host.line.url} gave samples that cannot be used: {told}')
      host.current = False
    raise http_client.ServerError(
      f'{host.line.url} gave samples of {prompt.problem_id} that cannot be '
      f'used, {TRIES} times: {told}. Does another run push to it? Is it a '
      'vLLM of the pinned version, with the model and tokenizer of this run?'
    )

  def _refresh(self, host):
    """Brings a server up to date that is not, or may not be."""
    if self._publisher is None or host.current:
      return
    with host.lock:
      if not host.current:
        self._publisher.bring(host.line, self._pushed)
        host.current = True

  def _put_to_sleep(self, host):
    with host.lock:
      host.current = False  # So that it is woken before it is used.
      self._publisher.put_to_sleep(host.line)

  def _tells(self, number):
    """Whether the samples of a call's prompt come with log-probabilities."""
    share = self._rules.logprob_share
    return math.floor((number + 1) * share) > math.floor(number * share)

  def _body(self, prompt, sampling, tells):
    """What is asked for one prompt, in the words of GENERATE."""
    said = json.dumps([prompt.problem_id, *sampling.seeds])
    digest = hashlib.sha256(said.encode()).digest()
    return {
      'token_ids': prompt.ids.tolist(),
      'stream': False,
      'sampling_params': {
        'n': sampling.n,
        'max_tokens': sampling.cap,
        'min_tokens': 0,
        'temperature': sampling.temperature,
        'top_p': sampling.top_p,
        'top_k': sampling.top_k,
        'min_p': 0.0,
        'repetition_penalty': 1.0,
        'presence_penalty': 0.0,
        'frequency_penalty': 0.0,
        'seed': int.from_bytes(digest[:5]) * SPACING,
        'stop_token_ids': list(self._rules.eos_ids),
        'ignore_eos': False,
        'detokenize': False,
        'logprobs': 0 if tells else None,
      },
    }

  def _ask(self, line, body, ended):
    """The choices of one request, by the route that the server has."""
    if self._routes.get(line.url, GENERATE) == GENERATE:
      try:
        answer = line.post(GENERATE, body, secs=None, own=ended)
        return _choices(line, answer)
      except http_client.RouteMissingError:
        self._routes[line.url] = COMPLETIONS
    answer = line.post(COMPLETIONS, _plain(line, body), secs=None, own=ended)
    choices = _choices(line, answer)
    if self._publisher:  # This route tells of no version: it is asked after.
      version = line.get('/weight_info').get('weight_version')
      for choice in choices:
        ids = choice.get('token_ids') or ()
        span = {'version': version, 'start': 0, 'end': len(ids)}
        choice['weight_versions'] = [span]
    return choices

  def _read(self, prompt, choices, sampling):
    """(samples in order, what is wrong -> how many times)."""
    wrong = collections.Counter(
      flaw for choice in choices if (flaw := self._flaw(choice, sampling.cap))
    )
    indices = [choice.get('index') for choice in choices]
    if sorted(map(repr, indices)) != sorted(map(repr, range(sampling.n))):
      wrong[f'not numbered 0 to {sampling.n - 1}, once each'] += 1
    if wrong:
      return [], wrong
    choices = sorted(choices, key=lambda choice: choice['index'])
    return [self._sample(prompt, choice) for choice in choices], wrong

  def _flaw(self, choice, cap):
    """Why a choice is no sample, '' where it is one."""
    try:
      return self._fault(choice, cap)
    except (AttributeError, TypeError, ValueError, OverflowError):
      return 'of another form than vLLM gives'

  def _fault(self, choice, cap):
    """The same of a choice that has the form of one."""
    ids, reason = choice.get('token_ids'), choice.get('finish_reason')
    if reason not in ('stop', 'length'):
      return f'ended by {str(reason)[:20]!r}'
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
      return 'without token ids'
    if not 0 < len(ids) <= cap:
      return f'of {len(ids)} tokens where 1 to {cap} were asked for'
    if not all(0 <= i < self._rules.vocab for i in ids):
      return f'with ids outside the vocabulary of {self._rules.vocab}'
    spans = choice.get('weight_versions') or []
    versions = {str(span.get('version')) for span in spans}
    if self._pushed and versions != {self._pushed.label}:
      told = ', '.join(sorted(versions)) or 'none that is told'
      return f'of weights {told} where {self._pushed.label} were asked for'
    if (logp := _logp(choice)) is not None and (
      len(logp) != len(ids) or not np.all(np.isfinite(logp))
    ):
      return 'with log-probabilities that are none'
    return ''

  def _sample(self, prompt, choice):
    ids = np.asarray(choice['token_ids'], np.int32)
    return types.Sample(
      problem_id=prompt.problem_id,
      index=choice['index'],
      prompt_ids=prompt.ids,
      response_ids=ids,
      finish_reason=choice['finish_reason'],
      spans=((self.version or 0, 0, ids.size),),
      sampler_logp=_logp(choice),
    )


def model_of(url):
  """The server's first model, as it reports it: {"id", "root", ...}.

  Raises:
    http_client.ServerError: it tells of none, or cannot be reached.
  """
  models = http_client.Connection(url).get('/v1/models').get('data')
  first = models[0] if isinstance(models, list) and models else None
  if not isinstance(first, dict) or not isinstance(first.get('id'), str):
    raise http_client.TransientError(f'{url}/v1/models tells of no model')
  return first


def _choices(line, answer):
  """The choices of an answer, in whatever order."""
  choices = answer.get('choices')
  if not isinstance(choices, list) or not all(
    isinstance(choice, dict) for choice in choices
  ):
    raise http_client.TransientError(f'{line.url} answers without choices')
  return choices


def _plain(line, body):
  """A body of GENERATE in the words of COMPLETIONS."""
  asked = {
    k: v for k, v in body['sampling_params'].items() if k != 'detokenize'
  }
  return {
    'model': model_of(line.url)['id'],
    'prompt': body['token_ids'],
    'return_token_ids': True,
    **asked,
  }


def _logp(choice):
  """float32 log-probabilities of the sampled tokens, None if absent."""
  told = choice.get('logprobs')
  if not told:
    return None
  if 'content' in told:
    values = [token.get('logprob') for token in told['content']]
  else:
    values = told.get('token_logprobs', [])
  return np.array([math.nan if v is None else v for v in values], np.float32)
