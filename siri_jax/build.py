"""Opening of a run: policy, engine, graders, and the state to resume from."""

import contextlib
import functools
import pathlib

import jax

from siri_jax import compiled, kernels, plugins, policy
from siri_jax.config import memory
from siri_jax.config import plan as plans
from siri_jax.config import recipe as recipes
from siri_jax.context import Context, TrainContext
from siri_jax.data import hub_names, load, shuffling
from siri_jax.grading import pool
from siri_jax.models import sharding
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import initial
from siri_jax.rollout import engines, rewarded, servers
from siri_jax.runtime import (
  checkpoint,
  distributed,
  progress,
  run_folder,
  writers,
)
from siri_jax.runtime.stopwatch import Signals
from siri_jax.runtime.watchdog import Watchdog


def planned(config):
  """The plan.Plan of a config.

  Raises:
    ValueError: the config is invalid; lists every fault, of its files too.
  """
  try:
    return plans.make(config)
  except plans.ConfigError as error:
    faults = [*error.faults, *load.faults(config)]
    raise ValueError('\n'.join(faults)) from error


def prepare(config):
  """Checks a config and its files.

  Returns:
    (plan.Plan, types.Task, number of prompts dropped as too long).
  Raises:
    ValueError: the config or its files are invalid; lists every fault.
  """
  plan = planned(config)
  task, dropped = load.load_task(plan.c)
  rewarded.try_out(plan.text_rewards, task)
  return plan, task, dropped


def open_folder(path, c, *, source, overrides, allow_change):
  """The run's folder, locked; see run_folder.RunFolder."""
  run_folder.refuse_foreign(path)
  return run_folder.RunFolder(
    path,
    c.to_dict(),
    source=source,
    overrides=overrides,
    free=run_folder.RESUMABLE_SETTINGS,
    allow_change=allow_change,
  )


def refusals(c, path, allow_change):
  """Why a run would be refused here, though its settings are valid.

  The devices count only on a machine with GPUs: a cluster run is planned
  elsewhere.

  Args:
    c: the config.
    path: the run's folder.
    allow_change: names of settings that may differ from the folder's.
  Returns:
    list of messages; nothing is fetched, written or locked.
  """
  wrong, found = _message(lambda: hub_names.check(c)), jax.local_devices()
  if found[0].platform == 'gpu' and c.hosts_kw.count == 1:
    wrong += _message(lambda: sharding.make_mesh(found, **c.mesh_kw))
  if c.policy == 'pretrained' and not hub_names.absent(c):
    shape = hf_config.read_shape(initial.folder(c))
    wrong += _message(lambda: initial.check_fits(c, shape))
  free = (*run_folder.RESUMABLE_SETTINGS, *allow_change)
  check = functools.partial(run_folder.check, path, c.to_dict(), free)
  return wrong + _message(check)


def _message(check):
  """The lines of the error that a check raises."""
  try:
    check()
  except (ValueError, OSError, run_folder.RunFolderError) as error:
    return str(error).splitlines()
  return []


@contextlib.contextmanager
def open_run(plan, task, folder, screen, team):
  """A context with a run that is ready to train.

  Args:
    plan: plan.Plan.
    task: types.Task.
    folder: run_folder.RunFolder.
    screen: terminal.Terminal.
    team: distributed.SingleProcess or distributed.Leader.
  Yields:
    (context.TrainContext, types.TrainState, progress.Progress to start from).
  """
  c, limits = plan.c, plan.c.limits_kw
  with contextlib.ExitStack() as stack:
    signals = stack.enter_context(Signals(screen.say, secs=limits.stop_secs))
    watchdog = stack.enter_context(
      Watchdog(folder, screen, secs=limits.stall_secs)
    )
    stack.enter_context(team.listening(signals.relay))
    bench = Context(task, folder, screen, signals)

    def report(why):
      folder.event('server_restarted', why=why)
      screen.say(why)

    # Before JAX fills a device that a server shares.
    bench.servers = stack.enter_context(
      servers.serving(
        plan, task, folder.path / 'servers', screen, signals, report
      )
    )
    resume = functools.partial(
      restore, folder=folder, screen=screen, schedule=c.schedule
    )
    ctx, state, done = _made(stack, bench, plan, folder.path, team, resume)
    first = int(state.step)
    folder.start(first, ctx.sources, hub_names.commits(c))
    ctx.views = writers.open_writers(
      c.writers, folder.path, folder.info, first, **c.writers_kw
    )
    stack.callback(ctx.views.close)
    ctx.graders = graders = stack.enter_context(make_graders(c))
    ctx.order = shuffling.shuffled(
      task.train, seed=c.seed, prompts=c.prompts_per_step
    )
    watchdog.ask(pending=ctx.engine.pending, grading=lambda: graders.counts)
    yield ctx, state, done


@contextlib.contextmanager
def open_follower(plan, task, path, screen, team):
  """Opens a run in a process other than 0: no folder, graders or writers.

  Args:
    plan: plan.Plan.
    task: types.Task.
    path: the run's folder, which process 0 has locked.
    screen: terminal.Terminal.
    team: distributed.Follower.
  Yields:
    (context.TrainContext, types.TrainState).
  """

  def resume(checkpoints, like, _):
    return checkpoints.restore(like, screen.say) or (None, {})

  with contextlib.ExitStack() as stack:
    signals = Signals(team.pass_on, secs=plan.c.limits_kw.stop_secs)
    bench = Context(task, None, screen, stack.enter_context(signals))
    bench.servers = servers.External(plan.c.server_kw.urls)
    ctx, state, _ = _made(stack, bench, plan, path, team, resume)
    yield ctx, state


def _made(stack, bench, plan, path, team, resume):
  """The parts that every process has, and what `resume` returns besides."""
  c, task, screen = plan.c, bench.task, bench.terminal
  shape = initial.shape_of(c, task.vocab)
  initial.check_fits(c, shape)
  recipe = _recipe(plan, shape, screen)
  blank, layout, programs = compile_programs(
    plan, task, recipe, longest=plan.longest, say=screen.say
  )
  own = c, task, recipe, layout, screen, bench.signals
  frozen = policy.frozen(*own)
  programs = compiled.with_frozen(programs, frozen)
  prints = {
    **task.fingerprints,
    'model': initial.fingerprint(c),
    **policy.base(frozen, recipe.adapters),
  }
  sources = plugins.sources(c)
  team.barrier(distributed.READY, {**prints, **sources})
  checkpoints = _checkpoints(plan, path, team)
  stack.callback(checkpoints.close)
  like = checkpoint.abstract(blank, layout.state)
  state, done = resume(checkpoints, like, {**prints, **sources})
  start = None
  if state is None or 'ref_logp' in plan.extra:
    start = policy.trained(*own)
  if state is None:
    state = compiled.init_state(start, recipe.tx, layout)
  bench.engine = make_engine(
    plan,
    programs,
    task,
    requests=plan.requests,
    prompt_tokens=c.max_prompt_tokens,
    servers=bench.servers,
    run=team.broadcast_value(lambda: bench.run_folder.info['id']),
    say=screen.say,
  )
  stack.callback(bench.engine.close)
  ctx = TrainContext(
    **vars(bench),
    plan=plan,
    programs=programs,
    checkpoints=checkpoints,
    packing=recipes.fit_of(plan, shape),
    place=functools.partial(sharding.put, shardings=layout.rows),
    processes=team,
    fingerprints=prints,
    sources=sources,
    # The start is as large as the policy.
    start=start if 'ref_logp' in plan.extra else None,
  )
  return ctx, state, done


def _recipe(plan, shape, screen):
  """The update config, checked on this device; warns if it may not fit."""
  found = memory.of_plan(plan, shape)
  remat = memory.choose_remat(plan.c, found)
  recipe = recipes.recipe_of(plan, shape, remat)
  kernels.check_attention(recipe)
  if warning := memory.misfit(plan.c, found, remat):
    screen.say(warning)
  return recipe


def _checkpoints(plan, path, team):
  """The run's checkpoints; all processes must call it at the same time."""
  return checkpoint.CheckpointManager(
    pathlib.Path(path, 'checkpoints'),
    keep=plan.c.checkpoint_kw.keep,
    every=plan.c.checkpoint_kw.keep_every,
    always=plan.turns,
    broadcast_value=team.broadcast_value,
  )


def compile_programs(plan, task, recipe, *, longest, say):
  """The programs and shardings of a run; compiles and allocates nothing.

  Args:
    plan: plan.Plan.
    task: types.Task.
    recipe: update.UpdateConfig.
    longest: tokens of the longest response of the run.
    say: called with messages for the user.
  Returns:
    (blank types.TrainState, sharding.Layout, compiled.Programs).
  """
  c, blank = plan.c, recipes.blank(recipe)
  layout = sharding.layout(
    sharding.make_mesh(jax.devices(), **c.mesh_kw),
    blank,
    recipes.frozen(recipe),
  )
  programs = compiled.build(
    plan.find['schedule'],
    recipe,
    layout,
    eos_ids=task.eos_ids,
    columns=longest,
    attention=kernels.decoding_attention(c.engine, recipe, say),
    **c.engine_kw,
  )
  return blank, layout, programs


def make_engine(
  plan, programs, task, *, requests, prompt_tokens, servers, run, say
):
  """The config's engine; see engines.EngineInputs."""
  return plan.find['engine'](
    engines.EngineInputs(
      export=programs.export,
      start=programs.start,
      advance=programs.advance,
      shrink=programs.shrink,
      publish=programs.publish,
      requests=requests,
      prompt_tokens=prompt_tokens,
      begun_tokens=plan.begun,
      filters=plan.filters,
      task=task,
      server=plan.c.server_kw,
      servers=servers,
      logprob_share=logprob_share(plan),
      run=run,
      say=say,
      padding=initial.shape_of(plan.c, task.vocab).padding,
    )
  )


def logprob_share(plan):
  """Share of the prompts whose samples have log-probabilities."""
  needed = plan.c.off_policy_steps or 'sampler_logp' in plan.extra
  return 1.0 if needed else plan.c.server_kw.logprob_share


def make_graders(c):
  """The config's graders, a context manager."""
  return pool.GraderPool(
    c.grading_rule,
    c.grading_rule_kw.to_dict(),
    **c.grader_kw,
  )


def restore(checkpoints, like, prints, folder, screen, schedule):
  """Restores the newest valid checkpoint and drops records after it.

  Returns:
    (types.TrainState, progress.Progress); without a checkpoint, None and the
    progress of a new run.
  Raises:
    run_folder.RunFolderError: the checkpoint has other problems, another
      tokenizer, model or plug-in; see TrainContext.
    ValueError: its arrays are another model's, or no checkpoint is valid.
  """

  def report(why):
    folder.event('checkpoint_passed_over', why=why)
    screen.say(why)

  found = checkpoints.restore(like, report)
  if not found:
    folder.rewind('metrics', -1)
    folder.rewind('eval', -1)
    return None, progress.start()
  state, facts = found
  if 'config' in facts:  # A checkpoint of an earlier version has none.
    folder.refuse_settings(facts['config'], 'has checkpoints of')
  written = {**facts['fingerprints'], **facts.get('sources', {})}
  folder.refuse_change(written, prints)
  done = int(state.step)
  folder.rewind('metrics', done - 1)
  folder.rewind('eval', done)
  folder.event('resumed', step=done)
  screen.say(f'resuming from step {done} of {folder.path}')
  return state, progress.restored(facts, schedule)
