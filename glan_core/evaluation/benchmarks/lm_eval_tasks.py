"""lm-eval's tasks over files of this machine: its own definition of each, with the paper's number of shots and local rows. In a run's
process only."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

from glan_core.evaluation.benchmarks import code_eval
from glan_core.evaluation.benchmarks.registry import LAST_ANSWER, Benchmark, Way


def make_tasks(
    benchmark: Benchmark, way: Way, rows: Mapping[str, list[dict]], most_tokens: int | None, seed: int
) -> dict[str, object]:
    """lm-eval's task of each part that has rows. An answer ends after `most_tokens`, None for a way that generates nothing."""
    from lm_eval.api.task import ConfigurableTask

    tasks = {}
    for part in rows:
        config = definition(benchmark, way, part)
        config["custom_dataset"] = _loader(rows[part], benchmark.split)
        if most_tokens:
            config["generation_kwargs"] = config["generation_kwargs"] | {"max_gen_toks": most_tokens}
        task = ConfigurableTask(config=config)
        task.set_config(key="num_fewshot", value=way.shots)
        task.set_fewshot_seed(seed=seed)
        tasks[part] = task
    return tasks


def definition(benchmark: Benchmark, way: Way, part: str) -> dict:
    """lm-eval's definition of a part's task, its functions resolved, without what says where its data would be fetched."""
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    file = Path(lm_eval.tasks.__file__).parent / way.definition.format(part=part)
    with code_eval.in_place(), _nothing_fetched():
        config = load_yaml(file) | dict(way.changes)
    for name in ("tag", "group", "dataset_path", "dataset_name"):
        config.pop(name, None)
    if way.shots == 0:  # then examples are not drawn, and rows to draw them from need not be here
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


def _loader(rows: list[dict], split: str):
    def load(**_: object):
        from datasets import Dataset, DatasetDict

        return DatasetDict({split: Dataset.from_list(rows)})

    return load


def _with_last_answer(process_results):
    """MATH as lm-eval scores it, where the whole answer, or all between its first and last dollar, must be the formula; and a
    second reading for models that explain: what stands in the last box, or else behind the last 'answer is'."""
    from lm_eval.tasks.hendrycks_math.utils import is_equiv, last_boxed_only_string, remove_boxed

    def process(doc: dict, results: list[str]) -> dict:
        try:
            said = remove_boxed(last_boxed_only_string(results[0]))
        except (AssertionError, TypeError, IndexError):
            said = results[0].rsplit("answer is", 1)[-1].strip().splitlines()[:1]
            said = said[0].strip(" .:$") if said else ""
        return process_results(doc, results) | {LAST_ANSWER: int(is_equiv(said, doc["answer"]))}

    return process


@contextmanager
def _nothing_fetched() -> Iterator[None]:
    """While the block runs, NLTK fetches no model; language detection draws by a fixed seed from then on."""
    try:
        import langdetect
        import nltk
    except ImportError:  # IFEval alone needs them
        yield
        return
    langdetect.DetectorFactory.seed = 0
    fetch, nltk.download = nltk.download, lambda *_, **__: False
    try:
        with redirect_stdout(StringIO()):  # lm-eval says that it fetched the model
            yield
    finally:
        nltk.download = fetch
