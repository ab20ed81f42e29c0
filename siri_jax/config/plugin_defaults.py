"""Settings of a plug-in that a config names without them.

`--config.schedule=stair` alone is enough: the settings that another plug-in of
its family shares are kept, the others are those of this module.
"""

from siri_jax import plugins
from siri_jax.algorithm import schedule_presets

CYCLE = ('low', 'high', 'period')  # The arguments of schedule_presets.
CLIP = dict(low=0.2, high=0.28)  # The paper's, after DAPO.
DECODING = dict(max_concurrent=64, decode_steps=128)
SCORE = dict(right=1.0, wrong=-0.5, unanswered=-1.0)  # Laser.
# Laser, laser-d-1.5b-l4096.sh.
LASER = dict(lowest=4096, highest=16_384, interval=1024, bonus=0.5)
LATEX = dict(kind='continuation', verify_kw={})
LINES = {
  'reward': {
    # The buffer of DAPO is a fifth of its longest response.
    'overlong_buffer': lambda low, high: dict(buffer=low // 4, factor=1.0),
    'lcpo_exact': dict(alpha=0.0003),  # L1.
    'lcpo_max': dict(alpha=0.0003, delta=0.5),
    'answer_score': SCORE,
    'truncation_scaled': dict(scale=0.0),  # NeMo RL, ProRLv2.
    'cosine_length': dict(right=(1.0, 0.5), wrong=(-1.0, -0.5)),  # open-rs.
    # LASER: 4,096 of 16,384 tokens.
    'length_bonus': lambda low, high: dict(
      target=high // 4, bonus=0.5, **SCORE
    ),
    'range_in_group': dict(weight=0.4),  # Laser's comparison.
    'sigmoid_in_group': dict(alpha=0.1),  # run_rloo_1.5B.sh.
    # GRPO-LEAD; it decays from 4,000 tokens on.
    'decay_in_group': dict(
      alpha=0.05, least=0.0, right=1.0, wrong=-1.0, unanswered=0.0
    ),
  },
  'advantage': {
    'mean_std': dict(eps=1e-6),  # VeRL.
    'maxent_guided': dict(eps=1e-6, strength=1.0),  # Our choice.
    # GRPO-LEAD.
    'difficulty_weighted': dict(
      eps=1e-6, low=0.4, high=1.5, middle=0.75, steepness=10.0
    ),
    'sign_balanced': dict(right=1.0, wrong=0.5),  # OREAL.
  },
  'aggregation': {
    'constant_denominator': lambda low, high: dict(tokens=high),  # Dr. GRPO.
  },
  'loss': {
    'clip_higher': CLIP,
    'dual_clip': dict(**CLIP, bound=3.0),  # VeRL.
    'grpo_kl': dict(**CLIP, beta=0.001),  # VeRL.
    'entropy_bonus': dict(**CLIP, bonus=0.001),  # DeepScaleR.
    'truncated_importance': dict(**CLIP, cap=2.0),  # VeRL.
    'sequence_ratio': dict(low=3e-4, high=4e-4),  # GSPO.
    'clipped_weight': dict(low=10.0, high=0.2),  # VeRL.
    'control_token': dict(**CLIP, beta=0.001, alpha=0.001),  # Thinkless.
    'simpo': dict(beta=2.0, gamma=1.0),  # princeton-nlp/SimPO, README.md.
    'dpo': dict(beta=0.1),  # TRL.
  },
  # The quickstart's.
  'task': {
    'arithmetic': dict(
      **dict(seed=0, problems=10_000, held_out=1024, fewest=3, most=7),
      **dict(hard=0.5, slips=0.5, verbosity=1.2),
    )
  },
  'engine': {'embedded': DECODING, 'vllm': DECODING},
  'budget': {
    # L1's 100 to 4000 under a cap of 4096.
    'length_target': lambda low, high: dict(
      low=max(1, high // 40),
      high=high,
      note='Think for {target} tokens.',
      most_note='Think for maximum {target} tokens.',
      most_share=0.0,
    ),
    'cap_in_prompt': dict(
      system='The output of the assistant should be within {cap} tokens.',
      note='',
    ),
    'opened_thought': dict(opening='...\n'),  # AutoThink.
    # Elastic Reasoning: as many tokens for the one as for the other.
    'thinking_and_solution': lambda low, high: dict(
      thinking=max(1, high // 2 - 1),
      solution=max(1, high // 2),
      close='</think>',
    ),
    # Delethink: 8,192 and 4,096 of 24,576 tokens, and 100 from the start.
    'in_chunks': lambda low, high: dict(
      context=max(2, high // 3), carried=max(1, high // 6), head=high // 246
    ),
  },
  'training_set': {
    # O1-Pruner: construct_dataset.py and Marco-7B.yaml.
    'o1_pruner': dict(used=2, alpha=2.0, low=-2.0, high=4.0),
    'dast': dict(drop=0.15),
    'overthink': dict(keep=2),
  },
  'collect': {'dynamic': dict(max_rounds=10)},  # DAPO.
  'grading_rule': {
    'exact': dict(kind='continuation'),
    **dict.fromkeys(('deepscaler', 'math_verify', 'either'), LATEX),
  },
}
# Plug-ins that keep nothing of the one before: 0.2 bounds no sequence's ratio.
APART = ('sequence_ratio', 'clipped_weight')
TEXT_REWARDS = {
  # AutoThink: its first stage.
  'thought_or_none': dict(
    close='</think>', starts=(0,), balance=(0.5,), alpha=(0.0,), beta=(0.0,)
  ),
  'think_format': dict(close='</think>', answer=''),  # TRL.
  'repetition_penalty': dict(size=3),  # open-r1.
  'against_shortest': dict(floor=-0.7),  # HAPO.
  'laser_d': LASER,
  'laser_de': LASER,
}


def settled(config, changes):
  """Adds the settings of plug-ins that are named without them.

  Args:
    config: ConfigDict before the changes; the caps and the period at hand are
      those of its schedule.
    changes: dict of settings by dotted name.
  Returns:
    dict, the changes. Where another plug-in is named and its settings are not
    given as a whole, they have the group's name: 'schedule_kw': {...}.
  """
  changes = _text_rewards(config, changes)
  for family in plugins.FAMILIES:
    name, group = changes.get(family), f'{family}_kw'
    if name is None or name == config[family] or group in changes:
      continue
    own = _within(changes, group)
    line = _line(config, changes, family, name, own)
    if line is not None:
      changes = {
        k: v for k, v in changes.items() if not k.startswith(f'{group}.')
      }
      changes[group] = line
  if changes.get('policy', config.policy) != config.policy == 'sft':
    changes = {'sft_kw': {}, **changes}  # Used by policy='sft' alone.
  return changes


def _text_rewards(config, changes):
  """Adds the settings of the text rewards: a weight of 1 and their own."""
  group = 'text_rewards_kw'
  own = _within(changes, group)
  if 'text_rewards' not in changes and not own:
    return changes
  names = changes.get('text_rewards', config.text_rewards)
  names = [names] if isinstance(names, str) else names
  old = changes.get(group, config[group])
  line = dict(changes.get(group, {}))
  for name in filter(lambda each: isinstance(each, str), names):
    label = plugins.short(name)
    lines = {'weight': 1.0, **TEXT_REWARDS.get(name, {})}
    line[label] = {**lines, **old.get(label, {})}
  for key, value in own.items():
    label, _, setting = key.partition('.')
    inner = line.setdefault(label, {})
    inner[setting] = _as(inner.get(setting), value)
  kept = {k: v for k, v in changes.items() if not k.startswith(f'{group}.')}
  return {**kept, group: line}


def _within(changes, group):
  """The changes within a group, by the rest of their names."""
  start = f'{group}.'
  return {
    key.removeprefix(start): value
    for key, value in changes.items()
    if key.startswith(start)
  }


def _line(config, changes, family, name, own):
  """A plug-in's settings; None if it is unknown or has no such line."""
  try:
    wanted = plugins.settings_of(plugins.function(family, name))
  except (ValueError, AttributeError, TypeError):
    return None  # The plan reports it.
  old = {k: v for k, v in config[f'{family}_kw'].items() if k in wanted}
  if family == 'schedule':
    line = _schedule(config, changes, name, own)
    if line is None:
      return {**old, **own}
    own = {k: v for k, v in own.items() if k in line or k not in CYCLE}
  else:
    line = LINES.get(family, {}).get(name, {})
    line = line(*_caps(config, changes)) if callable(line) else line
    line = line if name in APART else {**line, **old}
  return {**line, **{k: _as(line.get(k), v) for k, v in own.items()}}


def _schedule(config, changes, name, own):
  """A schedule's preset for the caps and the period at hand, or None.

  After a schedule without a range or a cycle, they are those of the paper's
  runs: from the highest cap to half of it, three cycles.
  """
  low, high = _caps(config, changes)
  total = changes.get('total_steps', config.total_steps)
  if type(total) is not int:
    return None  # The plan reports it.
  cycle = {
    'low': low if low < high else max(high // 2, 1),
    'high': high,
    'period': max(total // 6, 1) * 2,  # Even, as a cosine needs it.
    **config.schedule_kw,
    **own,
  }
  found = [cycle[key] for key in CYCLE]
  if not all(type(value) is int and value > 0 for value in found):
    return None  # The plan reports the settings.
  return schedule_presets.presets(*found).get(name)


def _caps(config, changes):
  """The lowest and the highest cap at hand."""
  group = changes.get('schedule_kw', config.schedule_kw)
  given = {**group, **_within(changes, 'schedule_kw')}
  named = [given[key] for key in ('low', 'high', 'cap') if key in given]
  found = [*given['caps'], *named] if 'caps' in given else named
  found = [v for v in found if type(v) is int and v > 0]
  return (min(found), max(found)) if found else (4, 4)


def _as(old, value):
  """A whole number as a float where the line has one."""
  return (
    float(value) if isinstance(old, float) and type(value) is int else value
  )
