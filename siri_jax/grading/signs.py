r"""Replaces Unicode signs by LaTeX: π, full-width digits and 。.

Rewrites text by tables and does not interpret it.
"""

import re
import unicodedata

_SIGNS = {
  # NFKC would turn these signs into plain letters.
  **{'ℝ': r'\mathbb{R}', 'ℤ': r'\mathbb{Z}', 'ℚ': r'\mathbb{Q}'},
  **{'ℕ': r'\mathbb{N}', 'ℂ': r'\mathbb{C}', 'ℯ': 'e', 'ⅈ': 'i', 'ℓ': r'\ell '},
  **dict.fromkeys('−–—‒﹣－‐‑', '-'),
  **dict.fromkeys('≤≦⩽', r'\le '),
  **dict.fromkeys('≥≧⩾', r'\ge '),
  **dict.fromkeys('·⋅∙・', r'\cdot '),
  **dict.fromkeys('…⋯⋮', r'\ldots '),
  **dict.fromkeys('，、', ','),
  **dict.fromkeys('∣｜', '|'),
  **dict.fromkeys('∼～', r'\sim '),
  **dict.fromkeys('△▲', r'\triangle '),
  **dict.fromkeys('∅⌀', r'\emptyset '),
  **dict.fromkeys('∖⧵', r'\setminus '),
  **dict.fromkeys('→⟶', r'\to '),
  **dict.fromkeys('⟨〈', '('),
  **dict.fromkeys('⟩〉', ')'),
  **dict.fromkeys('【】「」『』', ''),
  **dict.fromkeys('“”„«»″', '"'),
  **dict.fromkeys('‘’′', "'"),
  **dict.fromkeys('\u200b\u200c\u200d\u2060\ufeff\u00ad', ''),
  **{'≠': r'\ne ', '≡': r'\equiv ', '≈': r'\approx ', '∞': r'\infty '},
  **{
    '×': r'\times ',
    '÷': r'\div ',
    '±': r'\pm ',
    '∓': r'\mp ',
    '∕': '/',
    '⁄': '/',
  },
  **{'∈': r'\in ', '∉': r'\notin ', '∪': r'\cup ', '∩': r'\cap '},
  **{'⊂': r'\subset ', '⊆': r'\subseteq ', '⇒': r'\Rightarrow '},
  **{'∀': r'\forall ', '∃': r'\exists ', '¬': r'\neg ', '⊥': r'\perp '},
  **{'∧': r'\land ', '∨': r'\lor ', '∠': r'\angle ', '∥': r'\parallel '},
  **{'⌊': r'\lfloor ', '⌋': r'\rfloor ', '⌈': r'\lceil ', '⌉': r'\rceil '},
  **{'∑': r'\sum ', '∏': r'\prod ', '∫': r'\int ', '∂': r'\partial '},
  **{'°': r'^\circ ', '˚': r'^\circ ', '。': '.', '；': ';', '‰': r'\permil '},
  **{'℃': r'^\circ\text{C}', '℉': r'^\circ\text{F}', '％': '%'},
  # Chinese words for conjunctions, signs and values.
  **{'或者': ' or ', '或': ' or ', '以及': ' and ', '和': ' and '},
  **{
    '与': ' and ',
    '且': ' and ',
    '无解': 'no solution',
    '無解': 'no solution',
  },
  **{'正无穷': r'\infty ', '负无穷': r'-\infty ', '无穷大': r'\infty '},
  **{'根号': '√', '空集': r'\emptyset ', '派': r'\pi '},
}
_ANY_SIGN = re.compile('|'.join(map(re.escape, _SIGNS)))
# The last word of a Greek letter's Unicode name is its LaTeX name.
_GREEK = re.compile('[Α-Ωα-ωϑϕ]')
_GREEK_NAMES = {'lamda': 'lambda', 'ϑ': r'\theta ', 'ϕ': r'\phi '}
_RAISED = dict(zip('⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ', '0123456789+-()nix', strict=True))
_LOWERED = dict(zip('₀₁₂₃₄₅₆₇₈₉₊₋ₙₖₓᵢ', '0123456789+-nkxi', strict=True))
_ARGUMENT = r'\s*(\{[^{}]*\}|\([^()]*\)|\d+(?:\.\d+)?|\\pi|[a-zA-Z])'
_RUN = {
  re.compile(f'([{"".join(_RAISED)}]+)(?=√)'): ('{}', _RAISED),
  re.compile(f'([{"".join(_RAISED)}]+)'): ('^{{{}}}', _RAISED),
  re.compile(f'([{"".join(_LOWERED)}]+)'): ('_{{{}}}', _LOWERED),
}
_REWRITES = [
  (re.compile(pattern), spelt)
  for pattern, spelt in (
    (r'((?:\d\u0305)+)', lambda m: rf'\overline{{{m[0][::2]}}}'),
    (r'(\d)\u0307', r'\\dot{\1}'),
    (r'(\d\d?)\s*[点點時时]\s*(\d\d)\s*分?', r'\1:\2'),
    ('(?:上午|早上|凌晨)\\s*([\\d:：]+)', r'\1 a.m.'),
    ('(?:下午|晚上)\\s*([\\d:：]+)', r'\1 p.m.'),
    ('[①-⑳]', lambda m: f'({unicodedata.normalize("NFKC", m[0])})'),
    ('[¼-¾⅐-⅞]', lambda m: _fraction(m[0])),
  )
]
_ROOT = re.compile(f'(∛|∜|(?<![0-9])[34]√|√){_ARGUMENT}')
_DEGREE = {'∛': '[3]', '∜': '[4]', '3√': '[3]', '4√': '[4]', '√': ''}


def plain(text):
  """Replaces every sign that has a LaTeX name by that name."""
  if text.isascii():
    return text
  for pattern, spelt in _REWRITES:
    text = pattern.sub(spelt, text)
  text = _ANY_SIGN.sub(lambda m: _SIGNS[m[0]], text)
  for pattern, (spelt, table) in _RUN.items():
    text = pattern.sub(
      lambda m, s=spelt, t=table: s.format(''.join(t[c] for c in m[0])), text
    )
  text = _GREEK.sub(lambda m: _greek(m[0]), text)
  text = unicodedata.normalize('NFKC', text)
  text = ''.join(map(_digit, text))
  return _ROOT.sub(_root, text)


def _fraction(sign):
  top, _, bottom = unicodedata.normalize('NFKC', sign).partition('⁄')
  return rf'\frac{{{top}}}{{{bottom}}}'


def _greek(letter):
  if letter in _GREEK_NAMES:
    return _GREEK_NAMES[letter]
  name = unicodedata.name(letter).split()[-1].lower()
  name = _GREEK_NAMES.get(name, name)
  return f'\\{name.capitalize() if letter.isupper() else name} '


def _digit(sign):
  """Replaces a digit of any script by an ASCII digit."""
  value = unicodedata.decimal(sign, None)
  return sign if value is None else str(value)


def _root(match):
  under = match[2].strip('{}')
  under = under[1:-1] if under[:1] == '(' else under
  return rf'\sqrt{_DEGREE[match[1]]}{{{under}}}'
