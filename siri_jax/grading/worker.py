"""A grading worker: python -m siri_jax.grading.worker. JSON lines in and out.

The first input line is the setup: {"rule", "rule_kw", "secs", "memory_gb"}. The
worker replies "ready". Every further line is a list of [gold, text, settings].
The worker replies one line for each, [correct, extracted, why], as soon as it
is graded. So the parent knows which answer takes too long.

The worker exits at the end of its input. If an answer exceeds its time limit by
GRACE_SECS, an alarm kills the worker, even without a parent. The alarm has no
handler, so it also ends computations in C.

An answer is untrusted text. Python code that it might run can use no network,
write no file, start no program and end no other process.
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
# Prefixes of refused audit events, and the exceptions.
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
  except Exception as error:  # A rule may raise any type on its settings.
    _reply(replies, json.dumps(repr(error)))
    return
  sys.addaudithook(_confine)  # Permanent: no Python code can remove it.
  _reply(replies, '"ready"')
  for line in sys.stdin.buffer:
    for gold, text, settings in json.loads(line):
      signal.setitimer(signal.ITIMER_REAL, setup['secs'] + GRACE_SECS)
      _reply(replies, _grade(rule, gold, text, settings))
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _reply_alone():
  """Opens the output to the parent; libraries print to stderr instead."""
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
  """Refuses operations that grading does not need, before they run."""
  if event == 'open':
    refused = arguments[2] & WRITING
  elif event in ('os.kill', 'os.killpg'):
    refused = arguments[0] != os.getpid()
  else:
    refused = event.startswith(REFUSED) and event not in HARMLESS
  if refused:
    raise PermissionError(f'{event} is not allowed in a grading worker')


def _grade(rule, gold, text, settings):
  """The reply to one answer; if the rule raises, the answer is wrong."""
  try:
    verdict = rule(gold, text, **(settings or {}))
    return json.dumps([verdict.correct, verdict.extracted, verdict.why])
  except Exception as error:
    return json.dumps([False, '', f'failed: {type(error).__name__}'])


def _reply(replies, line):
  replies.write(line.encode() + b'\n')


if __name__ == '__main__':
  main()
