"""Prompts and responses with the tokenizer and chat template of a folder."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jinja2

from siri_jax.runtime import files

_THINK, _END = '<think>', '</think>'
_PLACE = '\ue000'  # Stands for a problem's text; no problem holds it.


@dataclasses.dataclass(frozen=True)
class Chat:
  """A tokenizer, its chat template and the instruction.

  Attributes:
    tokenizer: transformers' tokenizer, for its template.
    instruction: the user message, with {problem} in it.
    template_kw: variables of the template.
    opening: text added to the end of the template: '' or '<think>\\n'.
    around: bytes of the prompt of an empty problem.
    control: ids of the tokens beyond the vocabulary of text: turns, thoughts.
    controls: how many of them the prompt of an empty problem has.
    eos_ids: ids that end a response, the tokenizer's own first.
    vocab: one more than the highest id.
    fingerprint: sha256 over the tokenizer's file, a rendered prompt and
      the ids that end a response.
  """

  tokenizer: Any
  instruction: str
  template_kw: Mapping[str, Any]
  opening: str
  around: int
  control: frozenset[int]
  controls: int
  eos_ids: tuple[int, ...]
  vocab: int
  fingerprint: str

  def render(self, text, note='', system=''):
    """The prompt of a problem as text, with words after the instruction."""
    asked = ' '.join(filter(None, (self.instruction, note)))
    prompt = _render(self.tokenizer, asked, self.template_kw, text, system)
    return prompt + self.opening

  @property
  def thinks(self):
    """Whether prompts end in an open thought, which a response continues."""
    return self.render('').rstrip().endswith(_THINK)

  def ids(self, text):
    """Token ids of a text, without special tokens."""
    # The template already has the beginning-of-sequence token.
    backend = self.tokenizer.backend_tokenizer
    return backend.encode(text, add_special_tokens=False).ids

  def encode(self, text, note='', system='', opening=''):
    """Prompt ids of a problem; a control token in its text is plain text.

    Args:
      text: of the problem.
      note: words after the instruction; '' for none.
      system: words of the system's turn; '' for the template's own.
      opening: words after the start of the thought; '' for none.
    Raises:
      ValueError: the template leaves out the system's turn.
    """
    prompt = self.render(text, note, system) + opening
    if system.strip() not in prompt:
      raise ValueError(
        f"the chat template leaves out the system's turn, {system!r}; put the "
        'words after the instruction, in note'
      )
    ids, own = self.ids(prompt), self.controls
    if note or system or opening:
      empty = self.render('', note, system) + opening
      own = self._count_control(self.ids(empty))
    if self._count_control(ids) == own:
      return ids
    return self._literal(text, note, system, opening)

  def most_tokens(self, text):
    """A cheap upper bound on len(encode(text)): a token has at least a byte."""
    # Normalisation can lengthen non-ASCII text, under NFC three times.
    return self.around + len(text.encode()) * (1 if text.isascii() else 3)

  def lengths(self, texts):
    """Prompt tokens of each problem; faster than encoding one by one."""
    backend = self.tokenizer.backend_tokenizer
    prompts = [self.render(text) for text in texts]
    found = backend.encode_batch_fast(prompts, add_special_tokens=False)
    return [
      len(
        self._literal(text)
        if self._count_control(encoding.ids) != self.controls
        else encoding
      )
      for text, encoding in zip(texts, found, strict=True)
    ]

  def decode(self, ids):
    """A response's text, with </think> and without the end token."""
    ids = [int(i) for i in ids if i not in self.eos_ids]
    backend = self.tokenizer.backend_tokenizer
    return backend.decode(ids, skip_special_tokens=False)

  def _count_control(self, ids):
    """The number of control tokens of a prompt."""
    return sum(i in self.control for i in ids)

  def _literal(self, text, note='', system='', opening=''):
    """Prompt ids of a text that holds control tokens, which are spelt out."""
    spelt = self._without_control.encode(text, add_special_tokens=False).ids
    parts = (self.render(_PLACE, note, system) + opening).split(_PLACE)
    first, *rest = map(self.ids, parts)
    return [*first, *(i for part in rest for i in (*spelt, *part))]

  @functools.cached_property
  def _without_control(self):
    """The tokenizer as if it had no tokens but those of text."""
    backend = self.tokenizer.backend_tokenizer
    described = json.loads(backend.to_str()) | {'added_tokens': []}
    return type(backend).from_str(json.dumps(described))


def load(folder, *, instruction, template_kw, thought):
  """Reads a tokenizer folder; downloads nothing and runs none of its code.

  A thought that the template does not open (R1's of February 2025 and Qwen3's
  end in the assistant's name) is opened by '<think>\\n', which such a policy
  would write itself.

  Args:
    folder: has tokenizer.json, tokenizer_config.json and a chat template, and
      may have generation_config.json with more end tokens.
    instruction: text with {problem} in the place of the problem.
    template_kw: variables of the template, such as Qwen3's
      dict(enable_thinking=False).
    thought: whether prompts must end in an open thought. If not, they end as
      the template does.
  Returns:
    Chat.
  Raises:
    ValueError: the folder or the instruction is invalid; lists all faults.
  """
  folder = pathlib.Path(folder)
  _require(
    (
      instruction.count('{problem}') == 1,
      f'{instruction!r}: {{problem}} must be in the instruction once; for '
      "example '{problem} Think step by step.'",
    ),
    (
      (folder / 'tokenizer.json').is_file(),
      f'{str(folder)!r} is not a tokenizer folder: it has no tokenizer.json',
    ),
  )
  tokenizer = _tokenizer(folder)
  eos_ids = _eos_ids(folder, tokenizer)
  _require(
    (
      tokenizer.chat_template,
      f'{folder} has no chat template: add chat_template.jinja',
    ),
    (eos_ids, f'{folder}/tokenizer_config.json has no eos_token; add it'),
    *(
      (
        _uses(tokenizer, name),
        f'task_kw.template_kw.{name}: the chat template of {folder} has no '
        'variable of this name',
      )
      for name in template_kw
    ),
  )
  empty = _probe(folder, tokenizer, instruction, template_kw)
  opening = _opening(folder, tokenizer, empty) if thought else ''
  # Some tokenizers have runs of spaces among them: these are text.
  added = tokenizer.get_added_vocab().items()
  control = frozenset(i for token, i in added if token.strip())
  backend = tokenizer.backend_tokenizer
  ids = backend.encode(empty + opening, add_special_tokens=False).ids
  digest = hashlib.sha256((folder / 'tokenizer.json').read_bytes())
  digest.update(json.dumps([instruction, empty + opening, eos_ids]).encode())
  return Chat(
    tokenizer=tokenizer,
    instruction=instruction,
    template_kw=template_kw,
    opening=opening,
    around=len((empty + opening).encode()),
    control=control,
    controls=sum(i in control for i in ids),
    eos_ids=eos_ids,
    vocab=1 + max(tokenizer.get_vocab().values()),
    fingerprint=digest.hexdigest(),
  )


def _require(*claims):
  """Raises the messages of the claims that do not hold, all at once."""
  wrong = [message for holds, message in claims if not holds]
  if wrong:
    raise ValueError('\n'.join(wrong))


def _tokenizer(folder):
  """The folder's tokenizer.json, without truncation or padding."""
  with _quiet():
    # Imported here, because it takes seconds. This class uses tokenizer.json
    # unchanged; R1-Distill's tokenizer_config.json names LlamaTokenizerFast,
    # which is wrong.
    from transformers import PreTrainedTokenizerFast

    try:
      tokenizer = PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True
      )
    except Exception as error:  # tokenizers raises nothing narrower.
      raise ValueError(f'{folder}: cannot be read: {error}') from error
  tokenizer.backend_tokenizer.no_truncation()
  tokenizer.backend_tokenizer.no_padding()
  return tokenizer


@contextlib.contextmanager
def _quiet():
  """Keeps transformers from printing that PyTorch is missing."""
  before = logging.root.manager.disable
  logging.disable(logging.WARNING)
  try:
    yield
  finally:
    logging.disable(before)


def _uses(tokenizer, name):
  """Whether a chat template has a variable of this name for others to set."""
  own = ('messages', 'add_generation_prompt')
  found = re.search(rf'\b{re.escape(name)}\b', str(tokenizer.chat_template))
  return found is not None and name not in own


def _render(tokenizer, instruction, template_kw, text, system=''):
  """The template's prompt for a problem's text."""
  # Not str.format, because instruction and problem have LaTeX's braces.
  content = instruction.replace('{problem}', text)
  return tokenizer.apply_chat_template(
    [
      *[{'role': 'system', 'content': system}] * bool(system),
      {'role': 'user', 'content': content},
    ],
    tokenize=False,
    add_generation_prompt=True,
    **template_kw,
  )


def _probe(folder, tokenizer, instruction, template_kw):
  """The prompt of an empty problem: the text around every problem."""
  try:
    return _render(tokenizer, instruction, template_kw, '')
  except jinja2.TemplateError as error:
    raise ValueError(f'{folder}: the chat template fails: {error}') from error


def _opening(folder, tokenizer, prompt):
  """The text that opens a thought at the end of a prompt; '' if it does."""
  if prompt.rstrip().endswith(_THINK):
    return ''
  if prompt.rstrip().endswith(_END):
    why = 'closes the thought; remove enable_thinking from task_kw.template_kw'
  elif _THINK not in tokenizer.get_vocab():
    why = f'opens no thought, and the tokenizer does not know {_THINK}'
  else:
    return f'{_THINK}\n'
  raise ValueError(
    f'{folder}: the chat template, whose prompt ends in {prompt[-20:]!r}, '
    f"{why}. grading_rule_kw.kind='continuation' grades the end of a thought; "
    "'response' grades a box and 'text' grades prose, without one"
  )


def _eos_ids(folder, tokenizer):
  """The tokenizer's end token, then those of generation_config.json.

  Raises:
    ValueError: the file is damaged, or names an id without a token.
  """
  own, path = tokenizer.eos_token_id, folder / 'generation_config.json'
  named = None
  if path.is_file():
    try:
      named = files.read_object(path).get('eos_token_id')
    except ValueError as error:
      raise ValueError(f'{path} is {error}') from error
  named = named if isinstance(named, list) else [named]
  named = [i for i in named if i is not None]
  known = {*tokenizer.get_vocab().values()}
  if wrong := [i for i in named if type(i) is not int or i not in known]:
    raise ValueError(
      f'{path}: eos_token_id names {", ".join(f"{i!r:.40}" for i in wrong)}, '
      "no id of the tokenizer's tokens: give one, a list of them, or null"
    )
  return tuple(dict.fromkeys([*([] if own is None else [own]), *named]))
