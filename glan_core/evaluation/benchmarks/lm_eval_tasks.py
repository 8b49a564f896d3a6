"""lm-eval tasks on local files: lm-eval's own task definitions with the paper's number of shots.

Used in the process of a run only.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from glan_core.evaluation.benchmarks import code_eval
from glan_core.evaluation.benchmarks.registry import LAST_ANSWER, Benchmark, Way


def create_tasks(
    benchmark: Benchmark, way: Way, rows: Mapping[str, list[dict]], most_tokens: int | None, seed: int
) -> dict[str, Any]:
    """Create the lm-eval task of each part that has rows.

    Args:
        benchmark: Benchmark.
        way: Way to run it.
        rows: Rows by part.
        most_tokens: Token limit of answers; None if nothing is generated.
        seed: Seed of the few-shot examples.
    """
    from lm_eval.api.task import ConfigurableTask

    tasks = {}
    for part in rows:
        config = task_definition(benchmark, way, part)
        config["custom_dataset"] = _loader(rows[part], benchmark.split)
        if most_tokens:
            config["generation_kwargs"] = config["generation_kwargs"] | {"max_gen_toks": most_tokens}
        task = ConfigurableTask(config=config)
        task.set_config(key="num_fewshot", value=way.shots)
        task.set_fewshot_seed(seed=seed)
        tasks[part] = task
    return tasks


def task_definition(benchmark: Benchmark, way: Way, part: str) -> dict:
    """Return lm-eval's definition of a part's task with functions resolved and without its data source."""
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    file = Path(lm_eval.tasks.__file__).parent / way.definition.format(part=part)
    with code_eval.sandboxed_metric(), _no_downloads():
        config = load_yaml(file) | dict(way.changes)
    for name in ("tag", "group", "dataset_path", "dataset_name"):
        config.pop(name, None)
    if way.shots == 0:  # zero-shot tasks need no rows for examples
        for name in ("training_split", "validation_split", "fewshot_split", "fewshot_config"):
            config.pop(name, None)
    config["num_fewshot"] = way.shots
    if LAST_ANSWER in way.others:
        config["process_results"] = _with_last_answer(config["process_results"])
        config["metric_list"] = [
            *config["metric_list"],
            {"metric": LAST_ANSWER, "aggregation": "mean", "higher_is_better": True},
        ]
    return config


def _loader(rows: list[dict], split: str) -> Callable[..., Any]:
    def load(**_: object) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict({split: Dataset.from_list(rows)})

    return load


def _with_last_answer(process_results: Callable[..., dict]) -> Callable[..., dict]:
    """Add a second score to MATH: the last box, or the text after the last 'answer is', for models that explain.

    lm-eval itself compares the whole answer, or all text between its first and last dollar sign.
    """
    from lm_eval.tasks.hendrycks_math.utils import is_equiv, last_boxed_only_string, remove_boxed

    def process(doc: dict, results: list[str]) -> dict:
        try:
            answer = remove_boxed(last_boxed_only_string(results[0]))
        except (AssertionError, TypeError, IndexError):
            lines = results[0].rsplit("answer is", 1)[-1].strip().splitlines()[:1]
            answer = lines[0].strip(" .:$") if lines else ""
        return process_results(doc, results) | {LAST_ANSWER: int(is_equiv(answer, doc["answer"]))}

    return process


@contextmanager
def _no_downloads() -> Iterator[None]:
    """Disable NLTK downloads while the block runs, and seed language detection from then on."""
    try:
        import langdetect
        import nltk
    except ImportError:  # only IFEval needs these packages
        yield
        return
    langdetect.DetectorFactory.seed = 0
    fetch, nltk.download = nltk.download, lambda *_, **__: False
    try:
        with redirect_stdout(StringIO()):  # lm-eval prints that it downloaded the model
            yield
    finally:
        nltk.download = fetch
