"""A grading worker: python -m siri_jax.grading.worker. JSON lines in and out.

The first line in says what it is to be: {"rule", "rule_kw", "secs",
"memory_gb"}; "ready" is the answer. Every further line is a list of [gold,
text, settings], answered by one line for each, [correct, extracted, why], as
soon as it is graded, so that whoever reads knows which one takes too long.

It ends with its input. It kills itself, should the parent be gone, when an
answer overruns by GRACE_SECS: an alarm without a handler ends computations in
C too, which no Python code would.

An answer is a stranger's text: whatever Python it might get to run finds no
network, writes no file, starts no program and ends no other process.
"""

import json
import logging
import os
import resource
import signal
import sys
import warnings

from siri_jax import plugins

GRACE_SECS = 2.0
# Audit events that a grader has no use for, by how they begin; but for these.
REFUSED = ('os.', 'shutil.', 'socket.', 'subprocess.')
HARMLESS = ('os.listdir', 'os.scandir', 'os.putenv', 'os.unsetenv')
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def main():
  replies = _reply_alone()
  setup = json.loads(sys.stdin.buffer.readline())
  _limit(setup['memory_gb'])
  rule = plugins.find('grading_rule', setup['rule'], setup['rule_kw'])
  try:
    rule('1 + x', '<think></think>\\boxed{x + 1}')  # Imports sympy.
  except Exception as error:  # Whatever the rule makes of its settings.
    _reply(replies, json.dumps(repr(error)))
    return
  sys.addaudithook(_confine)  # For good: no code can take it away again.
  _reply(replies, '"ready"')
  for line in sys.stdin.buffer:
    for gold, text, settings in json.loads(line):
      signal.setitimer(signal.ITIMER_REAL, setup['secs'] + GRACE_SECS)
      _reply(replies, _grade(rule, gold, text, settings))
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _reply_alone():
  """The way to the parent, with what libraries print turned away from it."""
  logging.disable(logging.CRITICAL)
  warnings.simplefilter('ignore')
  replies = os.fdopen(os.dup(sys.stdout.fileno()), 'wb', buffering=0)
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  return replies


def _limit(memory_gb):
  size = int(memory_gb * 2**30)
  resource.setrlimit(resource.RLIMIT_AS, (size, size))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _confine(event, arguments):
  """Refuses what no grading needs, before it happens."""
  if event == 'open':
    refused = arguments[2] & WRITING
  elif event in ('os.kill', 'os.killpg'):
    refused = arguments[0] != os.getpid()
  else:
    refused = event.startswith(REFUSED) and event not in HARMLESS
  if refused:
    raise PermissionError(f'{event} in a grading worker')


def _grade(rule, gold, text, settings):
  """The reply to one answer, whatever the rule and what is below it raise."""
  try:
    verdict = rule(gold, text, **(settings or {}))
    return json.dumps([verdict.correct, verdict.extracted, verdict.why])
  except Exception as error:
    return json.dumps([False, '', f'failed: {type(error).__name__}'])


def _reply(replies, line):
  replies.write(line.encode() + b'\n')


if __name__ == '__main__':
  main()
