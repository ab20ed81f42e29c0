"""Problems to prompts and responses to text, as a tokenizer folder says."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import pathlib
from typing import Any

import jinja2

_THINK = '<think>'


@dataclasses.dataclass(frozen=True)
class Chat:
  """A tokenizer with its chat template and the instruction to a problem.

  Attributes:
    tokenizer: transformers' tokenizer, for its template.
    instruction: text with {problem} in it, what the user is made to say.
    opening: what the prompt ends with beyond the template's own end: '' or
      '<think>\\n'.
    around: bytes of the prompt of an empty problem.
    eos_ids: ids that end a response, the tokenizer's own first.
    vocab: one more than the highest id.
    fingerprint: sha256 over the tokenizer's file, a rendered prompt and
      the ids that end a response.
  """

  tokenizer: Any
  instruction: str
  opening: str
  around: int
  eos_ids: tuple[int, ...]
  vocab: int
  fingerprint: str

  def render(self, text):
    """A problem's text as the prompt's text."""
    return _render(self.tokenizer, self.instruction, text) + self.opening

  def ids(self, text):
    """Token ids of a text, with nothing added."""
    # The template writes the beginning-of-sequence token; adding special
    # tokens here would double it.
    backend = self.tokenizer.backend_tokenizer
    return backend.encode(text, add_special_tokens=False).ids

  def encode(self, text):
    """A problem's text as prompt ids."""
    return self.ids(self.render(text))

  def most_tokens(self, text):
    """A cheap bound on len(encode(text)): no token is less than a byte."""
    # Normalising what is not ASCII can lengthen it: under NFC, three times.
    return self.around + len(text.encode()) * (1 if text.isascii() else 3)

  def lengths(self, texts):
    """Prompt tokens of each problem's text; faster than encoding singly."""
    backend = self.tokenizer.backend_tokenizer
    prompts = [self.render(text) for text in texts]
    found = backend.encode_batch_fast(prompts, add_special_tokens=False)
    return [len(encoding) for encoding in found]

  def decode(self, ids):
    """A response's text: </think> and its like stay, the end goes."""
    ids = [int(i) for i in ids if i not in self.eos_ids]
    backend = self.tokenizer.backend_tokenizer
    return backend.decode(ids, skip_special_tokens=False)


def load(folder, *, instruction):
  """Reads a tokenizer folder: nothing is downloaded, none of its code is run.

  A template that opens no thought (that of February 2025 ends in the
  assistant's name) is completed with '<think>\\n' where the tokenizer knows
  <think>: the policy was trained to think, and the grader looks for a thought
  that was ended.

  Args:
    folder: holds tokenizer.json, tokenizer_config.json and, here or there,
      the chat template; and perhaps generation_config.json, whose ends of
      sequence count too.
    instruction: text with {problem} where the problem goes.
  Returns:
    Chat.
  Raises:
    ValueError: all that is wrong with the folder and the instruction.
  """
  folder = pathlib.Path(folder)
  _require(
    (
      instruction.count('{problem}') == 1,
      f'{instruction!r}: {{problem}} must be in the instruction once',
    ),
    (
      (folder / 'tokenizer.json').is_file(),
      f'{str(folder)!r} is no tokenizer folder: no tokenizer.json',
    ),
  )
  tokenizer = _tokenizer(folder)
  eos_ids = _eos_ids(folder, tokenizer)
  _require(
    (
      tokenizer.chat_template,
      f'{folder} has no chat template: add chat_template.jinja',
    ),
    (eos_ids, f'{folder}/tokenizer_config.json names no eos_token'),
  )
  empty = _probe(folder, tokenizer, instruction)
  opening = _opening(folder, tokenizer, empty)
  digest = hashlib.sha256((folder / 'tokenizer.json').read_bytes())
  digest.update(json.dumps([instruction, empty + opening, eos_ids]).encode())
  return Chat(
    tokenizer=tokenizer,
    instruction=instruction,
    opening=opening,
    around=len((empty + opening).encode()),
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
    # Here, for it takes seconds. The class that takes tokenizer.json as it
    # stands: R1-Distill's tokenizer_config.json names LlamaTokenizerFast,
    # which it is not.
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
  """Keeps transformers from telling that PyTorch is absent."""
  before = logging.root.manager.disable
  logging.disable(logging.WARNING)
  try:
    yield
  finally:
    logging.disable(before)


def _render(tokenizer, instruction, text):
  """The template's prompt for a problem's text."""
  # Not str.format: instruction and problem are full of LaTeX's braces.
  content = instruction.replace('{problem}', text)
  return tokenizer.apply_chat_template(
    [{'role': 'user', 'content': content}],
    tokenize=False,
    add_generation_prompt=True,
  )


def _probe(folder, tokenizer, instruction):
  """The prompt of an empty problem: the text around every problem."""
  try:
    return _render(tokenizer, instruction, '')
  except jinja2.TemplateError as error:
    raise ValueError(f'{folder}: the chat template fails: {error}') from error


def _opening(folder, tokenizer, prompt):
  """What a prompt lacks for a thought to be open at its end."""
  if prompt.rstrip().endswith(_THINK):
    return ''
  if _THINK in tokenizer.get_vocab():
    return f'{_THINK}\n'
  raise ValueError(
    f'{folder}: the chat template opens no thought (its prompt ends in '
    f'{prompt[-20:]!r}) and the tokenizer does not know {_THINK}: give a '
    f'chat_template.jinja that ends the prompt in {_THINK} and a line break'
  )


def _eos_ids(folder, tokenizer):
  """The tokenizer's end of sequence, then generation_config.json's."""
  found = [tokenizer.eos_token_id]
  path = folder / 'generation_config.json'
  if path.is_file():
    try:
      named = json.loads(path.read_text()).get('eos_token_id')
    except ValueError as error:
      raise ValueError(f'{path} is not JSON: {error}') from error
    found += named if isinstance(named, list) else [named]
  return tuple(dict.fromkeys(i for i in found if i is not None))
