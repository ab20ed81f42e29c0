"""The part of a document that a program writes, between two marks."""


def replace(document, name, text):
  """Puts text between the marks of a document.

  Args:
    document: path of a Markdown file.
    name: the marks are `<!-- name: begin -->` and `<!-- name: end -->`.
    text: what to put there, without marks.
  Raises:
    ValueError: the document does not have each mark once, in this order.
  """
  before, _, after = _parts(document, name)
  begin, end = _marks(name)
  document.write_text(f'{before}{begin}\n{text}\n{end}{after}')


def read(document, name):
  """The text between the marks of a document; raises as `replace`."""
  return _parts(document, name)[1].strip('\n')


def _marks(name):
  return f'<!-- {name}: begin -->', f'<!-- {name}: end -->'


def _parts(document, name):
  """The text before, between and after the marks."""
  text, (begin, end) = document.read_text(), _marks(name)
  if text.count(begin) != 1 or text.count(end) != 1:
    raise ValueError(f'{document}: write {begin} and {end} in it, once each')
  before, _, rest = text.partition(begin)
  inside, found, after = rest.partition(end)
  if not found:
    raise ValueError(f'{document}: {end} stands before {begin}')
  return before, inside, after
