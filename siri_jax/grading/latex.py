r"""One spelling of LaTeX: \dfrac12, 1 \over 2 and ½ become \frac{1}{2}.

Rewrites text and computes no value. The result is read by kind
(siri_jax/grading/kinds.py), by parts (structure.py) or by a LaTeX parser
(latex_value.py), which fails on unknown commands.
"""

import functools
import re

from siri_jax.grading import limits, signs, wrapping

_FONT = (
  r'\\(?:text(?:bf|it|rm|sf|sc|tt|normal|up)?|math(?:bf|it|rm|sf|tt|normal|cal|scr)'
  r'|bm|boldsymbol|mbox|hbox|operatorname|pmb)\*?'
)
_FUNCTIONS = (
  'arcsin|arccos|arctan|arccot|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp'
  '|sqrt|gcd|lcm|max|min'
)
_OTHER_NAMES = {
  **{'tg': 'tan', 'ctg': 'cot', 'cotg': 'cot', 'cosec': 'csc'},
  'lg': 'log_{10}',
  **{'arctg': 'arctan', 'arcctg': 'arccot', 'sh': 'sinh', 'ch': 'cosh'},
  **{'th': 'tanh', 'asin': 'arcsin', 'acos': 'arccos', 'atan': 'arctan'},
}
_SAME = {
  **dict.fromkeys(['leq', 'leqslant', 'leqq', 'lt='], r'\le '),
  **dict.fromkeys(['geq', 'geqslant', 'geqq'], r'\ge '),
  **{'neq': r'\ne ', 'lt': '<', 'gt': '>', 'colon': ':', 'vert': '|'},
  **dict.fromkeys(['lvert', 'rvert', 'mid'], '|'),
  **{'lbrace': r'\{', 'rbrace': r'\}', 'lbrack': '[', 'rbrack': ']'},
  **dict.fromkeys(['langle', 'lgroup'], '('),
  **dict.fromkeys(['rangle', 'rgroup'], ')'),
  **dict.fromkeys(
    ['dots', 'cdots', 'dotsc', 'dotsb', 'dotsm', 'vdots'], r'\ldots '
  ),
  **dict.fromkeys(['varnothing', 'empty'], r'\emptyset '),
  **{'backslash': r'\setminus ', 'smallsetminus': r'\setminus '},
  **{'varphi': r'\phi ', 'vartheta': r'\theta ', 'varepsilon': r'\epsilon '},
  **{'R': r'\mathbb{R}', 'Z': r'\mathbb{Z}', 'Q': r'\mathbb{Q}'},
  **{'N': r'\mathbb{N}', 'C': r'\mathbb{C}', 'Reals': r'\mathbb{R}'},
  **{'degree': r'^\circ ', 'permil': r'\permil ', 'ast': '*'},
  **{'imath': 'i', 'jmath': 'j', 'cdotp': r'\cdot ', 'wedge': r'\land '},
  **{'vee': r'\lor ', 'rightarrow': r'\to ', 'longrightarrow': r'\to '},
  **{'land': r'\land ', 'lor': r'\lor ', 'lnot': r'\neg ', 'qty': ''},
}
_NAMED = re.compile(rf'\\({"|".join(_SAME)})(?![a-zA-Z])\s?')
_GROUP = r'\{[^{}]*\}'
for _ in range(5):  # Braces within braces.
  _GROUP = rf'\{{[^{{}}]*(?:{_GROUP}[^{{}}]*)*\}}'
# One TeX argument; \sqrt includes its own argument.
_TOKEN = (
  rf'(?:\\sqrt\s*(?:\[[^\]]*\])?\s*(?:{_GROUP}|\w)|\\[a-zA-Z]+|[a-zA-Z0-9])'
)
_SPACE = (
  r'(?<!\\)(?:\\[,;:! ]'
  r'|\\(?:q?quad|thinspace|enspace|neg(?:med|thick)space)(?![a-z]))'
)
_TWO_PLACED = r'\\(?:frac|binom)'
_SIDE = r'((?:[^{}]|\{[^{}]*\})*?)'  # One side of \over or \choose.
_PLACED = {'over': r'\frac', 'choose': r'\binom'}
_MOD = r'mod(?:ulo)?\.?\s*\}?'
_MODULO = r'\\pmod{\1}'
# Applied in order: each pattern rewrites the result of those before it.
_REWRITES = [
  (re.compile(pattern), spelt)
  for pattern, spelt in (
    # Digit groups, before white space is removed.
    (r'\\(?:num|qty)\s*\{([^{}]*)\}', r'\1'),
    (r'\\SI\s*\{([^{}]*)\}\s*\{([^{}]*)\}', r'\1\\text{ \2}'),
    (r'(?<=\d)(?:\{,\}|\\[,!]|,\\!)\s*(?=\d{3}(?!\d))', ''),
    (
      r'(?<![\d.,^_{])(\d{1,3})((?:[ ~]\d{3})+)(?![\d.])',
      lambda m: m[1] + re.sub(r'[ ~]', '', m[2]),
    ),
    (
      r'(?<!\\)\{\s*(-?\d{1,3}(?:,\d{3})+)\s*\}',
      lambda m: '{' + m[1].replace(',', '') + '}',
    ),
    (r'\\text\s*\{\s*:\s*\}|\{:\}', ':'),
    (rf'{_SPACE}|~', ' '),
    # Brackets and signs.
    (r'\\(?:left|right|middle)(?=\\[a-z|{}]|[|()\[\]<>/])', ''),
    (r'\\(?:left|right|middle)\s+(?=[|()\[\]\\])', ''),
    (r'\\[Bb]igg?[lrm]?(?![a-z])\s*', ''),
    (_NAMED, lambda m: _SAME[m[1]]),
    (r'(?<!\d)\.{3,}|(?<!\.)\.{3}(?!\.)', r'\\ldots '),
    (r'\s*<=\s*', r'\\le '),
    (r'\s*>=\s*', r'\\ge '),
    (r'\s*(?:!=|<>|\\not\s*=)\s*', r'\\ne '),
    (r'\*\*', '^'),
    # Fonts of letters and digits; a unit vector becomes its letter.
    (rf'{_FONT}\s*\{{\s*([a-fi-kn-ruw-zB-HIK-MO-UX-Z]|-?\d+)\s*\}}', r'\1'),
    (
      r'\\(?:math(?:bf|it|sf|cal|scr)|bm|boldsymbol|pmb)\s*\{\s*([a-zA-Z])\s*\}',
      r'\1',
    ),
    # Upright letters after a number are units: 5 \mathrm{m}.
    (rf'(?<![\d)}}/])(?<![\d)}}/] ){_FONT}\s*\{{\s*([a-zA-Z])\s*\}}', r'\1'),
    (r'\\(?:math|text)(?:bf|rm|it)\s+([a-zA-Z])(?![a-zA-Z])', r'\1'),
    (
      r'\\(?:hat|vec|overrightarrow)\s*\{?\s*([ijkxyz])\s*\}?(?![a-zA-Z])',
      r'\1',
    ),
    (r'\\(?:math(?:bf|it)|bm|boldsymbol)\s*\{\s*([a-zA-Z])\s*\}', r'\1'),
    (r'\\overrightarrow\s*\{\s*([a-z])\s*\}', r'\\vec{\1}'),
    (r'\\vec\s*([a-zA-Z])(?![a-zA-Z])', r'\\vec{\1}'),
    (r'\\mathbb\s*([A-Z])', r'\\mathbb{\1}'),
    (r'(?<=\\mathbb\{[A-Z]\})\s*[-\\]\s*(?=\\\{)', r'\\setminus '),
    (r'(?i)^\s*(?:all |the set of )*real(?: numbers)?s?\s*$', r'\\mathbb{R}'),
    (r'(?i)^\s*(?:the )?empty set\s*$', r'\\emptyset'),
    # A transposed row is a point.
    (
      r'^\s*[(\[]([^()\[\]]*,[^()\[\]]*)[)\]]'
      r'\s*\^\s*\{?\s*(?:T|\\top|\\intercal)\s*\}?\s*$',
      r'(\1)',
    ),
    (
      rf'\\(?:operatorname|mathrm|text)\*?\s*\{{\s*'
      rf'({"|".join([*_OTHER_NAMES, *_FUNCTIONS.split("|")])})\s*\}}',
      r'\\\1 ',
    ),
    # 18 min and 20 sec are times, not functions.
    (
      rf'(?<![a-zA-Z\\])(?!(?:min|sec)(?!\s*(?:[({{\\]|[a-z](?![a-z]))))'
      rf'({_FUNCTIONS}|a?r?c?c?o?tg|lg)(?![a-zA-Z])',
      r'\\\1',
    ),
    (r'(?<=[a-z])\s+in\s+(?=[\[({\\])', r' \\in '),
    (
      rf'\\({"|".join(_OTHER_NAMES)})(?![a-zA-Z])',
      lambda m: '\\' + _OTHER_NAMES[m[1]],
    ),
    (r'(?<![a-zA-Z\\])pi(?![a-zA-Z])', r'\\pi '),
    (r'(?<![a-zA-Z\\])(?:infinity|infty|inf)(?![a-zA-Z])', r'\\infty '),
    # Missing braces of fractions and roots.
    (r'\\(?:[dtcs]|nice|x)frac(?![a-z])', r'\\frac'),
    (r'\\[dt]binom(?![a-z])', r'\\binom'),
    (
      rf'(?:\{{|^){_SIDE}\\(over|choose)(?![a-z])\s*{_SIDE}(?:\}}|$)',
      lambda m: rf'{_PLACED[m[2]]}{{{m[1]}}}{{{m[3]}}}',
    ),
    (r'\\sqrt\s*\(', r'\\sqrt('),
    (r'\\sqrt\s*(\[[^\]]*\])?\s*(\\[a-z]+|\w)', r'\\sqrt\1{\2}'),
    (rf'({_TWO_PLACED})\s*({_TOKEN})', r'\1{\2}'),
    (rf'({_TWO_PLACED}\s*{_GROUP})\s*({_TOKEN})', r'\1{\2}'),
    (r'([_^])\s*(\w)(?=\s)', r'\1{\2}'),
    # All spellings of a modulus.
    (
      rf'(?:{_FONT}\s*\{{)\s*\(\s*{_MOD}\s*\}}?\s*([^(){{}}]+)\)\s*\}}?',
      _MODULO,
    ),
    (rf'\(\s*(?:\\[bp]?mod|(?:{_FONT}\s*\{{)?\s*{_MOD})\s*([^()]+)\)', _MODULO),
    (
      rf'\\[bp]?mod\s*({_GROUP}|\\[a-z]+|\d+|[a-zA-Z])',
      lambda m: rf'\pmod{{{_bare(m[1])}}}',
    ),
    (
      rf'(?:{_FONT}\s*\{{|(?<![a-zA-Z\\]))\s*{_MOD}\s*'
      r'(\d+|[a-zA-Z](?![a-zA-Z]))',
      _MODULO,
    ),
    (r'\\equiv(?![a-z])(?!.*\\pmod)', '='),
    # Words between values.
    (r'\\text\s*\{\s*,?\s*(where|for|with|if|when)\s*\}', r' \1 '),
    (
      r',?\s*\\text\s*\{\s*,?\s*or\s*\}'
      r'|(?<![a-zA-Z\\])(?:or|OR|Or)(?![a-zA-Z])|\\lor(?![a-z])',
      ' or ',
    ),
    (
      r',?\s*\\text\s*\{\s*(?:,\s*(?:and)?|and|&)\s*\}'
      r'|,?\s*(?<![a-zA-Z\\])(?:and|AND)(?![a-zA-Z])|\\land(?![a-z])',
      ' and ',
    ),
    (r'\s*,\s*(or|and) ', r' \1 '),
    (r'(?:for\s+all|for\s+every|for\s+any)(?![a-z])', r'\\forall '),
    (r'\\text\s*\{\s*\\forall\s*\}', r'\\forall '),
    # Powers of ten, mixed numbers and decimal points.
    (r'^\s*([-+]?\d+(?:\.\d+)?)[eE]([-+]?\d+)\s*$', r'\1\\times 10^{\2}'),
    (r'(?<![\d.])(\d+) (\d+) ?/ ?(\d+)(?![\d.])', r'\1\\frac{\2}{\3}'),
    (
      r'(?<=\d)\s*(?:\\text\{\s*)?(thousand|million|billion|trillion)\s*\}?',
      lambda m: rf'\cdot 10^{{{_LARGE[m[1]]}}}',
    ),
    (r'^\s*\(?\s*([A-Za-z])\s*\)\s*$', r'\1'),
    (r'(?<![\d.)}\]])\.(?=\d)', '0.'),
    (r'\\text\s*\{\s*\}', ' '),
    (r'\s+', ' '),
    (r'^ | $', ''),
  )
]
_LARGE = {'thousand': 3, 'million': 6, 'billion': 9, 'trillion': 12}
_PLAIN = re.compile(r'-?\d+')
_BRACKET = re.compile(r'\\sqrt(\[[^\]]*\])?\(|\^\(')


@functools.lru_cache(4096)
def spell(answer):
  """The standard spelling of an answer; unchanged if it is too long."""
  if _PLAIN.fullmatch(answer) or len(answer) > limits.LONGEST:
    return answer
  answer = wrapping.unwrap(signs.plain(answer))
  for pattern, spelt in _REWRITES:
    answer = pattern.sub(spelt, answer)
  return wrapping.unwrap(_brace(answer))


def _bare(argument):
  """The argument of a command, without braces."""
  return argument[1:-1].strip() if argument[0] == '{' else argument


def _brace(answer):
  r"""Replaces the brackets in \sqrt(2) and x^(2) by braces."""
  while found := _BRACKET.search(answer):
    depth = 1
    for place in range(found.end(), len(answer)):
      depth += (answer[place] == '(') - (answer[place] == ')')
      if not depth:
        break
    else:
      return answer
    inner = answer[found.end() : place]
    start = answer[found.start() : found.end() - 1]
    answer = f'{answer[: found.start()]}{start}{{{inner}}}{answer[place + 1 :]}'
  return answer
