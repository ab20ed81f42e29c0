"""The built-in task in words; imports no JAX, so that a report can show it."""

TASKS = ('arithmetic', 'arithmetic_labelled')  # Of siri_jax/data/tasks.py.
ABOUT = """\
running sums of digits. The problem "4 #1 2 0 #2 3 7" starts at 4 and has
  two steps. A response copies each step, writes the new sum, and may check it:
  "#1 2 0 6 #2 3 7 0 wait 9 0 9" guesses 0, checks, and corrects itself to 9."""


def sentence():
  """ABOUT on one line, as a sentence."""
  return f'The built-in task: {" ".join(ABOUT.split())}'
