"""A running server as an engine: /v1/completions by token ids, as vLLM has it.

It samples with the weights that it has: nothing is pushed to it. Prompts go
out and responses come back as token ids; no text is encoded twice.
"""

import contextlib
import json
import queue
import threading
import time
import urllib.error
import urllib.request
import zlib

import numpy as np

from siri_jax import types

AT_ONCE = 64  # Requests under way, of one prompt each.
LOOK_SECS = 1.0  # Between two looks for answers, and for signals.
TRIES, WAIT_SECS = 5, 1.0  # Of a request that fails; the wait doubles.
LONGEST_SECS = 6 * 3600.0  # Until all samples of a prompt have to be there.


class Server:
  """A sampler (sampler.Sampler) over HTTP."""

  def __init__(self, url, model):
    """An OpenAI-compatible server's URL, and the name of a model of its."""
    self._url, self._model = url.rstrip('/'), model
    self._prompts = queue.SimpleQueue()  # Those not yet asked.

  def sample(self, prompts, sampling, progress):
    """Yields groups as they are finished; see sampler.Sampler.

    Raises:
      ValueError: what the server says is not what it was asked for.
      OSError: it cannot be reached, time and again.
    """
    for prompt in prompts:
      self._prompts.put(prompt)
    answers, done = queue.SimpleQueue(), 0
    # Daemons, for an end asked for does not wait for a request of hours.
    for _ in range(min(AT_ONCE, len(prompts))):
      threading.Thread(
        target=self._work, args=(sampling, answers), daemon=True
      ).start()
    while done < len(prompts):
      progress(done * sampling.n, len(prompts) * sampling.n)
      with contextlib.suppress(queue.Empty):
        found = answers.get(timeout=LOOK_SECS)
        if isinstance(found, Exception):
          raise found
        done += 1
        yield found

  def close(self):
    """Asks no more; what is under way is not waited for."""
    with contextlib.suppress(queue.Empty):
      while True:
        self._prompts.get_nowait()

  def _work(self, sampling, answers):
    """Asks prompt after prompt, till there is none."""
    with contextlib.suppress(queue.Empty):
      while True:
        prompt = self._prompts.get_nowait()
        try:
          answers.put(self._ask(prompt, sampling))
        except Exception as error:  # For the caller's thread to raise.
          answers.put(error)

  def _ask(self, prompt, sampling):
    seeds = json.dumps([prompt.problem_id, *sampling.seeds])
    answer = _call(
      f'{self._url}/v1/completions',
      {
        'model': self._model,
        'prompt': prompt.ids.tolist(),
        'n': sampling.n,
        'max_tokens': sampling.cap,
        'temperature': sampling.temperature,
        'top_p': sampling.top_p,
        'top_k': sampling.top_k or -1,
        'seed': zlib.crc32(seeds.encode()),
        'return_token_ids': True,
      },
    )
    samples = [_sample(prompt, c) for c in answer.get('choices', [])]
    samples.sort(key=lambda sample: sample.index)
    indices = [sample.index for sample in samples]
    sizes = [sample.response_ids.size for sample in samples]
    if indices != list(range(sampling.n)) or not all(
      0 < size <= sampling.cap for size in sizes
    ):
      raise ValueError(
        f'{self._url} was asked for {sampling.n} samples of 1 to '
        f'{sampling.cap} tokens and gave {indices} of {sizes}'
      )
    return samples


def model_of(url):
  """The server's first model, as it tells of it: {"id", "root", ...}.

  Raises:
    ValueError, OSError: it tells of none, or cannot be reached.
  """
  models = _call(f'{url.rstrip("/")}/v1/models').get('data') or []
  if not models:
    raise ValueError(f'{url} serves no model')
  return models[0]


def _sample(prompt, choice):
  """The Sample of one choice; names what it lacks."""
  ids, reason = choice.get('token_ids'), choice.get('finish_reason')
  if not ids or reason not in ('stop', 'length'):
    raise ValueError(
      f'the server ended a sample by {reason!r} with {len(ids or [])} '
      'token_ids: it has to honour return_token_ids, as vLLM does'
    )
  return types.Sample(
    problem_id=prompt.problem_id,
    index=choice['index'],
    prompt_ids=prompt.ids,
    response_ids=np.asarray(ids, np.int32),
    finish_reason=reason,
    spans=((0, 0, len(ids)),),
  )


def _call(url, body=None):
  """The JSON object that a server answers with, asked again if need be."""
  request = urllib.request.Request(
    url,
    None if body is None else json.dumps(body).encode(),
    {'Content-Type': 'application/json'},
  )
  # No proxy of the environment's gets to see the prompts.
  opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
  for attempt in range(TRIES):
    try:
      with opener.open(request, timeout=LONGEST_SECS) as answer:
        return json.load(answer)
    except urllib.error.HTTPError as error:
      if error.code not in (429, 500, 502, 503, 504) or attempt == TRIES - 1:
        said = error.read(500).decode(errors='replace')
        raise ValueError(f'{url} answers {error.code}: {said}') from error
    except OSError as error:
      if attempt == TRIES - 1:
        raise OSError(f'{url} cannot be reached: {error}') from error
    time.sleep(WAIT_SECS * 2**attempt)
