"""PLUG-IN family: text rewards, functions of the decoded responses.

`(batch, *, settings) -> B rewards`. The batch is a types.TextBatch: every
sample of the step with its text, its problem and its tokens. Runs on the host,
in the trainer's process 0.

A function of two arguments, `(batch, memory, *, settings)`, remembers
something of each problem and returns `(rewards, memory)`. Both are dicts of the
batch's problems by id; a problem that was not seen before is not in the first.
A value is JSON of at most 1,000 bytes. The memory is saved with a checkpoint,
so a resumed run has the same. The key '' is of the whole run.

A function of three arguments, `(batch, memory, monitored, *, settings)`, also
takes the types.TextBatch of the monitor pass: the samples of fixed training
problems, every monitor_kw.every steps; None at the others. It may remember
something of those problems too.
"""

import math

import numpy as np

from siri_jax.grading import adaptthink, laser


def think_format(batch, *, close, answer):
  r"""1 if the thought is closed once and an answer follows it, else 0.

  TRL's think_format_reward, without the opening tag, which is in our prompts,
  and with an answer.

  Args:
    batch: types.TextBatch.
    close: text that ends a thought, '</think>'.
    answer: text after it that begins an answer, '\\boxed{'; '': any text.
  Returns:
    list of B numbers in {0, 1}.
  Raises:
    ValueError: `close` is empty.
  Source: TRL, trl/rewards/format_rewards.py.
  """
  if not close:
    raise ValueError("close='' ends no thought; write '</think>'")

  def fits(text):
    _, closed, reply = text.partition(close)
    return bool(closed and reply.strip()) and (
      close not in reply and answer in reply
    )

  return [float(fits(text)) for text in batch.completions]


def repetition_penalty(batch, *, size):
  """Minus the share of a response's n-grams of words that came before.

  Between -1 and 0: `unique / all - 1`. A text of fewer words has 0.

  Args:
    batch: types.TextBatch.
    size: words of an n-gram, 1 or more.
  Returns:
    list of B numbers in (-1, 0].
  Raises:
    ValueError: size is below 1.
  Source: Demystifying Long Chain-of-Thought, appendix C.2,
    arxiv.org/abs/2502.03373; open-r1's repetition_penalty_reward.
  """
  if size < 1:
    raise ValueError(f'size={size} is below 1 word')

  def repeats(text):
    words = text.lower().split()
    grams = list(zip(*(words[i:] for i in range(size)), strict=False))
    return len(set(grams)) / len(grams) - 1 if grams else 0.0

  return [repeats(text) for text in batch.completions]


def against_shortest(batch, memory, *, floor):
  """HAPO: the length against the shortest right response so far.

  With h, the length of the problem's shortest right response in earlier steps:
  f = cos(pi / 2 * length / h) up to 2 h, then -1. A right response has
  max(floor, f), another min(0, f). Without h all have 0.

  Args:
    batch: types.TextBatch.
    memory: problem id -> h, tokens.
    floor: least reward of a right response; HAPO: -0.7.
  Returns:
    list of B numbers in [-1, 1]; problem id -> h with this step's responses.
  Raises:
    Nothing.
  Source: compute_len_reward and the mode "min", github.com/HCY123902/HAPO;
    arxiv.org/abs/2505.11225.
  """
  rewards, shortest = [], dict(memory)
  lengths, correct = batch.arrays.length, batch.arrays.correct
  for problem, length, right in zip(
    batch.problems, lengths, correct, strict=True
  ):
    if problem.id in memory:
      ratio = min(length / memory[problem.id], 2.0)
      value = math.cos(math.pi / 2 * ratio)
      rewards.append(max(floor, value) if right else min(0.0, value))
    else:
      rewards.append(0.0)
    if right:
      known = shortest.get(problem.id, length)
      shortest[problem.id] = int(min(known, length))
  return rewards, shortest


def laser_d(batch, memory, monitored, *, lowest, highest, interval, bonus):
  """LASER-D: a bonus for right answers within a target of their difficulty.

  A problem's level is its share p of right responses: high from 2/3, medium
  from 1/3, else low. A monitor pass sets the target of each level. Let n be the
  least number of right responses of a problem of the level: 2/3 or 1/3 of the
  group, or 1. The target is the first length of lowest, lowest + interval, ...,
  highest at which n times the share of the level's responses within it is 1 or
  more. If there is none, it is the longest response of the batch.

  Args:
    batch: types.TextBatch.
    memory: '' -> the targets of the last monitor pass by level.
    monitored: types.TextBatch of the monitor pass, or None.
    lowest: least target, tokens.
    highest: largest target, tokens.
    interval: tokens from one to the next.
    bonus: reward units.
  Returns:
    list of B numbers, 0 or bonus; the targets.
  Raises:
    KeyError: there was no monitor pass.
  Source: compute_length_reward_larse_d and _choose_target_length,
    github.com/hkust-nlp/Laser; arxiv.org/abs/2505.15612.
  """
  steps = range(lowest, highest + 1, interval)
  targets = memory[''] if monitored is None else laser.targets(monitored, steps)
  limits = laser.limits(batch, targets)
  arrays = batch.arrays
  within = arrays.correct & (arrays.length <= limits)
  return [bonus * float(x) for x in within], {'': targets}


def laser_de(batch, memory, monitored, *, lowest, highest, interval, bonus):
  """LASER-DE: `laser_d`, and the bonus for wrong answers that go on exploring.

  A wrong answer longer than its level's target has it too, unless its tokens
  repeat themselves.

  Args:
    batch: types.TextBatch.
    memory: as in `laser_d`.
    monitored: types.TextBatch of the monitor pass, or None.
    lowest: least target, tokens.
    highest: largest target, tokens.
    interval: tokens from one to the next.
    bonus: reward units.
  Returns:
    list of B numbers, 0 or bonus; the targets.
  Raises:
    KeyError: there was no monitor pass.
  Source: compute_length_reward_larse_de and compute_unique_tokens.py,
    github.com/hkust-nlp/Laser; arxiv.org/abs/2505.15612.
  """
  kw = dict(lowest=lowest, highest=highest, interval=interval, bonus=bonus)
  found, after = laser_d(batch, memory, monitored, **kw)
  arrays, limits = batch.arrays, laser.limits(batch, after[''])
  wrong = arrays.answered & ~arrays.correct & (arrays.length > limits)
  for i in wrong.nonzero()[0]:
    found[i] = 0.0 if laser.repeats(batch.response_ids[i].tolist()) else bonus
  return found, after


def thought_or_none(batch, *, close, starts, balance, alpha, beta):
  """AutoThink: pays for right answers without a thought, batch balanced.

  A response that begins with `close` has no thought. With a thought, a right
  response has 1 and a wrong one 0; without, 2 and -1; one without an answer 0.

  If a group has two or more right responses, exp(-alpha z) - 1 is added to
  their rewards. If it has two or more wrong ones, 1 - exp(-beta z) is added to
  theirs. z is the length in deviations from their mean.

  Then, if more than `balance` of the batch are of one mode, its rewards r
  become (1 - k) r + k t, with k = min(1, 2 (share - balance)). t is 0 (right)
  or -1 (wrong) with a thought, 1 or -2 without.

  Args:
    batch: types.TextBatch.
    close: end of a thought.
    starts: first step of each stage, from 0 on.
    balance: each stage's share of the batch; 1 switches the balance off.
    alpha: each stage's weight of the lengths of right responses.
    beta: each stage's weight of the lengths of wrong ones.
  Returns:
    list of B numbers, which replace the grader's reward: add them to
    reward='answer_score' with zeros.
  Raises:
    ValueError: `close` is empty, or the stages are not as many.
  Source: AutoThink, section 3, arxiv.org/abs/2505.10832; _reweight_rewards of
    its main_ppo.py, with the torch deviation (n - 1).
  """
  stages = {len(x) for x in (starts, balance, alpha, beta)}
  if not close or len(stages) != 1 or tuple(starts)[:1] != (0,):
    raise ValueError(
      f'close={close!r} ends no thought, or starts={starts!r} (from 0 on), '
      'balance, alpha and beta are not of as many stages'
    )
  stage = int(np.searchsorted(starts, batch.step, side='right')) - 1
  arrays = batch.arrays
  thought = np.array([not text.startswith(close) for text in batch.completions])
  right = np.asarray(arrays.correct)
  found = np.where(right, np.where(thought, 1.0, 2.0), np.where(thought, 0, -1))
  found = np.where(right | arrays.answered, found, 0.0)
  z = _deviations(arrays.length, 2 * arrays.group + right)
  found += np.where(
    right, np.exp(-alpha[stage] * z) - 1, 1 - np.exp(-beta[stage] * z)
  )
  for mode, ends in (thought, (0.0, -1.0)), (~thought, (1.0, -2.0)):
    k = np.clip(2 * (mode.mean() - balance[stage]), 0, 1)
    pulled = (1 - k) * found + k * np.where(right, *ends)
    found = np.where(mode, pulled, found)
  return found.tolist()


def score_by_mode(batch, *, short, thought, right, wrong, neither):
  """Thinkless: a score for right and wrong responses of each mode.

  A response with the word `short` is of that mode, also if it has `thought`.

  Args:
    batch: types.TextBatch.
    short: the word that begins a response without a thought, '<short>'.
    thought: the word that begins one with a thought, '<think>'.
    right: (with short, with thought), reward units; Thinkless: 1 and 0.5.
    wrong: the same of wrong answers; Thinkless: -1 and -1.
    neither: of a response with neither word or without an answer.
  Returns:
    list of B numbers, which replace the grader's reward: add them to
    reward='answer_score' with zeros.
  Raises:
    ValueError: a pair is none, or a word is empty.
  Source: deepscaler/rewards/math_reward.py, github.com/VainF/Thinkless;
    arxiv.org/abs/2505.13379. There a reply with both words and an open thought
    is graded from `short` on; here the grading rule finds it unfinished.
  """
  if len(right) != 2 or len(wrong) != 2 or not short or not thought:
    raise ValueError(
      f'right={right} and wrong={wrong} are (with short, with thought), and '
      f'short={short!r} and thought={thought!r} are words'
    )
  rewards = []
  for text, is_right, answered in zip(
    batch.completions, batch.arrays.correct, batch.arrays.answered, strict=True
  ):
    pair = right if is_right else wrong
    mode = 0 if short in text else 1 if thought in text else None
    known = mode is not None and (is_right or answered)
    rewards.append(pair[mode] if known else neither)
  return rewards


def difficulty_label(batch, *, easy, hard, threshold):
  """AdaCtrl: whether a response begins with its problem's difficulty.

  A problem is easy if more than `threshold` of its responses are right. A
  response has 1 for the right label, 0 for the other, -1 for none.

  Args:
    batch: types.TextBatch.
    easy: label of an easy problem, '[Easy]'; upper or lower case.
    hard: of the others, '[Hard]'.
    threshold: share of right responses; AdaCtrl: 0.625.
  Returns:
    list of B numbers in {-1, 0, 1}.
  Raises:
    ValueError: a label is empty.
  Source: compute_diff_format of verl/verl/workers/reward_manager/naive.py,
    github.com/JoeYing1019/AdaCtrl; arxiv.org/abs/2505.18822.
  """
  right, size = laser.rights(batch.arrays)
  due = np.where(right / size > threshold, easy, hard)
  return [
    float(_begins(text, label)) - (not _begins(text, easy, hard))
    for text, label in zip(batch.completions, due.tolist(), strict=True)
  ]


def brief_if_easy(batch, *, easy):
  """AdaCtrl: a right response that calls itself easy has more if it is short.

  (1 + cos(pi * length / longest)) / 2: 1 at no tokens, 0 at the longest
  response of the group. All others have 0.

  Args:
    batch: types.TextBatch.
    easy: the label of an easy problem, '[Easy]'; upper or lower case.
  Returns:
    list of B numbers in [0, 1].
  Raises:
    ValueError: the label is empty.
  Source: compute_diff_len of the same file as `difficulty_label`.
  """
  arrays = batch.arrays
  longest = np.zeros(arrays.group.max() + 1)
  np.maximum.at(longest, arrays.group, arrays.length)
  share = arrays.length / longest[arrays.group]
  falls = (1 + np.cos(np.pi * share)) / 2
  calls = [_begins(text, easy) for text in batch.completions]
  return np.where(arrays.correct & np.array(calls), falls, 0.0).tolist()


def against_table(batch, *, table, close, bonus):
  """AdaptThink: right answers against a reference policy's accuracy.

  c - R + bonus * n: c is 1 if the response is right, n is 1 if it has no
  thought, so begins with `close`. R is the reference's share of right responses
  to the problem.

  Args:
    batch: types.TextBatch.
    table: path of the reference.jsonl of `siri-jax presample`.
    close: end of a thought.
    bonus: reward units; AdaptThink: 0.05.
  Returns:
    list of B numbers, which replace the grader's reward: add them to
    reward='answer_score' with zeros.
  Raises:
    ValueError: the file cannot be read, or lacks a problem.
  Source: AdaptThink, arxiv.org/abs/2505.13417;
    src/adapt_think_reward_manager.py, github.com/THU-KEG/AdaptThink. There a
    second end of a thought is wrong; here the grading rule decides.
  """
  where = f'table={table!r}; presample all training problems'
  reference = adaptthink.accuracies(table)
  return adaptthink.rewards(batch, reference, close, bonus, where)


def against_start(batch, memory, monitored, *, close, bonus):
  """`against_table`, where R is the accuracy of the run's own start.

  The first monitor pass samples the policy before any update, so that no table
  is needed. It must have all training problems: monitor_kw.problems.

  Args:
    batch: types.TextBatch.
    memory: problem id -> R; '' -> whether there was a pass.
    monitored: types.TextBatch of the monitor pass, or None.
    close: end of a thought.
    bonus: reward units; AdaptThink: 0.05.
  Returns:
    list of B numbers; at the first pass R of its problems.
  Raises:
    ValueError: the pass lacked a problem.
  Source: as `against_table`.
  """
  found = {}
  if monitored is not None and '' not in memory:
    right, size = laser.rights(monitored.arrays)
    shares = (right / size).tolist()
    found = {p.id: r for p, r in zip(monitored.problems, shares, strict=True)}
    found[''] = True
  memory = {**memory, **found}
  where = 'the first monitor pass; raise monitor_kw.problems to all of them'
  return adaptthink.rewards(batch, memory, close, bonus, where), found


def _begins(text, *labels):
  """Whether a text begins with one of the labels, in any case."""
  if '' in labels:
    raise ValueError("'' is no label; write one such as '[Easy]'")
  return text.lower().startswith(tuple(label.lower() for label in labels))


def _deviations(lengths, sets):
  """Lengths in deviations from the mean of their set; 0 in a set of one."""
  found = np.zeros(len(lengths))
  for each in np.unique(sets):
    own = np.flatnonzero(sets == each)
    if own.size > 1:
      some = lengths[own].astype(float)
      found[own] = (some - some.mean()) / max(some.std(ddof=1), 1e-6)
  return found
