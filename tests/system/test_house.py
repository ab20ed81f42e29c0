"""The rules of the code base: layers, sizes, settings and the tree.

WORKSPACE.md has the tree in a fenced block. Each line is an entry: indented by
its depth, a slash after a folder's name, and two spaces or more before its
phrase.
"""

import ast
import collections
import functools
import importlib
import importlib.metadata
import inspect
import pathlib
import re
import sys

import launch
import pytest
from ml_collections import config_dict

from siri_jax import plugins
from siri_jax.config import base, plan
from siri_jax.runtime import run_folder

ROOT = pathlib.Path(__file__).parents[2]
HOUSE = ('siri_jax', 'configs', 'tools', 'tests')

# The pure modules: these folders and files, without models/hf.
PURE_FOLDERS = ('siri_jax.algorithm', 'siri_jax.models')
PURE = {
  'siri_jax.types',
  'siri_jax.grading.verdict',
  'siri_jax.shapes',
  'siri_jax.settings',
  'siri_jax.compiled',
  *(
    f'{folder}.{path.stem}'
    for folder in PURE_FOLDERS
    for path in (ROOT / folder.replace('.', '/')).glob('*.py')
    if path.stem != '__init__'
  ),
}
PURE_LIBRARIES = {'jax', 'numpy', 'optax', 'flax'}
PURE_STANDARD = {
  *('collections', 'dataclasses', 'difflib', 'enum', 'functools', 'itertools'),
  *('math', 'operator', 'typing'),
}
IMPURE_BUILTINS = {'open', 'print', 'input', 'exec', 'eval', '__import__'}


def files_of(*folders):
  """The project's files in these folders, as paths relative to the root."""
  return sorted(
    path.relative_to(ROOT)
    for folder in folders
    for path in (ROOT / folder).rglob('*')
    if path.is_file() and '__pycache__' not in path.parts
  )


def modules_of(*folders):
  return [path for path in files_of(*folders) if path.suffix == '.py']


def name_of(path):
  """The dotted name of a module's file."""
  parts = path.with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


@functools.cache
def tree_of(path):
  return ast.parse((ROOT / path).read_text(), str(path))


def is_module(name):
  path = ROOT / name.replace('.', '/')
  return path.with_suffix('.py').exists() or (path / '__init__.py').exists()


def imports_of(path):
  """The dotted names of all modules that a file imports."""
  for node in ast.walk(tree_of(path)):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}:{node.lineno} imports relatively'
      for alias in node.names:
        full = f'{node.module}.{alias.name}'
        yield full if is_module(full) else node.module


def is_pure(name):
  top = name.split('.')[0]
  if top == 'siri_jax':
    return name in PURE
  return top in PURE_LIBRARIES | PURE_STANDARD


@pytest.mark.parametrize('name', sorted(PURE))
def test_pure_modules_import_only_pure_modules(name):
  path = pathlib.Path(name.replace('.', '/') + '.py')
  assert [i for i in imports_of(path) if not is_pure(i)] == []
  names = {n.id for n in ast.walk(tree_of(path)) if isinstance(n, ast.Name)}
  assert names & IMPURE_BUILTINS == set()


def distributions():
  """The distributions that the package and its tools import."""
  paths = [p for p in modules_of('siri_jax', 'tools') if 'peers' not in p.parts]
  tops = {name.split('.')[0] for path in paths for name in imports_of(path)}
  tops -= {*sys.stdlib_module_names, *HOUSE}
  owners = importlib.metadata.packages_distributions()
  return {
    distribution for top in tops for distribution in owners.get(top, [top])
  }


def pinned_in(name):
  """The distributions that a file of requirements names itself."""
  lines = (ROOT / name).read_text().splitlines()
  named = [line for line in lines if line[0] not in '#-']
  return {re.split(r'[=\[]', line)[0].lower() for line in named}


def test_the_servers_requirements_include_the_laptops():
  assert pinned_in('requirements-cpu.txt') <= pinned_in(
    'requirements-vllm-cpu.txt'
  )


@pytest.mark.parametrize('name', ['requirements.txt', 'requirements-cpu.txt'])
def test_exactly_the_imported_packages_are_pinned(name):
  # An optional package is only in the tests' requirements; the cluster's also
  # have the server.
  asked_for = {'trackio', 'wandb'} | pinned_in('requirements-notebooks.txt')
  server = {'vllm', 'torch'}
  imported = {d.lower().replace('_', '-') for d in distributions()}
  assert pinned_in(name) - server == imported - asked_for - server


def is_jit(node):
  """Whether a syntax node is jax.jit or one of its other names."""
  if isinstance(node, ast.ImportFrom) and node.module.split('.')[0] == 'jax':
    return any(alias.name in ('jit', 'pjit', 'pmap') for alias in node.names)
  return isinstance(node, ast.Attribute) and (
    node.attr in ('jit', 'pjit', 'pmap') and ast.unparse(node)[:3] == 'jax'
  )


def test_jit_appears_in_compiled_alone():
  jitting = {
    path.as_posix()
    for path in modules_of('siri_jax')
    if any(map(is_jit, ast.walk(tree_of(path))))
  }
  assert jitting == {'siri_jax/compiled.py'}


# Top layer first: a module imports from lower lines, or from its own folder.
LAYERS = """
main commands
api
trainer
offline
evaluation experiments
build
policy
context sft learner
analysis data
config
rollout compiled kernels
runtime algorithm
types
grading models
plugins shapes settings
"""
LAYER = {
  room: -height
  for height, line in enumerate(LAYERS.split('\n'))
  for room in line.split()
}


def room_of(name):
  """The folder or the file directly in siri_jax that a module is in."""
  return name.split('.')[1]


@pytest.mark.parametrize(
  'path',
  # siri_jax/__init__.py loads the API on first use.
  [p for p in modules_of('siri_jax') if name_of(p) != 'siri_jax'],
  ids=str,
)
def test_every_import_runs_downward(path):
  own = room_of(name_of(path))
  rooms = {room_of(i) for i in imports_of(path) if i.startswith('siri_jax.')}
  upward = {r for r in rooms - {own} if LAYER[r] >= LAYER[own]}
  assert upward == set()


def test_the_package_imports_nothing_of_the_checkout():
  outside = {'configs', 'tools', 'tests'}
  found = {
    path.as_posix(): {i.split('.')[0] for i in imports_of(path)} & outside
    for path in modules_of('siri_jax')
  }
  assert {path: names for path, names in found.items() if names} == {}


def imported_with(*modules):
  """The names of all modules that another Python has after these imports."""
  code = f'import {", ".join(modules)}, sys; print(*sys.modules)'
  return set(launch.python(code).stdout.split())


@pytest.mark.parametrize(
  ('module', 'absent'),
  [('siri_jax', {'jax'}), ('siri_jax.main', {'matplotlib', 'pandas', 'scipy'})],
)
def test_a_command_does_not_import_unused_libraries(module, absent):
  assert imported_with(module) & absent == set()


@pytest.mark.parametrize('folder', ['siri_jax/grading', 'siri_jax/analysis'])
def test_a_folder_without_jax_does_not_import_it(folder):
  names = [name_of(path) for path in modules_of(folder)]
  assert 'jax' not in imported_with(*names)


@pytest.mark.parametrize('path', modules_of(*HOUSE), ids=str)
def test_a_module_is_short_and_has_a_docstring(path):
  assert len((ROOT / path).read_text().splitlines()) <= 400
  assert ast.get_docstring(tree_of(path)), 'no docstring'


def is_config(node):
  """Whether a syntax node is `c`, `config`, or an attribute of that name."""
  if isinstance(node, ast.Name):
    return node.id in ('c', 'config')
  return (
    isinstance(node, ast.Attribute)
    and node.attr in ('c', 'config')
    and ast.unparse(node.value) != 'jax'
  )


def settings_read():
  """Attribute of a config -> the modules that read it."""
  found = collections.defaultdict(set)
  for path in modules_of('siri_jax'):
    if name_of(path) in PURE:
      continue  # Pure modules have no config; `c` is something else.
    for node in ast.walk(tree_of(path)):
      if isinstance(node, ast.Attribute) and is_config(node.value):
        found[node.attr].add(path.as_posix())
  return found


def plugins_used():
  """The families whose plug-ins are used."""
  text = ''.join((ROOT / path).read_text() for path in modules_of('siri_jax'))
  named = re.findall(r"\bfind\['(\w+)'\]|\bbound\(c, '(\w+)'\)", text)
  return {family for pair in named for family in pair} & set(plan.PLUGINS)


def test_every_setting_is_read():
  by_plan = {key for f in plugins_used() for key in (f, f'{f}_kw')}
  assert set(base.get_config()) - set(settings_read()) - by_plan == set()


def test_resumable_settings_exist():
  own = base.get_config().to_dict()
  known = {*own, *run_folder.flatten(own)}
  assert set(run_folder.RESUMABLE_SETTINGS) - known == set()


def test_only_settings_of_base_are_read():
  known = set(base.get_config()) | set(dir(config_dict.ConfigDict))
  assert {k: v for k, v in settings_read().items() if k not in known} == {}


def test_no_setting_is_read_with_a_default():
  # The checks of a config may see one with a missing setting.
  judges = {'siri_jax/config/schema.py', 'siri_jax/config/plan.py'}
  not_ours = {'siri_jax/models/hf/config.py'}  # It reads a model's config.json.
  assert settings_read()['get'] - judges - not_ours == set()


def run_files():
  return [p.stem for p in modules_of('configs') if p.stem != 'base']


@pytest.mark.parametrize('name', run_files())
def test_a_config_has_the_settings_of_base_and_changes_some(name):
  module = importlib.import_module(f'configs.{name}')
  c, default = module.get_config(), base.get_config()
  assert set(c) == set(default)
  for key in default:
    assert type(c[key]) is type(default[key]), key
  assert c.to_dict() != default.to_dict()


SHAPES = [name for name in plugins.names('schedule') if name != 'cosine']


@pytest.mark.parametrize(
  'row',
  ['short', 'short_then_long', *SHAPES],
)
def test_the_quickstart_has_a_variant_for_each_schedule(row):
  quickstart = importlib.import_module('configs.quickstart')
  assert inspect.signature(quickstart.get_config).parameters
  c = quickstart.get_config(row)
  assert set(c) == set(base.get_config())
  assert c.to_dict() != quickstart.get_config().to_dict()


def entries():
  """The tree of WORKSPACE.md: path -> phrase."""
  text = (ROOT / 'WORKSPACE.md').read_text()
  blocks = re.findall(r'^```\w*\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
  (block,) = [b for b in blocks if re.search(r'^siri_jax/', b, re.MULTILINE)]
  found, above = {}, []
  for line in filter(str.strip, block.splitlines()):
    indent = len(line) - len(line.lstrip())
    name, _, phrase = line.strip().partition('  ')
    above = [(i, n) for i, n in above if i < indent] + [(indent, name)]
    found[''.join(n for _, n in above)] = phrase.strip()
  return found


def test_the_tree_in_the_workspace_file_is_complete():
  shown = {path for path in entries() if not path.endswith('/')}
  # The phrase of a folder covers all of its files.
  folders = tuple(
    p for p, phrase in entries().items() if p[-1] == '/' and phrase
  )
  own = [p for p in files_of(*HOUSE) if p.name != '__init__.py']
  there = {path.as_posix() for path in own}
  there = {path for path in there if not path.startswith(folders or '//')}
  assert there - shown == set(), 'not in the tree'
  assert {path for path in shown if not (ROOT / path).is_file()} == set()


def test_every_file_in_the_tree_has_its_phrase():
  files = {k: v for k, v in entries().items() if not k.endswith('/')}
  assert [path for path, phrase in files.items() if not phrase] == []


# Letters in brackets, so that the patterns do not match this file.
ELSEWHERE = {
  r'p[y]pi|p[y]thonhosted|p[y]torch\.org|anacond[a]\.org': (),
  r'/wor[k]/|/opt/w[h]eels|/tmp/de[v]': (),
  r'\.\./share[d]': ('tests/conftest.py',),
}


@pytest.mark.parametrize('pattern', ELSEWHERE)
def test_files_name_no_place_outside_the_project(pattern):
  top = [p.relative_to(ROOT) for p in ROOT.iterdir() if p.is_file()]
  texts = ('.md', '.txt', '.toml', '.py', '.sh', '.ipynb', '')
  paths = [p for p in (*top, *files_of(*HOUSE, '.ci')) if p.suffix in texts]
  picture = r'"image/png": ".*?"'  # Letters of base64 spell anything.
  found = {
    path.as_posix()
    for path in paths
    if re.search(pattern, re.sub(picture, '', (ROOT / path).read_text()))
  }
  assert found - set(ELSEWHERE[pattern]) == set()


UNPICKLING = ('pickle', 'shelve', 'marshal', 'dill', 'joblib', 'torch')


@pytest.mark.parametrize('path', modules_of('siri_jax'), ids=str)
def test_nothing_is_unpickled_and_no_code_of_a_model_is_run(path):
  tops = {name.split('.')[0] for name in imports_of(path)}
  own = {'torch'} if 'vllm_plugin' in path.parts else set()
  assert tops & {*UNPICKLING} <= own
  named = {
    keyword.arg
    for node in ast.walk(tree_of(path))
    if isinstance(node, ast.Call)
    for keyword in node.keywords
  }
  assert named & {'trust_remote_code', 'allow_pickle'} == set()
