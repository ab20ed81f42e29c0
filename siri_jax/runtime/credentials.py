"""Refuses values that look like API keys, so that none reaches a file."""

import re

SHAPES = re.compile(
  r'\bhf_[A-Za-z0-9]{20,}'  # Hugging Face.
  r'|\bsk-[A-Za-z0-9_-]{20,}'  # OpenAI and others.
  r'|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}'
  r'|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b'  # Amazon.
  r'|\bxox[a-z]-[A-Za-z0-9-]{20,}'  # Slack.
  r'|(?<![\w/@])[0-9a-f]{40}(?![\w/])'  # W&B; no commit of a path or name.
  r'|-----BEGIN [A-Z ]*PRIVATE KEY'
  r'|://[^/\s@]*:[^/\s@]+@'  # The password of an address.
)


def faults(values):
  """A message for each value that looks like it has an API key.

  Args:
    values: dict of the values to be written, by name.
  Returns:
    list of messages, which do not show the key.
  """
  return [
    f'{name} holds what looks like a key and would be written to a file; '
    'pass the key in an environment variable'
    for name, value in values.items()
    if SHAPES.search(str(value))
  ]


def hidden(address):
  """An address without what may be secret: all before @, and its query."""
  address = re.sub(r'^([\w+.-]*://)?.*@', r'\1***@', address, flags=re.DOTALL)
  return re.sub(r'[?#].*', '?***', address, flags=re.DOTALL)


def masked(text):
  """A message without the users and passwords of addresses in it."""
  text = re.sub(r'://[^\s\'"]*@', '://***@', text)
  return re.sub(r'[^\s\'"/=@]+:[^\s\'"/@]+@', '***@', text)
