"""What lm-eval found, as scores of parts and as items that people can read. In a run's process only."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from glan_core.evaluation.benchmarks.code_eval import outcomes
from glan_core.evaluation.benchmarks.item_store import Item
from glan_core.evaluation.benchmarks.registry import IFEVAL, MAIN, Benchmark, Measure, Way

CUT = "The prompt is longer than the model can see: its start was cut off."


@dataclass(frozen=True, slots=True)
class Part:
    """A score from 0 to 1 with its standard error (None: not known) over `number` rows."""

    score: float
    error: float | None
    number: int


def score_parts(benchmark: Benchmark, way: Way, tasks: Mapping[str, object], results: Mapping) -> dict[str, Part]:
    """The whole (MAIN), its parts and groups, and its other readings by their names. Parts are joined as lm-eval does: each row
    counts once, and the standard error is pooled (`pooled_sample_stderr`)."""
    by_part = {part: _part(task, way.measure, results) for part, task in tasks.items()}
    found = {MAIN: _joined(list(by_part.values()))}
    if len(benchmark.parts) > 1:
        for group, members in benchmark.groups.items():
            if here := [by_part[part] for part in members if part in by_part]:
                found[group] = _joined(here)
        found |= by_part
    for name, measure in way.others.items():
        found[name] = _joined([_part(task, measure, results) for task in tasks.values()])
    return found


def items(
    benchmark: Benchmark, way: Way, tasks: Mapping[str, object], results: Mapping, cut: Collection[str] = ()
) -> Iterator[Item]:
    """Every question, with what was answered, by parts in their order; `cut` are the prompts whose start the model did not see."""
    for part, task in tasks.items():
        for sample in results["samples"][task.task_name]:
            if sample["filter"] == way.measure.filter:
                item = replace(_item(benchmark, way, part, task, sample), question=str(sample["doc"][benchmark.columns[0]]))
                yield replace(item, note=f"{CUT}\n{item.note}".strip()) if item.prompt in cut else item


def _part(task: object, measure: Measure, results: Mapping) -> Part:
    found = results["results"][task.task_name]
    error = found.get(f"{measure.metric}_stderr,{measure.filter}")
    number = results["n-samples"][task.task_name]["effective"]
    known = isinstance(error, float) and error == error
    return Part(float(found[f"{measure.metric},{measure.filter}"]), error if known else None, number)


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    from lm_eval.api.metrics import pooled_sample_stderr

    number = sum(part.number for part in parts)
    score = sum(part.score * part.number for part in parts) / number
    errors = [part.error for part in parts]
    known = None not in errors and number > len(parts)
    return Part(score, float(pooled_sample_stderr(errors, [part.number for part in parts])) if known else None, number)


def _item(benchmark: Benchmark, way: Way, part: str, task: object, sample: Mapping) -> Item:
    prompt, right = str(sample["arguments"][0][0]), float(sample[way.measure.metric])
    if way.tokens is None:
        options = task.doc_to_choice(sample["doc"])
        chances = [float(response[0]) for response in sample["filtered_resps"]]
        likeliest = options[max(range(len(options)), key=chances.__getitem__)]
        target = sample["target"]
        return Item(
            part, prompt, "", likeliest, options[target] if isinstance(target, int) else str(target), right,
            options=tuple(zip(options, chances, strict=True)),
        )  # fmt: skip
    output, taken = sample["resps"][0][0], sample["filtered_resps"][0]
    note = ""
    if benchmark.runs_code:
        taken = taken if isinstance(taken, str) else taken[0]
        outcome = outcomes.get((taken, str(sample["target"])))
        note = outcome.why if outcome else ""
    target = str(sample["target"])
    if benchmark.id == "ifeval":
        taken, target = "", ""
        followed = zip(sample["doc"]["instruction_id_list"], sample["inst_level_strict_acc"], strict=True)
        note = "\n".join(f"{'followed' if done else 'not followed'}: {name}" for name, done in followed)
        note += "".join(f"\n{IFEVAL[name]}: {'yes' if sample[name] else 'no'}" for name in IFEVAL if name.startswith("prompt"))
    return Item(part, prompt, output, str(taken), target, right, note)
