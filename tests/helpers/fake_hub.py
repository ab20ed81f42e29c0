"""A server with the parts of the Hub's HTTP interface that siri_jax uses."""

import base64
import contextlib
import fnmatch
import hashlib
import http.server
import json
import pathlib
import re
import threading

COMMIT = 'c0ffee' + 34 * '0'
GATED, CODES = 'gated/', {401: 'GatedRepo', 404: 'RepoNotFound'}
TOKEN, OTHERS = 'hf_of_these_tests', 'others'  # An owner that it may not use.


class FakeHub:
  """Serves the files of folder/models and folder/datasets, OWNER/NAME each.

  Attributes:
    asked: (method, path, Range) of each request.
    cuts: path patterns of files whose next response ends in the middle.
    private: names of the repositories that were made private.
    commits: revisions that every repository has, besides main.
  """

  def __init__(self, folder):
    self.folder = pathlib.Path(folder)
    self.asked, self.cuts, self.commits = [], [], {COMMIT}
    self.private, self.objects, self.url = [], {}, ''

  @contextlib.contextmanager
  def serving(self):
    """Serves on a free port of this machine."""
    hub = self

    class Handler(_Handler):
      pass

    Handler.hub = hub
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    hub.url = f'http://127.0.0.1:{server.server_port}'
    try:
      yield hub
    finally:
      server.shutdown()
      thread.join()
      server.server_close()

  def fetched(self):
    """The paths of the files whose content was sent, in order."""
    return [
      path.partition('/resolve/')[2].partition('/')[2]
      for method, path, _ in self.asked
      if method == 'GET' and '/resolve/' in path
    ]


class _Handler(http.server.BaseHTTPRequestHandler):
  hub: FakeHub
  protocol_version = 'HTTP/1.1'

  def log_message(self, *_):
    pass

  def do_HEAD(self):
    self.answer()

  def do_GET(self):
    self.answer()

  def do_POST(self):
    """Makes a repository, or takes a step of an upload."""
    path = self.path.partition('?')[0]
    self.hub.asked.append((self.command, path, None))
    body = self.rfile.read(int(self.headers['Content-Length']))
    if path in self.hub.cuts:
      self.hub.cuts.remove(path)
      self.close_connection = True
      return None
    if self.headers['Authorization'] != f'Bearer {TOKEN}':
      return self.refuse(401, 'Unauthorized')
    if path == '/api/repos/create':
      return self.make(json.loads(body))
    if path == '/api/validate-yaml':
      return self.send(200, '{"errors": [], "warnings": []}')
    repo = re.fullmatch(r'(?:/api/models)?/([^/]+/[^/]+?)(\.git)?/.*', path)[1]
    if path.endswith('/preupload/main'):
      names = [file['path'] for file in json.loads(body)['files']]
      modes = {True: 'lfs', False: 'regular'}
      return self.send_json(
        files=[
          {
            'path': name,
            'uploadMode': modes[name.endswith('.safetensors')],
            'shouldIgnore': False,
          }
          for name in names
        ]
      )
    if path.endswith('/info/lfs/objects/batch'):
      objects = [
        {
          **each,
          'actions': {'upload': {'href': f'{self.hub.url}/{each["oid"]}'}},
        }
        for each in json.loads(body)['objects']
      ]
      return self.send_json(transfer='basic', objects=objects)
    return self.commit(repo, map(json.loads, body.splitlines()))

  def do_PUT(self):
    size = int(self.headers['Content-Length'])
    self.hub.objects[self.path[1:]] = self.rfile.read(size)
    self.send(200, '')

  def make(self, asked):
    repo = f'{asked.get("organization", "me")}/{asked["name"]}'
    if repo.startswith(OTHERS):
      return self.refuse(403, 'Forbidden')
    folder, where = self.hub.folder / 'models' / repo, f'{self.hub.url}/{repo}'
    if folder.is_dir():
      return self.send(409, json.dumps({'url': where}))
    folder.mkdir(parents=True)
    self.hub.private += [repo] * (asked.get('visibility') == 'private')
    return self.send_json(url=where)

  def commit(self, repo, lines):
    for line in lines:
      if line['key'] == 'header':
        continue
      value = line['value']
      data = (
        self.hub.objects[value['oid']]
        if line['key'] == 'lfsFile'
        else base64.b64decode(value['content'])
      )
      (self.hub.folder / 'models' / repo / value['path']).write_bytes(data)
    where = f'{self.hub.url}/{repo}/commit/{COMMIT}'
    return self.send_json(commitUrl=where, commitOid=COMMIT, success=True)

  def answer(self):
    path = self.path.partition('?')[0]
    self.hub.asked.append((self.command, path, self.headers.get('Range')))
    found = re.fullmatch(
      r'/api/(models|datasets)/([^/]+/[^/]+)/(revision|tree)/([^/]+)', path
    ) or re.fullmatch(
      r'/(datasets/)?([^/]+/[^/]+)/(resolve)/([^/]+)/(.+)', path
    )
    if not found:
      return self.refuse(404, 'EntryNotFound')
    kind, repo, what, revision = found.groups()[:4]
    folder = self.hub.folder / ((kind or 'models').strip('/')) / repo
    if not folder.is_dir():
      return self.refuse(404, CODES[404])
    if repo.startswith(GATED) and what == 'resolve':
      return self.refuse(401, CODES[401])
    if revision not in ('main', *self.hub.commits):
      return self.refuse(404, 'RevisionNotFound')
    commit = COMMIT if revision == 'main' else revision
    if what == 'resolve':
      return self.file(path, folder / found[5], commit)
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    tree = [
      {
        'type': 'file',
        'path': str(p.relative_to(folder)),
        'size': p.stat().st_size,
        'oid': hashlib.sha1(p.read_bytes()).hexdigest(),
      }
      for p in files
    ]
    whole = {'id': repo, 'sha': commit, 'siblings': []}
    return self.send(200, json.dumps(tree if what == 'tree' else whole))

  def refuse(self, status, code):
    self.send(status, '{}', {'X-Error-Code': code, 'X-Error-Message': code})

  def file(self, path, file, commit):
    if not file.is_file():
      return self.refuse(404, 'EntryNotFound')
    data = file.read_bytes()
    etag = hashlib.sha256(data).hexdigest()
    headers = {'ETag': f'"{etag}"', 'X-Repo-Commit': commit}
    asked = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range') or '')
    start = int(asked[1]) if asked else 0
    if asked:
      headers['Content-Range'] = f'bytes {start}-{len(data) - 1}/{len(data)}'
    cut = None
    if self.command == 'GET':
      for pattern in self.hub.cuts:
        if fnmatch.fnmatch(path, pattern):
          self.hub.cuts.remove(pattern)
          cut = len(data) // 2
          break
    return self.send(206 if asked else 200, data[start:], headers, cut)

  def send_json(self, **value):
    return self.send(200, json.dumps(value))

  def send(self, status, body, headers=(), cut=None):
    body = body.encode() if isinstance(body, str) else body
    self.send_response(status)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Content-Length', str(len(body)))
    for name, value in dict(headers).items():
      self.send_header(name, value)
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(body[:cut])
      self.wfile.flush()
    if cut is not None:
      self.close_connection = True
