"""Requests to one server over HTTP, with JSON bodies.

Each request opens a connection, because servers close idle ones within a step.
http.client uses no proxy of the environment and follows no redirect, so that
prompts and key reach no other host.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import threading

from siri_jax.runtime import credentials

KEY = 'SIRI_SERVER_KEY'  # Environment variable of the servers' API key.
CONNECT_SECS = 10.0
CONTROL_SECS = 20.0  # Timeout of requests that need no computation.
MOST_BYTES = 2**31  # Of one response.
PASSING = (408, 429, 500, 502, 503, 504)  # HTTP statuses to retry.
ADDRESS = re.compile(
  r'(https?)://((?:[\w-]{1,63}\.)*[\w-]{1,63}\.?|\[[\da-f:.]+\])'
  r'(?::(\d{1,5}))?((?:/[\w.~-]*)*)',
  re.ASCII | re.IGNORECASE,
)


class ServerError(OSError):
  """A server failed or refused a request; the message has its URL."""


class TransientError(ServerError):
  """A request failed and may be retried."""


class RouteMissingError(ServerError):
  """The server does not have the route, or forbids it."""


class Connection:
  """A client of one server.

  Attributes:
    url: address of the server.
  """

  def __init__(self, url):
    """Checks the address; connects with each request.

    Args:
      url: such as http://127.0.0.1:8000, see `canonical`.
    Raises:
      ValueError: the address is invalid.
    """
    self.url = canonical(url)
    scheme, _, rest = self.url.partition('://')
    self._where, slash, path = rest.partition('/')
    self._prefix = slash + path
    self._kind = (
      http.client.HTTPSConnection
      if scheme == 'https'
      else http.client.HTTPConnection
    )
    self._open, self._lock = set(), threading.Lock()

  def get(self, path):
    """The JSON object that a GET request returns."""
    return _json(self.url + path, self.ask('GET', path))

  def post(self, path, body=None, *, secs=CONTROL_SECS, own=None):
    """The JSON object that a POST request returns; {} if it is empty.

    Args:
      path: with its query.
      body: any JSON value.
      secs: timeout without data; None: no timeout.
      own: key for `break_off`.
    """
    return _json(self.url + path, self.ask('POST', path, body, secs, own))

  def ask(self, method, path, body=None, secs=CONTROL_SECS, own=None):
    """The bytes that a request returns.

    Raises:
      TransientError: the server cannot be reached, closes the connection, is
        busy or has an internal error.
      ServerError: the server refuses the request.
    """
    url = self.url + path
    connection = self._kind(self._where, timeout=CONNECT_SECS)
    data = None if body is None else json.dumps(body).encode()
    try:
      connection.connect()
      with self._listed(own, connection.sock):
        connection.sock.settimeout(secs)
        connection.request(method, self._prefix + path, data, _headers())
        answer = connection.getresponse()
        if (answer.length or 0) > MOST_BYTES:
          raise TransientError(f'{url} returned {answer.length:,} bytes')
        content = answer.read()
    except ServerError:
      raise
    except (OSError, http.client.HTTPException) as error:
      why = str(error) or type(error).__name__
      raise TransientError(f'{url} cannot be reached: {why}') from error
    finally:
      connection.close()
    if answer.status != 200:
      _raise(url, answer.status, content[:500].decode(errors='replace'))
    return content

  def break_off(self, own=None):
    """Cancels the open requests with key `own`; they raise TransientError."""
    with self._lock:
      sockets = [sock for whose, sock in self._open if whose == own]
      for sock in sockets:
        with contextlib.suppress(OSError):
          sock.shutdown(socket.SHUT_RDWR)

  @contextlib.contextmanager
  def _listed(self, own, sock):
    """Registers a request for `break_off`."""
    with self._lock:
      self._open.add((own, sock))
    try:
      yield
    finally:
      with self._lock:
        self._open.discard((own, sock))


def canonical(url):
  """The canonical form of a server's address: no / and no /v1 at its end.

  OpenAI clients take addresses that end in /v1; here each route begins with it.

  Raises:
    ValueError: the address is invalid. The message hides what may be a key.
  """
  match = ADDRESS.fullmatch(url)
  if not match or not 0 < int(match[3] or 1) < 2**16:
    why = ': a user, password or key has no place in it, but in the environment'
    raise ValueError(
      f'{credentials.hidden(url)!r} is not a server address; write '
      f'http://HOST:PORT' + (f'{why} ({KEY})' if re.search('[@?]', url) else '')
    )
  scheme, host, port, path = match.groups()
  path = re.sub('/+', '/', path).rstrip('/').removesuffix('/v1').rstrip('/')
  port = f':{port}' if port else ''
  return f'{scheme.lower()}://{host.lower()}{port}{path}'


def _raise(url, status, text):
  """Raises the error of an HTTP status other than 200."""
  message = f'{url} returned {status}: {text}'
  if status in PASSING:
    raise TransientError(message)
  if status in (403, 404, 405):
    raise RouteMissingError(message)
  hint = f'; set {KEY} to the key that the server was started with'
  raise ServerError(message + hint * (status == 401))


def _headers():
  key = os.environ.get(KEY, '')
  own = {'Authorization': f'Bearer {key}'} if key else {}
  return {'Content-Type': 'application/json', **own}


def _json(url, data):
  """The JSON object of a response's bytes."""
  try:
    found = json.loads(data or b'{}')
  except (ValueError, RecursionError):
    found = None
  if not isinstance(found, dict):
    shown = data[:80].decode(errors='replace')
    raise TransientError(f'{url} did not return a JSON object: {shown!r}')
  return found
