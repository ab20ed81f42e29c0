"""Talk with one server over HTTP: JSON there and back.

A connection each exchange: a server drops idle ones sooner than a step takes.
No proxy of the environment's gets to see prompts or key, and no redirect is
followed, for http.client knows of neither.
"""

import contextlib
import http.client
import json
import os
import socket
import threading
import urllib.parse

KEY = 'SIRI_SERVER_KEY'  # Of the environment; a server answers who knows it.
CONNECT_SECS = 10.0
CONTROL_SECS = 20.0  # For an answer that takes no work.
MOST_BYTES = 2**31  # Of one answer.
PASSING = (408, 429, 500, 502, 503, 504)  # Statuses worth another try.


class ServerError(OSError):
  """A server does not do what it is there for; the message names it."""


class TransientError(ServerError):
  """An exchange that failed and may succeed another time."""


class RouteMissingError(ServerError):
  """The server has no such route, or keeps it shut."""


class Connection:
  """The way to one server.

  Attributes:
    url: its address.
  """

  def __init__(self, url):
    """A line that is opened with each exchange.

    Args:
      url: such as http://127.0.0.1:8000.
    Raises:
      ValueError: it is no such address.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ('http', 'https') or not parts.hostname:
      raise ValueError(f'{url!r} is no address such as http://127.0.0.1:8000')
    self.url = url.rstrip('/')
    self._where, self._prefix = parts.netloc, parts.path.rstrip('/')
    https = parts.scheme == 'https'
    self._kind = (
      http.client.HTTPSConnection if https else http.client.HTTPConnection
    )
    self._open, self._lock = set(), threading.Lock()

  def get(self, path):
    """The JSON object at a path."""
    return _json(self.url + path, self.ask('GET', path))

  def post(self, path, body=None, *, secs=CONTROL_SECS, own=None):
    """The JSON object that a body is answered with; {} for an empty answer.

    Args:
      path: with its query.
      body: what JSON can hold.
      secs: of silence, until the exchange is given up; None: for ever.
      own: what `break_off` knows this exchange by.
    """
    return _json(self.url + path, self.ask('POST', path, body, secs, own))

  def ask(self, method, path, body=None, secs=CONTROL_SECS, own=None):
    """The bytes of an answer.

    Raises:
      TransientError: it cannot be reached, breaks off, is busy or in trouble.
      ServerError: it refuses.
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
          raise TransientError(f'{url} answers {answer.length:,} bytes')
        said = answer.read()
    except ServerError:
      raise
    except (OSError, http.client.HTTPException) as error:
      why = str(error) or type(error).__name__
      raise TransientError(f'{url} cannot be reached: {why}') from error
    finally:
      connection.close()
    if answer.status != 200:
      _raise(url, answer.status, said[:500].decode(errors='replace'))
    return said

  def break_off(self, own=None):
    """Ends the exchanges under way known by `own`; theirs is the error."""
    with self._lock:
      sockets = [sock for whose, sock in self._open if whose == own]
      for sock in sockets:
        with contextlib.suppress(OSError):
          sock.shutdown(socket.SHUT_RDWR)

  @contextlib.contextmanager
  def _listed(self, own, sock):
    """Lets `break_off` know of an exchange."""
    with self._lock:
      self._open.add((own, sock))
    try:
      yield
    finally:
      with self._lock:
        self._open.discard((own, sock))


def _raise(url, status, said):
  """Raises what a status other than 200 means."""
  if status in PASSING:
    raise TransientError(f'{url} answers {status}: {said}')
  if status in (403, 404, 405):
    raise RouteMissingError(f'{url} answers {status}: {said}')
  hint = f'; is {KEY} the one that it was started with?' * (status == 401)
  raise ServerError(f'{url} answers {status}: {said}{hint}')


def _headers():
  key = os.environ.get(KEY, '')
  own = {'Authorization': f'Bearer {key}'} if key else {}
  return {'Content-Type': 'application/json', **own}


def _json(url, data):
  """What the bytes of an answer say."""
  try:
    said = json.loads(data or b'{}')
  except (ValueError, RecursionError):
    said = None
  if not isinstance(said, dict):
    shown = data[:80].decode(errors='replace')
    raise TransientError(f'{url} answers what is no JSON object: {shown!r}')
  return said
