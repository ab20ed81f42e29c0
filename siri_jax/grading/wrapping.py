r"""Removes the wrapping of an answer: bold, colour, dollars, 'the answer is'.

Works on text only; the rest of the answer does not change.
"""

import functools
import re

_FONTS = (
  r'(?:text(?:bf|it|rm|sf|sc|tt|normal|up)?|math(?:bf|it|rm|sf|tt|normal|strut)'
  r'|bm|boldsymbol|mbox|hbox|emph|underline|operatorname|ensuremath)'
)
_SIZES = (
  r'(?:(?:display|text|script)style|tiny|small|normalsize|[lL]arge|LARGE|[hH]uge'
  r'|bf|rm|it|bfseries|itshape|centering|limits|nolimits|strut|mathstrut'
  r'|noindent|hfill|hfil|par|newline|null|allowbreak|nobreak)'
)
_FRAMES = (
  r'(?:equation|align|aligned|gather|gathered|split|center|math|displaymath)'
)
_INNER = r'[^{}]*'
for _ in range(6):  # Braces within braces.
  _INNER = rf'[^{{}}]*(?:\{{{_INNER}\}}[^{{}}]*)*'
_WORDS = (
  # English, Chinese, Japanese, Korean, German, French, Spanish, Portuguese,
  # Italian, Dutch, Russian.
  r'(?:(?:so|thus|hence|therefore|and)\b,?\s*)?'
  r'(?:(?:the|our|my|its)\s+)?(?:(?:final|correct|right)\s+)?'
  r'(?:answers?|solutions?|results?|values?)\s*(?:(?:is|are)\b\s*:?|:|=)'
  r'|(?:最终|最後|最后|正确|所以|故|因此|的|本题){0,3}(?:答案|答|结果|結果|解)'
  r'\s*(?:(?:是|为|為)\s*[:：]?|[:：])'
  r'|(?:最終的な)?(?:答え|解答|答)\s*(?:は|[:：])'
  r'|(?:최종\s*)?(?:정답|답)\s*(?:은|는|[:：])'
  r'|(?:die\s+)?(?:endgültige\s+|richtige\s+)?(?:antwort|lösung)\s*'
  r'(?:(?:ist|lautet)\b\s*:?|:)'
  r'|(?:la\s+)?(?:réponse|reponse|solution)\s*(?:finale\s*)?(?:est\b\s*:?|:)'
  r'|(?:la\s+)?(?:respuesta|solución)\s*(?:final\s*)?(?:es\b\s*:?|:)'
  r'|(?:a\s+)?(?:resposta|solução)\s*(?:final\s*)?(?:é\b\s*:?|:)'
  r'|(?:la\s+)?(?:risposta|soluzione)\s*(?:finale\s*)?(?:è\b\s*:?|:)'
  r'|(?:het\s+)?(?:antwoord)\s*(?:is\b\s*:?|:)'
  r'|(?:окончательный\s+)?ответ\s*:?'
)
_STATEMENT = r'(?![^{}]*\b(?:not|no|never)\b)'
_SAYS = re.compile(
  rf'^\s*(?:\\text\s*\{{\s*(?:{_WORDS})\s*\}}|(?:{_WORDS})'
  # Any sentence before the value.
  rf'|\\text\s*\{{{_STATEMENT}[^{{}}]*(?:\b(?:is|are|equals)|[:=])\s*\}}'
  r'|[a-z][a-z ]{3,60}\s(?:is|are|equals)\b:?(?=\s*[-\d$]))\s*',
  re.IGNORECASE,
)
# Applied in order, repeatedly until nothing changes.
_REWRITES = [
  (re.compile(pattern, re.DOTALL), spelt)
  for pattern, spelt in (
    # A command with a doubled backslash.
    (
      r'(?<!\\)\\\\(?=(?:[dt]?frac|sqrt|pi|cdot|left|right|text|infty)(?![a-z]))',
      r'\\',
    ),
    (r'(?<!\\)\\(?:phantom|hspace|vspace|label|tag)\*?\s*\{[^{}]*\}', ''),
    (r'\\phantom(?![a-z])|\\(?:left|right)\s*\.', ''),
    (rf'\\{_SIZES}(?![a-zA-Z])', ''),
    (r'\\(?:textcolor|colorbox)\s*(?:\[\w+\])?\s*\{[^{}]*\}', ''),
    (r'\\fcolorbox\s*\{[^{}]*\}\s*\{[^{}]*\}', ''),
    (r'\\color\s*(?:\[\w+\])?\s*\{[^{}]*\}', ''),
    (rf'\\begin\s*\{{{_FRAMES}\*?\}}(.*)\\end\s*\{{{_FRAMES}\*?\}}', r'\1'),
    (r'(?<!\\)\\[\[\]()]', ' '),
    (r'\\\\\[\d+(?:\.\d+)?\s*[a-z]{2}\]', r'\\\\'),
    (r'(?<!\\)\$\$', ' '),
    (r'(?<!\\)\$([^$]+)(?<!\\)\$', r' \1 '),
    (r'^([^$]*[^\\$])\$\s*$', r'\1'),
    (r'\*\*(.+?)\*\*', r'\1'),
    (r'^\s*(?:__(.+)__|`(.+)`)\s*$', r'\1\2'),
    (r'^\s*"([^"]*)"\s*$', r'\1'),
    (rf'^\s*\\(?:boxed|fbox|{_FONTS})\s*\{{({_INNER})\}}\s*$', r'\1'),
    (rf'^\s*\{{({_INNER})\}}\s*$', r'\1'),
    (r'^\s*[=:]\s*', ''),
    # Line ends, full stops, commas and white space.
    (r'(?:\\\\|(?<!\\)\\[ ,;:!]|~|\\q?quad|\\$|\s|(?<!\.)\.(?!\.)|[,;])+$', ''),
    (r'^(?:(?<!\\)\\[ ,;:!]|~|\\q?quad(?![a-z])|\\\\|\s)+', ''),
    (r'(?:です|입니다|이다|だ)$', ''),
  )
]
_PLAIN = re.compile(r'[-\d]\d*')
_MOST = 8  # Most layers of wrapping.


@functools.lru_cache(4096)
def unwrap(answer):
  r"""Removes wrapping: \textbf{5}. and 'the answer is 5' become 5."""
  if _PLAIN.fullmatch(answer):
    return answer
  for _ in range(_MOST):
    before = answer
    for pattern, spelt in _REWRITES:
      answer = pattern.sub(spelt, answer)
    answer = _SAYS.sub('', answer)
    if answer == before:
      break
  return answer
