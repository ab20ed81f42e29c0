"""The vLLM engine: sends token ids of prompts, receives those of responses.

Every response is checked. A sample is counted as rejected and requested again
if it comes from another version of the weights, was aborted, is longer than the
cap, has ids outside the vocabulary, or ends where neither the policy nor the
cap would have ended it.
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

LOOK_SECS = 1.0  # Interval at which responses and signals are polled.
TRIES = 5  # Requests for a prompt whose samples are rejected.
# Most ids of a request's logit_bias (vllm.v1.worker.gpu.sample.logit_bias).
MOST_PADDING = 1024
NEVER = -1e9  # Nats; COMPLETIONS clips it to -100.
ROUNDING = 1e-4  # Most nats of a log-probability, which rounding may raise.
SPACING = 2**20  # Between prompts' seeds: vLLM adds a sample's index.
GENERATE, COMPLETIONS = '/inference/v1/generate', '/v1/completions'


class Rules(NamedTuple):
  """The rules for samples, and the number of concurrent requests.

  Attributes:
    eos_ids: ids that end a response.
    vocab: number of ids.
    slots: most samples at a time, over all servers.
    logprob_share: share of the prompts whose samples have the sampler's
      log-probabilities.
    padding: ids from `vocab` on that the model has and no token has. A server
      of an unknown model may have more; samples with these are rejected.
  """

  eos_ids: tuple[int, ...]
  vocab: int
  slots: int
  logprob_share: float
  padding: int = 0


class Vllm:
  """An engine (engines.Engine) over HTTP.

  Attributes:
    counts: {'rejected': samples rejected since the start}.
  """

  def __init__(self, servers, publisher, rules, *, patience_secs, say):
    """Makes no request.

    Args:
      servers: servers.External or Owned.
      publisher: weight_sync.WeightPublisher; None if servers keep their
        weights.
      rules: Rules.
      patience_secs: see server_pool.ServerPool.
      say: called with messages for the user.
    """
    self.counts = collections.Counter(rejected=0)
    self._servers, self._publisher = servers, publisher
    self._rules, self._say = rules, say
    self._fleet = server_pool.ServerPool(
      servers.urls,
      patience_secs=patience_secs,
      grace_secs=servers.grace_secs,
      refresh=self._refresh,
      say=say,
    )
    self._routes = {}  # Address -> the route that the server has.
    self._pushed = None
    # Problem and first index of the prompts in progress, in order.
    self._waiting = {}
    self._ended = threading.Event()

  @property
  def version(self):
    """See engines.Engine; None where servers keep the weights they have."""
    return self._pushed.version if self._pushed else None

  def push(self, params, version):
    """Pushes parameters to all servers; see engines.Engine.

    A server that fails now gets them before its next request.

    Raises:
      http_client.ServerError: all servers failed.
    """
    self._pushed = self._publisher.write(params, version)
    for host in self._fleet.hosts:
      host.current = False
    self._fleet.each(self._refresh)

  def sample(self, prompts, sampling, progress):
    """Yields groups when they are complete; see engines.Engine.

    Raises:
      http_client.ServerError: requests failed for too long.
    """
    left, answers = queue.SimpleQueue(), queue.SimpleQueue()
    for number, prompt in enumerate(prompts):
      left.put((prompt, self._body(prompt, sampling, self._tells(number))))
    counts = [sampling.samples_of(prompt) for prompt in prompts]
    self._waiting = dict.fromkeys((p.problem_id, p.first) for p in prompts)
    self._ended = ended = threading.Event()
    at_once = min(
      len(prompts), max(1, self._rules.slots // max(counts, default=1))
    )
    done = 0
    with self._fleet.watched(ended):
      try:
        for _ in range(at_once):
          job = (left, answers, sampling, ended)
          threading.Thread(target=self._work, args=job, daemon=True).start()
        while self._waiting:
          progress(done, sum(counts))
          with contextlib.suppress(queue.Empty):
            found = answers.get(timeout=LOOK_SECS)
            if isinstance(found, Exception):
              raise found
            done += len(found)
            del self._waiting[found[0].problem_id, found[0].index]
            yield found
      finally:
        self.close()
        if self._publisher and self._publisher.sleeps:
          self._fleet.each(self._put_to_sleep)

  def pending(self):
    """Ids of the problems that are not complete."""
    return list(dict.fromkeys(name for name, _ in self._waiting))

  def close(self):
    """Cancels the open requests."""
    self._ended.set()
    self._fleet.break_off(self._ended)
    if self._publisher:
      self._publisher.close()

  def _work(self, left, answers, sampling, ended):
    """Requests prompt after prompt until none is left."""
    with contextlib.suppress(queue.Empty, server_pool.ClientClosedError):
      while True:
        prompt, body = left.get_nowait()
        try:
          answers.put(self._group(prompt, body, sampling, ended))
        except server_pool.ClientClosedError:
          raise
        except Exception as error:  # Raised in the caller's thread.
          answers.put(error)

  def _group(self, prompt, body, sampling, ended):
    """Requests the samples of one prompt until all of them are valid."""
    seed = body['sampling_params']['seed']
    for attempt in range(TRIES):
      # The first retry keeps the seed, for old weights or an abort. Later ones
      # change it, because the same seed would draw a bad id again.
      body['sampling_params']['seed'] = seed + max(0, attempt - 1) * sampling.n
      host, choices = self._fleet.run(
        lambda host: (host, self._ask(host.line, body, ended)), ended
      )
      samples, wrong = self._read(prompt, choices, sampling)
      if not wrong:
        return samples
      self.counts['rejected'] += sum(wrong.values())
      flaws = ', '.join(f'{count} {flaw}' for flaw, count in wrong.items())
      self._say(f'{host.line.url} gave samples that cannot be used: {flaws}')
      host.current = False
    raise http_client.ServerError(
      f'{host.line.url} gave samples of {prompt.problem_id} that cannot be '
      f'used, {TRIES} times: {flaws}. Check that no other run pushes to it, '
      'and that it has the pinned vLLM, the model and tokenizer of this run'
    )

  def _refresh(self, host):
    """Pushes the newest weights to a server unless it serves them."""
    if self._publisher is None or host.current:
      return
    with host.lock:
      if not host.current:
        self._servers.revive(host.line.url)
        self._publisher.bring(host.line, self._pushed)
        host.current = True

  def _put_to_sleep(self, host):
    with host.lock:
      host.current = False  # So that it is woken before the next request.
      self._publisher.put_to_sleep(host.line)

  def _tells(self, number):
    """Whether a prompt's samples are requested with log-probabilities."""
    share = self._rules.logprob_share
    return math.floor((number + 1) * share) > math.floor(number * share)

  def _body(self, prompt, sampling, tells):
    """The request body of one prompt, in the format of GENERATE."""
    words = json.dumps([prompt.problem_id, *sampling.seeds])
    digest = hashlib.sha256(words.encode()).digest()
    seed = int.from_bytes(digest[:5]) * SPACING
    return {
      'token_ids': prompt.ids.tolist(),
      'stream': False,
      'sampling_params': {
        'n': sampling.samples_of(prompt),
        'max_tokens': sampling.cap_of(prompt),
        'min_tokens': 0,
        'temperature': sampling.temperature,
        'top_p': sampling.top_p,
        'top_k': sampling.top_k,
        'min_p': 0.0,
        'repetition_penalty': 1.0,
        'presence_penalty': 0.0,
        'frequency_penalty': 0.0,
        'seed': seed + prompt.first,
        'stop_token_ids': list(self._rules.eos_ids),
        'ignore_eos': False,
        'detokenize': False,
        'logprobs': 0 if tells else None,
        **self._without_padding(),
      },
    }

  def _without_padding(self):
    """Request fields that keep a server from sampling ids without a token."""
    first, count = self._rules.vocab, self._rules.padding
    bias = dict.fromkeys(map(str, range(first, first + count)), NEVER)
    return {'logit_bias': bias} if bias else {}

  def _ask(self, line, body, ended):
    """The choices that one request returns, by the route the server has."""
    if self._routes.get(line.url, GENERATE) == GENERATE:
      try:
        answer = line.post(GENERATE, body, secs=None, own=ended)
        return _choices(line, answer)
      except http_client.RouteMissingError:
        self._routes[line.url] = COMPLETIONS
    answer = line.post(COMPLETIONS, _plain(line, body), secs=None, own=ended)
    choices = _choices(line, answer)
    if self._publisher:  # This route returns no version; request it separately.
      version = line.get('/weight_info').get('weight_version')
      for choice in choices:
        ids = choice.get('token_ids') or ()
        span = {'version': version, 'start': 0, 'end': len(ids)}
        choice['weight_versions'] = [span]
    return choices

  def _read(self, prompt, choices, sampling):
    """(samples in order, {flaw: number of samples with it})."""
    cap, count = sampling.cap_of(prompt), sampling.samples_of(prompt)
    wrong = collections.Counter(
      flaw for choice in choices if (flaw := self._flaw(choice, cap))
    )
    indices = [choice.get('index') for choice in choices]
    if sorted(map(repr, indices)) != sorted(map(repr, range(count))):
      wrong[f'not numbered 0 to {count - 1}, once each'] += 1
    if wrong:
      return [], wrong
    choices = sorted(choices, key=lambda choice: choice['index'])
    return [self._sample(prompt, choice) for choice in choices], wrong

  def _flaw(self, choice, cap):
    """The reason why a choice is rejected; '' if it is valid."""
    try:
      return self._fault(choice, cap)
    except (AttributeError, TypeError, ValueError, OverflowError):
      return "not in vLLM's format"

  def _fault(self, choice, cap):
    """As `_flaw`; raises if the choice is not in vLLM's format."""
    ids, reason = choice.get('token_ids'), choice.get('finish_reason')
    if reason not in ('stop', 'length'):
      return f'ended by {str(reason)[:20]!r}'
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
      return 'without token ids'
    if not 0 < len(ids) <= cap:
      return f'of {len(ids)} tokens where 1 to {cap} were requested'
    if not all(0 <= i < self._rules.vocab for i in ids):
      return f'with ids outside the vocabulary of {self._rules.vocab}'
    if flaw := _misended(ids, reason, cap, self._rules.eos_ids):
      return flaw
    spans = choice.get('weight_versions') or []
    versions = {str(span.get('version')) for span in spans}
    if self._pushed and versions != {self._pushed.label}:
      found = ', '.join(sorted(versions)) or 'of unknown version'
      return f'of weights {found} where {self._pushed.label} were requested'
    if (logp := _logp(choice)) is not None and (
      len(logp) != len(ids) or not np.all(np.isfinite(logp) & (logp < ROUNDING))
    ):
      return 'with invalid log-probabilities'
    return ''

  def _sample(self, prompt, choice):
    ids = np.asarray(choice['token_ids'], np.int32)
    return types.Sample(
      problem_id=prompt.problem_id,
      index=prompt.first + choice['index'],
      prompt_ids=prompt.ids,
      response_ids=ids,
      finish_reason=choice['finish_reason'],
      spans=((self.version or 0, 0, ids.size),),
      sampler_logp=_logp(choice),
    )


def _misended(ids, reason, cap, eos_ids):
  """Why neither policy nor cap ended a response so, '' where one did."""
  ends = [i in eos_ids for i in ids]
  if any(ends[:-1]):
    return 'that go on after an end token'
  if reason == 'stop' and not ends[-1]:
    return f'that stop at id {ids[-1]}, no end token of the tokenizer'
  if reason == 'length' and ends[-1]:
    return 'called cut that end in an end token'
  if reason == 'length' and len(ids) < cap:
    return (
      f'cut after {len(ids)} of {cap} tokens (a limit of the server that is '
      'lower than the cap?)'
    )
  return ''


def model_of(url):
  """The server's first model as a dict: {"id", "root", ...}.

  Raises:
    http_client.ServerError: it lists no model, or cannot be reached.
  """
  models = http_client.Connection(url).get('/v1/models').get('data')
  first = models[0] if isinstance(models, list) and models else None
  if not isinstance(first, dict) or not isinstance(first.get('id'), str):
    raise http_client.TransientError(f'{url}/v1/models lists no model')
  return first


def _choices(line, answer):
  """The choices of a response, in any order."""
  choices = answer.get('choices')
  if not isinstance(choices, list) or not all(
    isinstance(choice, dict) for choice in choices
  ):
    raise http_client.TransientError(f'{line.url} returned no choices')
  return choices


def _plain(line, body):
  """A request body of GENERATE in the format of COMPLETIONS."""
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
  found = choice.get('logprobs')
  if not found:
    return None
  if 'content' in found:
    values = [token.get('logprob') for token in found['content']]
  else:
    values = found.get('token_logprobs', [])
  numbers = (v if type(v) in (int, float) else math.nan for v in values)
  return np.array([*numbers], np.float32)
