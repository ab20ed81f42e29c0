"""One config for each published method; `siri-jax recipes` lists them.

A recipe's docstring has a line for each of these:

  Paper: where the method is described
  Needs: a warmed-up model or a table, or nothing
  Numbers: complete, or the settings that no source states
  Checked: what the tests compare the method's formulas with
"""
