r"""Removes units, money and nouns: 5 cm, \$5, 5元 and 5 apples become 5.

If both units are known, they must be the same. A noun that is not in the tables
is ignored, because the problem fixes the counted thing. Nothing is converted.
"""

import functools
import re

LONGEST = 300  # Characters of an answer with a unit.
# The spellings of each unit, by name: words first, then symbols.
_UNITS = {
  'mm': 'millimet(?:er|re)s? mm 毫米',
  'cm': 'centimet(?:er|re)s? cms? 厘米',
  'dm': 'decimet(?:er|re)s? dm 分米',
  'm': 'met(?:er|re)s? m 米',
  'km': 'kilomet(?:er|re)s? kms? 千米 公里',
  'inch': 'inch inches in',
  'foot': 'foot feet ft',
  'yard': 'yards? yds?',
  'mile': 'miles? mi',
  'mg': 'milligrams? mg 毫克',
  'g': 'grams? gm g 克',
  'kg': 'kilograms? kilos? kgs? 千克 公斤',
  'ton': 'tons? tonnes? 吨',
  'ounce': 'ounces? oz',
  'pound': 'pounds? lbs?',
  'litre': 'lit(?:er|re)s? L l 升',
  'ml': 'millilit(?:er|re)s? mL ml 毫升',
  'gallon': 'gallons? gal',
  'quart': 'quarts? qts?',
  'cup': 'cups?',
  'second': 'seconds? secs? s 秒',
  'minute': 'minutes? mins? 分钟',
  'hour': 'hours? hrs? h 小时',
  'day': 'days? 天',
  'week': 'weeks? 周',
  'month': 'months? 个月',
  'year': 'years? yrs? 年',
  'mph': 'mph',
  'kph': 'kph kmph',
  'dollar': 'dollars? bucks? USD 美元',
  'cent': 'cents?',
  'euro': 'euros? EUR 欧元',
  'yuan': 'yuan RMB CNY 元',
  'yen': 'yen JPY 円',
  'rupee': 'rupees? Rs INR',
  'degree': 'degrees? degs? 度',
  'radian': 'radians? rad',
  'percent': 'percent per\\s?cent percentage pct',
  'acre': 'acres?',
  'hectare': 'hectares? ha',
  'watt': 'watts? W',
  'joule': 'joules? J',
  'newton': 'newtons? N',
  'hertz': 'hertz Hz',
  'volt': 'volts? V',
  'ampere': 'amperes? amps? A',
  'ohm': 'ohms?',
  'unit': 'units?',
  '': '个 只 本 人 种 条 张 次 件 名 岁 支 辆 棵 块 头 页 組 通り 個 개 명 원',
}
_NAMES = {
  re.compile(way): name for name, ways in _UNITS.items() for way in ways.split()
}
_WAYS = [way for ways in _UNITS.values() for way in ways.split()]
_ANY_NAME = '|'.join(sorted(_WAYS, key=len, reverse=True))
_SIGNS = {
  **{'\\$': 'dollar', '$': 'dollar', '€': 'euro', '£': '£', '₹': 'rupee'},
  **{'¢': 'cent', '¥': ''},
}
_BEFORE = re.compile(
  r'^\s*([-+]?)\s*((?:US|HK|CA|AU|NZ|[CA])?\\?\$|[€£¥₹]'
  r'|(?:Rs\.?|USD|EUR|GBP|CNY|RMB|INR)(?=[\s\d]))'
  r'\s*(?=[-+]?\s*[\d.\\(])'
)
_POWER = r'(?:\s*(?:\^\s*\{?\s*[23]\s*\}?))'
_TEXT = (
  r'\\(?:text(?:rm|bf|it|up|normal)?|math(?:rm|bf|it)|mbox|hbox|operatorname)'
)
_GAP = r'(?:\s|~|\\[ ,;:!]|\\q?quad(?![a-z])|\{\})*'
# The text before a unit ends in a number, bracket, command or letter.
_VALUE = r'(?P<value>.*?(?:[\d)}\]!.]|\\[a-zA-Z]+|[a-zA-Z](?=\s|\\|~)))'
_BOXED = re.compile(
  rf'{_VALUE}(?P<unit>(?:{_GAP}(?:{_TEXT}\s*\{{[^{{}}$]*\}}{_POWER}?|[/·]'
  rf'|\\cdot(?![a-z])))+)\s*',
  re.DOTALL,
)
_BARE = re.compile(
  rf'(?P<value>.*?(?:[\d)}}\]!.]))(?P<unit>{_GAP}'
  rf'(?:(?:(?:square|cubic|sq\.?|cu\.?)\s+|平方|立方)?(?:{_ANY_NAME})\.?{_POWER}?'
  rf'(?:\s*(?:/|per\b)\s*(?:{_ANY_NAME})\.?{_POWER}?)?'
  r'|(?<=\s)[a-z]{3,}(?:\s+[a-z]+){0,3}))\s*',
  re.DOTALL,
)
_MARK = re.compile(
  r'(?P<value>.*[\d)}\]a-zA-Z])\s*(?P<unit>\\?%|\^\s*\{?\s*\\circ\s*\}?'
  r'(?:\s*(?:\\text\s*\{\s*[CF]\s*\}|[CF]))?|\\degree|\\\$|[$€£¥₹¢])\s*',
  re.DOTALL,
)
# Words that change the meaning of the number before them.
_SAYS_MORE = re.compile(
  r'\b(?:and|or|more|less|least|most|not|no|none|fewer|than|above|below|over'
  r'|under|up|factorial|squared|cubed|plus|minus|times|half|halves|thirds?'
  r'|quarters?|tenths?|hundredths?|dozens?|hundreds?|thousands?|millions?'
  r'|billions?|trillions?|mod|modulo|if|when|for|where|with|except|but|is|are'
  r'|base|power|root|score|of|to|from|between|through|a\.?m|p\.?m|am|pm|noon'
  r'|clock|by|choose|pairs?|otherwise|all|any|every|each|some|where|as|until'
  r'|sin|cos|tan|log|ln|approx\w*|about|roughly|nearly|almost|around|even|odd'
  r'|prime|positive|negative|only)\b|[=<>\d,;:]',
  re.IGNORECASE,
)
_NUMBER = re.compile(r'[-+]?[\d.,]+')
_DOLLARS_AND_CENTS = re.compile(
  rf'\\?\$?\s*(\d+)\s*(?:{_TEXT}\{{)?\s*dollars?\s*(?:,|and)*\s*\}}?'
  rf'\s*(\d\d?)\s*(?:{_TEXT}\{{)?\s*cents?\s*\}}?'
)
_SHORT = re.compile(r'[a-zA-Z]{1,2}$')
_SQUARED = re.compile(
  r'(?:(?:square|sq\.?)\s+|平方)(\S+)|(\S+?)\s*(?:\^\s*\{?\s*2\s*\}?|squared)'
)
_CUBED = re.compile(
  r'(?:(?:cubic|cu\.?)\s+|立方)(\S+)|(\S+?)\s*(?:\^\s*\{?\s*3\s*\}?|cubed)'
)


@functools.lru_cache(4096)
def split(answer):
  """(value, unit) of an answer; the unit is '' if missing or unknown."""
  if _NUMBER.fullmatch(answer) or len(answer) > LONGEST:
    return answer, ''
  if both := _DOLLARS_AND_CENTS.fullmatch(answer):
    return f'{both[1]}.{int(both[2]):02}', 'dollar'
  if found := _BEFORE.match(answer):
    value, unit = _split_after(found[1] + answer[found.end() :])
    return value, unit or _SIGNS.get(found[2]) or _part(found[2])
  value, unit = _split_after(answer)
  # A value with two units is another kind of answer.
  return (answer, '') if _split_after(value)[0] != value else (value, unit)


def _split_after(answer):
  """As `split`, for an answer without a currency sign before it."""
  if mark := _MARK.fullmatch(answer):
    return mark['value'], _mark(mark['unit'])
  found = _BOXED.fullmatch(answer) or _BARE.fullmatch(answer)
  if not found or not _is_unit(found['value'], found['unit']):
    return answer, ''
  return found['value'], _name(found['unit'])


def differ(one, other):
  """Whether two units are both known and different."""
  return bool(one and other and one != other)


def _mark(sign):
  if '%' in sign:
    return 'percent'
  if 'circ' in sign or 'degree' in sign:
    scale = re.search('[CF]', sign)
    return f'degree {scale[0]}' if scale else 'degree'
  return _SIGNS[sign]


def _words(unit):
  unit = re.sub(rf'{_TEXT}\s*\{{([^{{}}]*)\}}', r'\1', unit)
  unit = re.sub(r'\\[ ,;:!]|~|\\q?quad|\\cdot|·|\{\}', ' ', unit)
  return ' '.join(unit.split()).strip('.- ')


def _is_unit(value, unit):
  words = _words(unit)
  if not words or _SAYS_MORE.search(re.sub(_POWER, '', words)):
    return False
  bare = '\\' not in unit
  # 5 m and x = 5 m have units; 5m and 2x m are products of letters.
  if bare and _SHORT.fullmatch(words):
    return bool(re.search(r'(?:^|=)\s*[-+]?[\d.,]*\d$', value)) and (
      len(words) > 1 or not unit.startswith(words)
    )
  return True


@functools.lru_cache(1024)
def _name(unit):
  """The name of a unit, '' if a part of it is unknown."""
  words = re.sub(r'\s+per\s+', '/', _words(unit))
  parts = [_part(part.strip()) for part in re.split(r'\s*/\s*', words)]
  if parts in (['mile', 'hour'], ['km', 'hour']):
    return {'mile': 'mph', 'km': 'kph'}[parts[0]]
  return '/'.join(parts) if all(parts) else ''


def _part(word):
  for pattern, power in ((_SQUARED, '^2'), (_CUBED, '^3')):
    found = pattern.fullmatch(word)
    if found:
      base = _part(found[1] or found[2])
      return base and base + power
  word = word.strip('.')
  for spelt in (word, word.lower()):
    for pattern, name in _NAMES.items():
      if pattern.fullmatch(spelt):
        return name
  return ''
