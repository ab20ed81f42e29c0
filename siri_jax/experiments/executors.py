"""Executors of an ablation's runs: this machine, or submitit.

An executor takes attempts and yields (run, exit status) when one ends, and
(None, None) about once a second otherwise. Closing it makes the others save and
stop. A run that could not be started has the status None; its log has the
reason.
"""

import collections
import dataclasses
import os
import pathlib
import subprocess
import sys
import time

from siri_jax.experiments import grid
from siri_jax.runtime import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN_GB = 1.5  # Memory of a run on a CPU: the quickstart's peak is 1.0 GB.
LOOK_SECS = 1.0


@dataclasses.dataclass
class Attempt:
  """One process of a run; submitit copies it to another machine and back.

  Attributes:
    run: grid.Run.
    log: path of the file to which its output is appended.
    env: its additional environment variables.
    cores: numbers of the cores that it is bound to; empty: not bound.
  """

  run: grid.Run
  log: pathlib.Path
  env: dict = dataclasses.field(default_factory=dict)
  cores: tuple = ()
  process: object = None

  def start(self):
    """Starts the process, and returns this attempt."""
    self.log.parent.mkdir(parents=True, exist_ok=True)
    paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
    path = os.pathsep.join(filter(None, paths))
    with open(self.log, 'ab') as log:
      self.process = subprocess.Popen(
        [sys.executable, '-m', 'siri_jax.main', *self.run.arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, 'PYTHONPATH': path, **self.env},
        # Ctrl-C must not reach it directly: the parent forwards it once, and
        # a second one would end it without a save.
        start_new_session=True,
      )
    if self.cores:
      os.sched_setaffinity(self.process.pid, self.cores)
    return self

  def stop(self):
    """Makes the run save and stop, and waits for it."""
    if self.process.poll() is None:
      self.process.terminate()
    return self.process.wait()

  def __call__(self):
    """Called by submitit: runs to the end and returns the exit status."""
    return self.start().process.wait()

  def checkpoint(self):
    """Called by submitit before a job's time limit: queues it again."""
    import submitit

    self.stop()
    return submitit.helpers.DelayedSubmission(Attempt(self.run, self.log))


def here(attempts, *, jobs=0):
  """Runs attempts on this machine, each on its own cores or GPUs.

  Args:
    attempts: list of Attempt.
    jobs: most at a time; 0: as many as fit on the machine.
  """
  shared = shares(attempts[0].run.config, jobs) if attempts else ()
  free = collections.deque(shared)
  waiting, active = collections.deque(attempts), []
  try:
    while waiting or active:
      while waiting and free:
        attempt = waiting.popleft()
        attempt.env, attempt.cores = share = free.popleft()
        active.append((attempt.start(), share))
      for entry in [e for e in active if e[0].process.poll() is not None]:
        active.remove(entry)
        free.append(entry[1])
        yield entry[0].run, entry[0].process.returncode
      yield None, None
      time.sleep(LOOK_SECS)
  finally:
    for attempt, _ in active:
      attempt.process.terminate()
    for attempt, _ in active:
      attempt.process.wait()


def submitted(attempts, *, cluster, folder, partition, gpus, cpus, hours):
  """Runs attempts as jobs of a cluster through submitit.

  Args:
    attempts: list of Attempt.
    cluster: 'slurm'; 'local' or 'debug' need no cluster.
    folder: folder of submitit's own files, which it pickles.
    partition: Slurm's partition, '' for the default.
    gpus: GPUs of a job; a job is a run on one node.
    cpus: CPUs of a job.
    hours: time limit of a job; a run that needs more is queued again.
  """
  import submitit  # Here, because it is slow and rarely used.

  if not attempts:
    return
  executor = submitit.AutoExecutor(folder, cluster=cluster)
  executor.update_parameters(
    name='siri_jax',
    timeout_min=max(1, round(60 * hours)),
    gpus_per_node=gpus,
    cpus_per_task=cpus,
    slurm_array_parallelism=len(attempts),
    # Slurm signals the job this long before its limit, so that the run can
    # save.
    slurm_signal_delay_s=round(attempts[0].run.config.limits_kw.stop_secs) + 20,
    **({'slurm_partition': partition} if partition else {}),
  )
  with executor.batch():
    jobs = [executor.submit(attempt) for attempt in attempts]
  active = list(zip(attempts, jobs, strict=True))
  try:
    while active:
      for entry in [e for e in active if e[1].done()]:
        active.remove(entry)
        yield entry[0].run, _status(*entry)
      yield None, None
      time.sleep(LOOK_SECS)
  finally:
    for _, job in active:
      job.cancel()


def _status(attempt, job):
  """A job's exit status; None, with the reason in its log, without one."""
  error = job.exception()
  if error is None:
    return job.result()
  with open(attempt.log, 'a') as log:
    log.write(f'{" ".join(str(error).split())[-2000:]}\n')
  return None


def shares(config, jobs):
  """(environment, cores) for each run that fits on this machine."""
  gpus = _gpus()
  if gpus:
    need = config.mesh_kw.data * config.mesh_kw.fsdp * config.mesh_kw.tensor
    count = min(jobs or len(gpus), len(gpus) // need) or 1
    parts = [gpus[i * need : (i + 1) * need] for i in range(count)]
    return [({'CUDA_VISIBLE_DEVICES': ','.join(part)}, ()) for part in parts]
  if not hasattr(os, 'sched_getaffinity'):  # macOS binds no process to cores.
    return [({}, ())] * (jobs or _room(os.cpu_count()))
  cores = machine.cores()
  count = jobs or _room(len(cores))
  parts = [tuple(cores[i::count]) for i in range(min(count, len(cores)))]
  return [({}, parts[i % len(parts)]) for i in range(count)]


def _room(cores):
  """Number of runs that fit in the free memory, at most `cores`."""
  return max(1, min(cores, int(machine.free_bytes() / (RUN_GB * 1e9))))


def _gpus():
  """Numbers of the visible NVIDIA GPUs, as text."""
  if 'CUDA_VISIBLE_DEVICES' in os.environ:
    return [n for n in os.environ['CUDA_VISIBLE_DEVICES'].split(',') if n]
  try:
    listed = subprocess.run(
      ['nvidia-smi', '-L'], capture_output=True, text=True, timeout=60
    )
  except (OSError, subprocess.TimeoutExpired):
    return []
  lines = listed.stdout.splitlines() if not listed.returncode else []
  return [str(i) for i, line in enumerate(lines) if line.startswith('GPU ')]
