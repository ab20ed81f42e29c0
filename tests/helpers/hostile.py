"""A grading rule that harms its process as its response asks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

from siri_jax.grading import pool
from siri_jax.grading.verdict import Verdict


def graders(**changes):
  """A context with processes of this rule."""
  settings = dict(workers=1, secs=1.0, memory_gb=1.0) | changes
  return pool.GraderPool('hostile:rule', dict(mode='told'), **settings)


def rule(gold, response, *, mode):
  match response:
    case 'hang in Python':
      while True:
        pass
    case 'hang in C':
      9**9**9
    case 'wait':
      time.sleep(0.5)
    case 'stop':
      os.kill(os.getpid(), signal.SIGSTOP)
    case 'exit':
      os._exit(0)
    case 'leave':
      sys.exit()
    case 'crash':
      os.kill(os.getpid(), signal.SIGSEGV)
    case 'raise':
      raise KeyError(gold)
    case 'recurse':
      rule(gold, response, mode=mode)
      return None
    case 'nothing':
      return None
    case 'eat':
      bytearray(2**40)
    case 'print':
      print('["noise"]', flush=True)
      os.write(1, b'more noise')
    case 'call a host':
      socket.create_connection(('127.0.0.1', 9))
    case 'write a file':
      open('left', 'w').close()
    case 'start a program':
      subprocess.run(['true'])
    case 'end its parent':
      os.kill(os.getppid(), signal.SIGTERM)
    case 'tell':
      seen = dict(jax='jax' in sys.modules, environ=sorted(os.environ))
      return Verdict(True, json.dumps(seen), 'told')
  return Verdict(gold == response, response, mode)
