"""Makes one of the checkout's virtual environments, or finds it ready.

python tools/environment.py .venv requirements-cpu.txt

Uses the standard library alone: it runs before anything is installed. The stamp
file, written last, holds the Python version and the digest of the requirements.
If they differ from today's, the environment is made again. pip writes to a log
file, .venv.log; the terminal shows how many packages were fetched.
"""

import fcntl
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import venv

STAMP = 'made-of.txt'
TAIL = 20  # Lines of pip's log that are shown when it fails.


def say(text):
  print(text, flush=True)


def version_of(python):
  """Such as '3.12', or '' where that interpreter does not run."""
  ask = 'import sys; print("%d.%d" % sys.version_info[:2])'
  try:
    answer = subprocess.run(
      [python, '-I', '-c', ask], capture_output=True, text=True, check=False
    )
  except OSError:
    return ''
  return answer.stdout.strip()


def files_of(requirements):
  """The path of a file of requirements, and of those that it takes in."""
  path = pathlib.Path(requirements)
  inner = re.findall(r'^-r (\S+)$', path.read_text(), re.MULTILINE)
  return [path, *(f for name in inner for f in files_of(path.parent / name))]


def stamp_of(folder, requirements):
  """What the stamp says if the environment is finished and up to date."""
  text = b''.join(path.read_bytes() for path in files_of(requirements))
  version = version_of(folder / 'bin/python')
  return f'Python {version}\n{hashlib.sha256(text).hexdigest()}\n'


def lock_up(lock):
  """Takes the lock, saying so where it has to wait."""
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    say('Waiting: another call is making the same environment.')
    fcntl.flock(lock, fcntl.LOCK_EX)


def run_logged(arguments, log, lock):
  """Runs a command, its output in the log; returns its exit status.

  Shows the packages fetched so far: one living line on a terminal, else a line
  for every 20.
  """
  fetched, living = 0, sys.stdout.isatty()
  with (
    open(log, 'a') as file,
    subprocess.Popen(
      arguments,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      pass_fds=[lock.fileno()],
    ) as process,
  ):
    drawn = False  # Whether a living line is to be ended.
    try:
      for line in process.stdout:
        file.write(line)
        file.flush()
        if line.startswith('Collecting '):
          fetched += 1
          if living:
            print(f'\r  {fetched} packages fetched', end='', flush=True)
            drawn = True
          elif fetched % 20 == 0:
            say(f'  {fetched} packages fetched')
        elif line.startswith('Installing collected packages'):
          start = '\r' if living else ''
          say(f'{start}  {fetched} packages fetched; installing them')
          drawn = False
    finally:
      if drawn:
        say('')
  return process.returncode


def make(folder, requirements, lock):
  """Makes the environment; returns the exit status of what was run."""
  say(
    f'Making {folder} with Python {sys.version.split()[0]} and the packages '
    f'of {requirements}: a few minutes, this once.'
  )
  if folder.exists():
    shutil.rmtree(folder)
  folder.mkdir()
  (folder / STAMP).write_text('unfinished\n')
  log = pathlib.Path(f'{folder}.log')
  log.write_text('')
  venv.create(folder, symlinks=True)
  for command in (
    ['ensurepip', '--default-pip'],
    ['pip', 'install', '--no-input', '-r', requirements],
  ):
    # -I: packages on a PYTHONPATH must not pass for installed ones. An
    # orphan of a killed call keeps the lock, so that nobody builds beside it.
    arguments = [folder / 'bin/python', '-I', '-m', *command]
    if status := run_logged(arguments, log, lock):
      lines = log.read_text(errors='replace').splitlines()
      say('\n'.join(lines[-TAIL:]))
      say(f'{command[0]} failed; its log is {log}. The next call starts over.')
      return status
  (folder / STAMP).write_text(stamp_of(folder, requirements))
  say(f'{folder} is ready.')
  return 0


def main(folder, requirements):
  """Leaves the environment ready; returns the exit status."""
  folder = pathlib.Path(folder)
  with open(f'{folder}.lock', 'w') as lock:
    lock_up(lock)
    stamp = folder / STAMP
    if folder.exists() and not stamp.exists():
      return f'{folder} was not made by this command: move it out of the way.'
    if stamp.exists() and stamp.read_text() == stamp_of(folder, requirements):
      say(f'{folder} is ready, from an earlier call.')
      return 0
    return make(folder, requirements, lock)


if __name__ == '__main__':
  try:
    sys.exit(main(*sys.argv[1:]))
  except KeyboardInterrupt:
    sys.exit('Interrupted. The next call starts over.')
