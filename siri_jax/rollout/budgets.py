"""PLUG-IN family: budgets, what each sample of a group is asked.

`(problem, cap, uniforms, *, settings) -> list of types.Budget`, one for each of
the group's samples. `cap` is the step's, L(t); no budget may exceed it.
`uniforms` are float64 in [0, 1), one for each sample, a function of (seed,
purpose, step, problem, index): a budget has no other source of chance, so that
a resumed run asks the same.

TRL and verl write such words into the data set; here they follow the step.
"""

from siri_jax import types
from siri_jax.algorithm.rewards import AT_MOST, EXACTLY

NO_THOUGHT = 1  # Mode of a sample that is forced to have no thought.


def step_cap(problem, cap, uniforms):
  """The step's cap for every sample, and no words: SIRI's own.

  Args:
    problem: types.Problem.
    cap: the step's cap, tokens.
    uniforms: float64 [G], in [0, 1).
  Returns:
    list of G types.Budget.
  Raises:
    Nothing.
  """
  del problem
  return [types.Budget(cap=cap)] * len(uniforms)


def length_target(
  problem, cap, uniforms, *, low, high, note, most_note, most_share
):
  """A length in the prompt, one for the whole group.

  The target is uniform over low, ..., high, and then the cap if that is lower:
  no prompt asks for more than the step allows.

  Args:
    problem: types.Problem.
    cap: the step's cap, tokens.
    uniforms: float64 [G], in [0, 1); the first decides between the two notes
      and draws the target.
    low: least target, tokens.
    high: largest target, tokens.
    note: words of the prompt, with {target}; mode EXACTLY.
    most_note: words for a target that is an upper bound; mode AT_MOST.
    most_share: share of the problems that get `most_note`.
  Returns:
    list of G types.Budget.
  Raises:
    ValueError: low to high is not a range of tokens, a note has no {target},
      or most_share is not a share.
  Source: L1, section 3, arxiv.org/abs/2503.04697; its words and its even draw
    of the two notes are those of scripts/data/deepscaler_dataset.py.
  """
  del problem
  if not 1 <= low <= high:
    raise ValueError(f'low={low} to high={high} is not a range of tokens')
  for name, words in {'note': note, 'most_note': most_note}.items():
    if '{target}' not in words:
      raise ValueError(f'{name}={words!r} has no {{target}}')
  if not 0 <= most_share <= 1:
    raise ValueError(f'most_share={most_share} is not a share from 0 to 1')
  mode, drawn = EXACTLY, (uniforms[0] - most_share) / (1 - most_share or 1)
  if uniforms[0] < most_share:
    mode, drawn = AT_MOST, uniforms[0] / most_share
  target = min(low + int(drawn * (high - low + 1)), high, cap)
  words = (note, most_note)[mode].replace('{target}', str(target))
  asked = types.Budget(cap=cap, note=words, target=target, mode=mode)
  return [asked] * len(uniforms)


def cap_in_prompt(problem, cap, uniforms, *, system, note):
  """The step's cap in words, in the system's or in the user's turn.

  The words follow the schedule: a prompt of a step with a cap of 3000 says
  3000.

  Args:
    problem: types.Problem.
    cap: the step's cap, tokens.
    uniforms: float64 [G], in [0, 1).
    system: words of the system's turn, with {cap}; '' for none.
    note: words after the instruction, with {cap}; '' for none.
  Returns:
    list of G types.Budget.
  Raises:
    ValueError: neither has {cap}.
  Source: ThinkPrune, arxiv.org/abs/2504.01296; its words are those of
    examples/data_preprocess/preprocess_past_aime_amc.py.
  """
  del problem
  if '{cap}' not in system + note:
    raise ValueError('neither system nor note has {cap}')
  asked = types.Budget(
    cap=cap,
    system=system.replace('{cap}', str(cap)),
    note=note.replace('{cap}', str(cap)),
  )
  return [asked] * len(uniforms)


def opened_thought(problem, cap, uniforms, *, opening):
  """Words that open the thought, at the end of the prompt.

  Args:
    problem: types.Problem.
    cap: the step's cap, tokens.
    uniforms: float64 [G], in [0, 1).
    opening: the words; AutoThink's dots make some thoughts empty.
  Returns:
    list of G types.Budget.
  Raises:
    ValueError: opening is empty.
  Source: AutoThink, section 3, arxiv.org/abs/2505.10832; README.md of its code.
  """
  del problem
  if not opening:
    raise ValueError("opening='' opens no thought; AutoThink's is '...\\n'")
  return [types.Budget(cap=cap, opening=opening)] * len(uniforms)


def forced_modes(problem, cap, uniforms, *, share, close, start, short):
  """Some samples without a thought, the others with one, by the first token.

  The policy does not choose the token, but is trained on it. Under a lower cap
  those without a thought have at most that.

  Args:
    problem: types.Problem.
    cap: the step's cap, tokens.
    uniforms: float64 [G], in [0, 1).
    share: of the samples, rounded, that have no thought; mode NO_THOUGHT.
    close: the token that ends a thought, in words; it begins those samples.
    start: the token that begins the others, in words; AdaptThink: 'Alright'.
    short: most tokens of a response without a thought.
  Returns:
    list of G types.Budget.
  Raises:
    ValueError: share is not from 0 to 1, a token is empty, or short or the cap
      has no room for a token after the first.
  Source: AdaptThink, arxiv.org/abs/2505.13417; generate_sequences
    of src/adapt_think_vllm_rollout.py, github.com/THU-KEG/AdaptThink.
  """
  del problem
  if not 0 <= share <= 1:
    raise ValueError(f'share={share} is not from 0 to 1')
  if not close or not start:
    raise ValueError(f'close={close!r} or start={start!r} is no token')
  if min(short, cap) < 2:
    raise ValueError(
      f'short={short} or a cap of {cap} has no room for a token after the first'
    )
  size = len(uniforms)
  none = round(size * share)
  without = types.Budget(cap=min(short, cap), first=close, mode=NO_THOUGHT)
  return [without] * none + [types.Budget(cap=cap, first=start)] * (size - none)


def thinking_and_solution(problem, cap, uniforms, *, thinking, solution, close):
  """A budget for the thought, whose end is forced, and one for the solution.

  Under a lower cap both get less, in proportion.

  Args:
    problem: types.Problem.
    cap: the step's cap, tokens.
    uniforms: float64 [G], in [0, 1).
    thinking: most tokens of the thought before its end.
    solution: most tokens after it.
    close: the token that ends a thought, in words.
  Returns:
    list of G types.Budget.
  Raises:
    ValueError: thinking or solution is below 1 token, or the cap below 3.
  Source: Elastic Reasoning, section 3, arxiv.org/abs/2505.05315; the same as
    e1_mode of its vllm_rollout.py, except that there a thought that ends
    without being closed goes on.
  """
  del problem
  if thinking < 1 or solution < 1:
    raise ValueError(
      f'thinking={thinking} or solution={solution} is below 1 token'
    )
  if cap < 3:
    raise ValueError(
      f'a cap of {cap} has no room for a thought, its end and a solution'
    )
  if (room := cap - 1) < thinking + solution:
    thinking = max(1, room * thinking // (thinking + solution))
    solution = room - thinking
  asked = types.Budget(
    cap=thinking + 1 + solution,
    thinking=thinking,
    solution=solution,
    close=close,
  )
  return [asked] * len(uniforms)


def in_chunks(problem, cap, uniforms, *, context, carried, head):
  """A response in chunks, each from the prompt and a part of the one before.

  A chunk has at most context - carried tokens, the first one `context`. A lower
  cap leaves fewer chunks, because it bounds the whole response.

  Args:
    problem: types.Problem.
    cap: the step's cap, tokens.
    uniforms: float64 [G], in [0, 1).
    context: most tokens of the response in a row; Delethink's C.
    carried: those that a later chunk starts from; Delethink's m.
    head: of the carried tokens, those from the start of the response.
  Returns:
    list of G types.Budget.
  Raises:
    ValueError: the numbers are not 0 <= head < carried < context.
  Source: The Markovian Thinker, section 4, arxiv.org/abs/2510.06557; its
    delethink_agent_loop.py. There a reward reads the last chunk with what it
    carries, here the whole response, as in its delethink_tracing_demo.py.
  """
  del problem
  if not 0 <= head < carried < context:
    raise ValueError(
      f'head={head}, carried={carried}, context={context} do not rise from 0'
    )
  asked = types.Budget(cap=cap, chunks=types.Chunks(context, carried, head))
  return [asked] * len(uniforms)
