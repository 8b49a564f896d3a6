"""The benchmarks of the paper, run with lm-eval on local data files.

`registry` describes the benchmarks, `data_files` finds their data, `lm_eval_tasks` and `lm_eval_model` adapt lm-eval, `scoring`
extracts scores and items from its results, `benchmark_job` is the run, and `item_store` reads its items.
"""
