"""Tests that benchmark runs give the same scores as lm-eval called directly on the same files."""

import json
from pathlib import Path

import pytest
from support.benchmark_files import write_all
from support.chat_models import make_base, make_full, make_tuned
from support.runs import execute_run, resume_run

from glan_core.evaluation.benchmarks import benchmark_job
from glan_core.evaluation.benchmarks.item_store import ScoredItem, items_file, read_items, write_items
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, IFEVAL, LAST_ANSWER, MMLU_GROUPS
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.evaluation.sandbox import runner
from glan_core.workspace import Workspace, benchmark_score_rows

TOKENS = 12
PAPER = {  # shots of the paper's table; lm-eval's filter and metric
    ("gsm8k", "generated"): (0, "exact_match,flexible-extract"), ("math", "generated"): (0, "exact_match,none"),
    ("humaneval", "generated"): (0, "pass@1,create_test"), ("mbpp", "generated"): (3, "pass_at_1,none"),
    ("bbh", "generated"): (3, "exact_match,get-answer"), ("arc_easy", "generated"): (0, "exact_match,remove_whitespace"),
    ("arc_easy", "probability"): (0, "acc,none"), ("arc_challenge", "generated"): (0, "exact_match,remove_whitespace"),
    ("arc_challenge", "probability"): (0, "acc,none"), ("mmlu", "generated"): (0, "exact_match,flexible-extract"),
    ("mmlu", "probability"): (0, "acc,none"), ("ifeval", "generated"): (0, "prompt_level_strict_acc,none"),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder with files of every benchmark."""
    folder = tmp_path_factory.mktemp("data")
    return folder, write_all(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def asked(tmp_path_factory, base, data):
    """Workspace with results of an adapter and its base on every benchmark."""
    ws = Workspace.create(tmp_path_factory.mktemp("asked") / "ws")
    make_tuned(ws, base, "tuned")
    make_full(ws)
    settings = BenchmarkSettings(models=("tuned:tuned", "base:tuned"), data=str(data[0]), max_tokens=TOKENS, run_code=True)
    run = execute_run(ws, settings.model_dump(mode="json"), kind="bench")
    assert run.state == "finished", run.message
    yield ws
    ws.close()


def found(ws, benchmark, way="generated", part="", model="tuned:tuned"):
    """Return a stored score."""
    [score] = [s for s in benchmark_score_rows.scores(ws.db, benchmark, way) if (s.part, s.model) == (part, model)]
    return score


@pytest.mark.long
def test_every_benchmark_is_asked_as_in_the_papers_table(asked):
    whole = benchmark_score_rows.scores(asked.db, parts=False)
    assert {(s.benchmark, s.way): (s.about["shots"], s.about["filter"]) for s in whole} == PAPER
    assert len(whole) == 2 * len(PAPER) and set(BENCHMARKS) == {benchmark for benchmark, _ in PAPER}
    assert all(0 <= s.score <= 1 and s.number and s.about["data"].startswith("sha256:") for s in whole)
    assert {s.about["lm_eval"] for s in whole} == {"0.4.13"}


def direct(base, adapter, tasks, chat=True, tokens=TOKENS):
    """Run lm-eval directly with its own loaders."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(
        pretrained=str(base), tokenizer=str(adapter or base), peft=adapter and str(adapter), batch_size=1, device="cpu"
    )
    generated = [task for task in tasks if task["output_type"] == "generate_until"]
    return simple_evaluate(
        model, tasks=tasks, apply_chat_template=chat, task_manager=TaskManager(include_defaults=False),
        gen_kwargs={"max_gen_toks": tokens} if generated else None, bootstrap_iters=100,
    )  # fmt: skip


def own_task(definition, file, name, **changes):
    """Return lm-eval's task definition with only the data source changed."""
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(Path(lm_eval.tasks.__file__).parent / definition)
    split = config.get("test_split") or "test"
    for key in (
        "tag",
        "dataset_name",
        "training_split",
        "validation_split",
        "fewshot_split",
        *(("fewshot_config",) * (not changes.pop("keep", 0))),
    ):
        config.pop(key, None)
    kind = "parquet" if file.suffix == ".parquet" else "json"
    return config | {
        "task": name, "dataset_path": kind, "dataset_kwargs": {"data_files": {split: str(file)}}, "test_split": split, **changes,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tuned:tuned", "base:tuned"])
def test_scores_equal_lm_eval_called_directly(asked, base, data, model, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    files, weights = data[1], asked.folder / "models" / "tuned" / "weights"
    adapter = weights if model == "tuned:tuned" else None
    generated = [
        own_task("gsm8k/gsm8k.yaml", files["gsm8k"][""], "gsm", num_fewshot=0),
        own_task("hendrycks_math/hendrycks_math_algebra.yaml", files["math"]["algebra"], "alg"),
        own_task("bbh/cot_fewshot/boolean_expressions.yaml", files["bbh"]["boolean_expressions"], "bool", keep=1),
        own_task("arc/arc_challenge_chat.yaml", files["arc_challenge"][""], "arc_chat"),
        own_task("mmlu/flan_cot_zeroshot/mmlu_anatomy.yaml", files["mmlu"]["anatomy"], "anatomy_chat"),
        own_task("ifeval/ifeval.yaml", files["ifeval"][""], "ifeval"),
    ]  # fmt: skip
    chances = [
        own_task("arc/arc_easy.yaml", files["arc_easy"][""], "arc"),
        *(own_task("mmlu/default/mmlu_anatomy.yaml", files["mmlu"][part], f"mmlu_{part}", keep=0) for part in files["mmlu"]),
    ]
    for task in chances[1:]:
        part = task["task"].removeprefix("mmlu_")
        task["description"] = f"The following are multiple choice questions (with answers) about {part}.\n\n"
    results = direct(base, adapter, generated)
    chosen = direct(base, adapter, chances)
    for task, metric, benchmark, way, part in (
        ("gsm", "exact_match,flexible-extract", "gsm8k", "generated", ""),
        ("gsm", "exact_match,strict-match", "gsm8k", "generated", "strict-match"),
        ("alg", "exact_match,none", "math", "generated", "algebra"),
        ("bool", "exact_match,get-answer", "bbh", "generated", "boolean_expressions"),
        ("arc_chat", "exact_match,remove_whitespace", "arc_challenge", "generated", ""),
        ("anatomy_chat", "exact_match,flexible-extract", "mmlu", "generated", "anatomy"),
        *(("ifeval", f"{name},none", "ifeval", "generated", name) for name in IFEVAL),
        ("arc", "acc,none", "arc_easy", "probability", ""), ("arc", "acc_norm,none", "arc_easy", "probability", "acc_norm"),
        *((f"mmlu_{part}", "acc,none", "mmlu", "probability", part) for part in files["mmlu"]),
    ):  # fmt: skip
        theirs = (chosen if way == "probability" else results)["results"][task]
        ours = found(asked, benchmark, way, part, model)
        assert ours.score == theirs[metric], (benchmark, way, part)
        error = theirs[metric.replace(",", "_stderr,")]
        assert ours.error == (error if isinstance(error, float) and ours.number > 1 else None), (benchmark, way, part)
    for task, benchmark, way, part in (("gsm", "gsm8k", "generated", None), ("ifeval", "ifeval", "generated", None),
                                       ("bool", "bbh", "generated", "boolean_expressions")):  # fmt: skip
        ours = items_of(asked, benchmark, way, model, part)
        theirs = [s for s in results["samples"][task] if s["filter"] in ("none", "flexible-extract", "get-answer")]
        assert [(i.prompt, i.output) for i in ours] == [(s["arguments"][0][0], s["resps"][0][0]) for s in theirs]
    ours, theirs = items_of(asked, "arc_easy", "probability", model), chosen["samples"]["arc"]
    assert [i.options[0][1] for i in ours] == pytest.approx([s["filtered_resps"][0][0] for s in theirs], abs=1e-4)


def items_of(ws, benchmark, way="generated", model="tuned:tuned", part=None):
    score = found(ws, benchmark, way, "", model)
    return read_items(items_file(ws, score.weights_hash, benchmark, way, score.about), part=part).items


def test_the_base_is_asked_without_the_adapter_and_in_the_same_template(asked, base):
    from glan_core.models.tuned_model_store import hash_weights

    tuned, bare = found(asked, "gsm8k"), found(asked, "gsm8k", model="base:tuned")
    assert bare.weights_hash == hash_weights(base) == tuned.about["base"] and tuned.weights_hash != bare.weights_hash
    assert tuned.about["template"] == bare.about["template"] != ""
    ours, others = items_of(asked, "gsm8k"), items_of(asked, "gsm8k", model="base:tuned")
    assert [i.prompt for i in ours] == [i.prompt for i in others] and ours[0].prompt.startswith("<user>Question: Tom has 2")
    assert [i.output for i in ours] != [i.output for i in others]


def test_groups_are_joined_by_their_rows(asked):
    for way in ("generated", "probability"):
        parts = {part: found(asked, "mmlu", way, part) for part in ("anatomy", "philosophy", "virology")}
        whole = found(asked, "mmlu", way)
        assert whole.number == 6 and whole.score == pytest.approx(sum(p.score * p.number for p in parts.values()) / 6)
        for group, subject in (("stem", "anatomy"), ("humanities", "philosophy"), ("other", "virology")):
            assert found(asked, "mmlu", way, group).score == parts[subject].score
    assert "social_sciences" in MMLU_GROUPS and not [
        s for s in benchmark_score_rows.scores(asked.db) if s.part == "social_sciences"
    ]


def test_items_can_be_read(asked):
    score = found(asked, "mmlu", "probability")
    file = items_file(asked, score.weights_hash, "mmlu", "probability", score.about)
    page = read_items(file, 1, 2)
    assert page.total == 6 and len(page.items) == 2
    item = page.items[0]
    assert item.question == "Which organ pumps blood?" and item.question in item.prompt
    assert item.part == "anatomy" and [text for text, _ in item.options] == ["A", "B", "C", "D"] and item.target == "A"
    assert item.extracted == max(item.options, key=lambda option: option[1])[0]
    right, wrong = read_items(file, right=True), read_items(file, right=False)
    assert right.total + wrong.total == 6 and right.total == round(6 * score.score)
    assert {item.part for item in read_items(file, part="virology").items} == {"virology"}
    assert read_items(file.with_name("gone.jsonl")).total == 0


def test_code_items_say_why_they_failed(asked):
    for benchmark in ("humaneval", "mbpp"):
        for item in items_of(asked, benchmark):
            assert item.right == 0 and ("Error" in item.note or "tests" in item.note), item
    assert "expert Python programmer" in items_of(asked, "mbpp")[0].prompt
    assert items_of(asked, "mbpp")[0].prompt.count("[DONE]") == 3


def test_what_is_stored_is_not_asked_again(asked, data, monkeypatch):
    settings = BenchmarkSettings(models=("base:tuned", "tuned:tuned"), data=str(data[0]), max_tokens=TOKENS, run_code=True)
    before = benchmark_score_rows.scores(asked.db)
    monkeypatch.setattr(benchmark_job._EvaluatedModel, "_evaluate", lambda *_: pytest.fail("asked again"))
    run = execute_run(asked, settings.model_dump(mode="json"), kind="bench")
    assert run.state == "finished" and benchmark_score_rows.scores(asked.db) == before


def test_the_same_weights_under_another_name_are_not_asked_again(asked, data, base, monkeypatch):
    monkeypatch.setattr(benchmark_job._EvaluatedModel, "_evaluate", lambda *_: pytest.fail("asked again"))
    values = {"models": (f"local:{base}",), "benchmarks": ("gsm8k",), "data": str(data[0]), "max_tokens": TOKENS}
    assert execute_run(asked, BenchmarkSettings(**values).model_dump(mode="json"), kind="bench").state == "finished"
    ours, known = (found(asked, "gsm8k", model=model) for model in (f"local:{base}", "base:tuned"))
    assert (ours.score, ours.weights_hash, ours.number) == (known.score, known.weights_hash, known.number)


def test_after_a_kill_only_what_is_missing_is_asked(asked, data, monkeypatch):
    """A killed run keeps its answers; the next run computes the rest."""
    from glan_core.evaluation.benchmarks import lm_eval_model

    monkeypatch.setattr(lm_eval_model, "AT_ONCE", 1)
    values = {"models": ("tuned:whole",), "benchmarks": ("gsm8k",), "data": str(data[0]), "max_tokens": 4, "batch": 1}
    settings = BenchmarkSettings(**values).model_dump(mode="json")
    asked_now = []
    answer = lm_eval_model.HFLM.generate_until

    def dying(self, requests, disable_tqdm=False):
        if len(asked_now) == 2:
            raise KeyboardInterrupt
        asked_now.append(requests[0].args[0])
        return answer(self, requests, disable_tqdm=disable_tqdm)

    monkeypatch.setattr(lm_eval_model.HFLM, "generate_until", dying)
    ended = execute_run(asked, settings, kind="bench")
    assert ended.state == "paused" and len(asked_now) == 2
    assert not [s for s in benchmark_score_rows.scores(asked.db) if s.model == "tuned:whole"]

    def living(self, requests, disable_tqdm=False):
        asked_now.append(requests[0].args[0])
        return answer(self, requests, disable_tqdm=disable_tqdm)

    monkeypatch.setattr(lm_eval_model.HFLM, "generate_until", living)
    run = resume_run(asked, ended.id)
    assert run.state == "finished", run.message
    assert len(asked_now) == len(set(asked_now)) == 4 == found(asked, "gsm8k", model="tuned:whole").number
    assert not list((asked.folder / "evaluations").rglob("*.part"))


def test_a_limit_is_spread_over_the_parts(asked, data):
    values = {"models": ("tuned:whole",), "benchmarks": ("mmlu",), "ways": ("probability",), "limit": 3, "data": str(data[0])}
    assert execute_run(asked, BenchmarkSettings(**values).model_dump(mode="json"), kind="bench").state == "finished"
    score = found(asked, "mmlu", "probability", model="tuned:whole")
    assert score.number == 3 and score.about["limit"] == 3
    assert {i.part for i in items_of(asked, "mmlu", "probability", "tuned:whole")} == {"anatomy", "philosophy", "virology"}


def test_programs_that_cannot_be_judged_are_counted(asked, data, monkeypatch):
    from glan_core.evaluation.benchmarks import code_eval

    monkeypatch.setattr(
        code_eval, "run_code", lambda *_: runner.Outcome(passed=False, why="not supported: a reason", unsupported=True)
    )
    values = {
        "models": ("tuned:whole",),
        "benchmarks": ("mbpp",),
        "limit": 1,
        "data": str(data[0]),
        "max_tokens": 4,
        "run_code": True,
    }
    run = execute_run(asked, BenchmarkSettings(**values).model_dump(mode="json"), kind="bench")
    assert run.state == "finished" and "1 program could not be judged and counted as failed" in run.message
    assert [item.note for item in items_of(asked, "mbpp", model="tuned:whole")] == ["not supported: a reason"]


@pytest.mark.slow
def test_programs_that_are_right_pass_and_harmful_ones_fail_while_the_run_goes_on(monkeypatch, data):
    """Programs are scored with lm-eval's own functions."""
    from dataclasses import replace

    from support.benchmark_files import HUMANEVAL, MBPP

    from glan_core.evaluation.benchmarks.lm_eval_tasks import create_tasks
    from glan_core.evaluation.benchmarks.registry import get_benchmark

    monkeypatch.setattr(runner, "LIMITS", replace(runner.LIMITS, cpu_seconds=1, seconds=2))
    task = create_tasks(get_benchmark("humaneval"), get_benchmark("humaneval").ways["generated"], {"": HUMANEVAL}, 8, 0)[""]
    doc = HUMANEVAL[2]
    written = {doc["canonical_solution"]: 1, "    return x - 2\n": 0, "    import os\n    os._exit(0)\n": 0, "    exit()\n": 0,
               "    import socket\n    socket.socket()\n": 0, "    while True: pass\n": 0}  # fmt: skip
    for body, passes in written.items():
        program = doc["prompt"] + body
        assert task.process_results(doc, [[program]]) == {"pass@1": passes}, body
    task = create_tasks(get_benchmark("mbpp"), get_benchmark("mbpp").ways["generated"], {"": MBPP}, 8, 0)[""]
    assert task.process_results(MBPP[1], [MBPP[1]["code"]]) == {"pass_at_1": 1}
    assert task.process_results(MBPP[1], ["import os\nos.fork()"]) == {"pass_at_1": 0}


def test_math_reads_the_last_answer_too():
    from support.benchmark_files import MATH

    from glan_core.evaluation.benchmarks.lm_eval_tasks import create_tasks
    from glan_core.evaluation.benchmarks.registry import get_benchmark

    task = create_tasks(get_benchmark("math"), get_benchmark("math").ways["generated"], {"algebra": MATH}, 8, 0)["algebra"]
    doc = task.eval_docs[0]
    said = {
        "9": (1, 1), "Since $3 \\cdot 3$ is $9$, we get $\\boxed{9}$.": (0, 1), "So the answer is 9.": (0, 1),
        "So the answer is $9$.\nDone.": (1, 1), "It is 8.": (0, 0), "": (0, 0), "\\boxed{": (0, 0),
    }  # fmt: skip
    for text, (whole, last) in said.items():
        assert task.process_results(doc, [text]) == {"exact_match": whole, LAST_ANSWER: last}, text


def test_a_cut_line_of_kept_answers_counts_as_not_answered(tmp_path):
    from glan_core.evaluation.benchmarks.lm_eval_model import _read

    file = tmp_path / "kept.part"
    file.write_text(json.dumps(["a", "said"]) + "\n" + '["b", "sa')
    assert _read(file) == {"a": "said"} and file.read_text() == json.dumps(["a", "said"]) + "\n"


def test_a_prompt_that_is_too_long_is_said_to_be_cut(tmp_path, data):
    ws = Workspace.create(tmp_path / "ws")
    short = make_base(tmp_path / "short", positions=64)
    values = {
        "models": (f"local:{short}",),
        "benchmarks": ("gsm8k", "arc_easy"),
        "ways": ("probability",),
        "data": str(data[0]),
    }
    run = execute_run(ws, BenchmarkSettings(**values).model_dump(mode="json"), kind="bench")
    assert run.state == "finished" and "7 prompts exceeded the context" in run.message
    gsm8k, arc = (items_of(ws, id, way, f"local:{short}") for id, way in (("gsm8k", "generated"), ("arc_easy", "probability")))
    assert all("start was truncated" in item.note for item in (*gsm8k, *arc))
    assert found(ws, "gsm8k", model=f"local:{short}").about["max_tokens"] == 32, "half of what it can see"
    ws.close()


def test_rows_that_lm_eval_cannot_take_end_the_run_with_a_sentence(tmp_path, base):
    from support.benchmark_files import MATH, write_lines

    ws = Workspace.create(tmp_path / "ws")
    write_lines(tmp_path / "math" / "algebra.jsonl", [MATH[0] | {"solution": "no box"}])
    values = {"models": (f"local:{base}",), "benchmarks": ("math",), "data": str(tmp_path)}
    run = execute_run(ws, BenchmarkSettings(**values).model_dump(mode="json"), kind="bench")
    assert run.state == "failed" and "cannot use the rows of MATH" in run.message
    ws.close()


def test_an_item_is_stored_whatever_characters_a_program_puts_into_it(tmp_path):
    """A program may raise an exception with a lone surrogate, which UTF-8 cannot express."""
    odd = "odd \ud800\x00\x1b[31m\u202e\udfff"
    write_items(tmp_path / "items.jsonl", [ScoredItem(odd, odd, odd, odd, odd, 0.0, odd, ((odd, 0.5),), odd)])
    (item,) = read_items(tmp_path / "items.jsonl").items
    assert item.note == item.output == "odd ?\x00\x1b[31m\u202e?"
