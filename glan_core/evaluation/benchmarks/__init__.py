"""The paper's benchmarks, run through lm-eval with files that lie on this machine.

`registry` says what they are and how the paper asks them, `files` finds their data, `tasks` and `answering` are what lm-eval works
with, `scoring` takes scores and items from what it gives, `running` is the run, `items` reads what was asked and answered.
"""
