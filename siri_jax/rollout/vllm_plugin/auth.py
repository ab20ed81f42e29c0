"""ASGI middleware of a vLLM server that requires the API key."""

import hmac
import os

from siri_jax.rollout.http_client import KEY

OPEN = ('/health',)


class Guard:
  """Rejects requests without the API key (401), except on the OPEN routes."""

  def __init__(self, app):
    """Wraps the application; raises KeyError if no key is set."""
    self._app = app
    self._wanted = f'Bearer {os.environ[KEY]}'.encode()

  async def __call__(self, scope, receive, send):
    """Handles a request, or the server's start and end."""
    if scope['type'] == 'lifespan' or scope.get('path') in OPEN:
      return await self._app(scope, receive, send)
    given = dict(scope['headers']).get(b'authorization', b'')
    if hmac.compare_digest(given, self._wanted):
      return await self._app(scope, receive, send)
    if scope['type'] == 'websocket':
      return await send({'type': 'websocket.close', 'code': 1008})
    headers = [(b'content-type', b'application/json')]
    await send(
      {'type': 'http.response.start', 'status': 401, 'headers': headers}
    )
    await send({'type': 'http.response.body', 'body': b'{"error":"no key"}'})
