"""Makes one of the checkout's virtual environments unless it is up to date.

python tools/environment.py .venv requirements-cpu.txt

Uses only the standard library, because it runs before anything is installed.
The stamp file, written last, holds the Python version and the digest of the
requirements. If either has changed, the environment is made again. pip writes
to .venv.log; the terminal shows how many packages were fetched.
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
  """The version of an interpreter, such as '3.12'; '' if it does not run."""
  ask = 'import sys; print("%d.%d" % sys.version_info[:2])'
  try:
    answer = subprocess.run(
      [python, '-I', '-c', ask], capture_output=True, text=True, check=False
    )
  except OSError:
    return ''
  return answer.stdout.strip()


def files_of(requirements):
  """The path of a requirements file, and of the files that it includes."""
  path = pathlib.Path(requirements)
  inner = re.findall(r'^-r (\S+)$', path.read_text(), re.MULTILINE)
  return [path, *(f for name in inner for f in files_of(path.parent / name))]


def stamp_of(folder, requirements):
  """The content of the stamp file of a complete, up-to-date environment."""
  text = b''.join(path.read_bytes() for path in files_of(requirements))
  version = version_of(folder / 'bin/python')
  return f'Python {version}\n{hashlib.sha256(text).hexdigest()}\n'


def lock_up(lock):
  """Takes the lock; prints a line if it has to wait."""
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    say('Waiting: another call is making the same environment.')
    fcntl.flock(lock, fcntl.LOCK_EX)


def run_logged(arguments, log, lock):
  """Runs a command with its output in the log; returns its exit status.

  Shows the number of packages fetched: one updated line on a terminal, else a
  line for every 20.
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
    drawn = False  # Whether the updated line needs a line break.
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
        elif fetched and line.startswith('Installing collected packages'):
          start = '\r' if living else ''
          say(f'{start}  {fetched} packages fetched; installing them')
          drawn = False
    finally:
      if drawn:
        say('')
  return process.returncode


def make(folder, requirements, lock):
  """Makes the environment; returns the exit status of the last command."""
  say(
    f'Making {folder} with Python {sys.version.split()[0]} and the packages '
    f'of {requirements}.\nThis takes a few minutes, once.'
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
    # -I: packages on PYTHONPATH must not count as installed. A child of a
    # killed call keeps the lock, so that no other call builds at the same time.
    arguments = [folder / 'bin/python', '-I', '-m', *command]
    if status := run_logged(arguments, log, lock):
      lines = log.read_text(errors='replace').splitlines()
      say('\n'.join(lines[-TAIL:]))
      say(f'{command[0]} failed; its log is {log}. The next call tries again.')
      return status
  (folder / STAMP).write_text(stamp_of(folder, requirements))
  say(f'{folder} is ready.')
  return 0


def main(folder, requirements):
  """Makes the environment if needed; returns the exit status."""
  folder = pathlib.Path(folder)
  with open(f'{folder}.lock', 'w') as lock:
    lock_up(lock)
    stamp = folder / STAMP
    if folder.exists() and not stamp.exists():
      return f'{folder} was not made by this command; move or delete it.'
    if stamp.exists() and stamp.read_text() == stamp_of(folder, requirements):
      say(f'{folder} is up to date.')
      return 0
    return make(folder, requirements, lock)


if __name__ == '__main__':
  try:
    sys.exit(main(*sys.argv[1:]))
  except KeyboardInterrupt:
    sys.exit('Interrupted. The next call tries again.')
