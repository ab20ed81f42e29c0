"""Runs a server and ends all of its processes with the process above.

  python siri_jax/rollout/guard.py COMMAND...

Its input is a pipe, which closes when the process that holds the other end is
gone, even by KILL. Then the server gets TERM, and KILL after STOP_SECS. It
leads the process group of the server. When the server has ended, it kills what
is left of the group, itself included.
"""

import os
import signal
import subprocess
import sys
import threading

STOP_SECS = 20.0  # From TERM to KILL.


def main(words):
  """Runs the command in this process's group, which must be its own."""
  server = subprocess.Popen(words, stdin=subprocess.DEVNULL)

  def end(*_):
    server.terminate()
    killer = threading.Timer(STOP_SECS, kill)
    killer.daemon = True
    killer.start()

  def watch():
    sys.stdin.buffer.read()
    end()

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end)
  threading.Thread(target=watch, daemon=True).start()
  status = server.wait()
  print(f'the server ended with status {status}', flush=True)
  kill()


def kill():
  """Ends all processes of the group."""
  os.killpg(0, signal.SIGKILL)


if __name__ == '__main__':
  main(sys.argv[1:])
