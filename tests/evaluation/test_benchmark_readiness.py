"""Tests for benchmark readiness: available and missing data, and file layouts."""

import csv
import json
import os
import shlex

import pytest
from support.benchmark_files import ARC, BBH, GSM8K, IFEVAL, MATH, MMLU, PRECALCULUS, write_all, write_lines, write_parquet
from support.model_rows import put_model

from glan_core.cli import build_parser, main
from glan_core.cli.evaluate_bench import _settings
from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks import readiness
from glan_core.evaluation.benchmarks.command_line import benchmark_command
from glan_core.evaluation.benchmarks.data_files import data_hash, find_data, read_rows
from glan_core.evaluation.benchmarks.registry import BBH_TASKS, BENCHMARKS, MMLU_GROUPS, get_benchmark
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.workspace import run_rows


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Isolate tests from the user's Hugging Face cache."""
    cache = tmp_path_factory.mktemp("hub")
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture
def with_model(ws):
    put_model(ws, "student")
    return ws


def rows_of(folder, id):
    found = find_data(folder, get_benchmark(id))
    return found and read_rows(found, get_benchmark(id))


def test_data_that_is_missing_is_said_with_the_place_and_the_command(with_model, tmp_path):
    settings = BenchmarkSettings(models=("tuned:student",), benchmarks=("gsm8k", "mmlu"))
    with pytest.raises(GlanError) as refused:
        readiness.runnable_benchmarks(with_model, settings)
    said = str(refused.value)
    assert str(with_model.folder / "benchmarks" / "gsm8k") in said
    assert "'hf download --repo-type dataset openai/gsm8k'" in said and "'hf download --repo-type dataset cais/mmlu'" in said
    write_all(tmp_path / "data")
    here = BenchmarkSettings(models=("tuned:student",), benchmarks=("gsm8k", "mmlu"), data=str(tmp_path / "data"))
    assert [(one.benchmark.id, one.rows, one.parts) for one in readiness.runnable_benchmarks(with_model, here)] == [
        ("gsm8k", 4, 1),
        ("mmlu", 6, 3),
    ]


def test_what_is_missing_is_left_out_only_when_asked(with_model, tmp_path):
    write_lines(tmp_path / "gsm8k.jsonl", GSM8K)
    settings = BenchmarkSettings(models=("tuned:student",), benchmarks=("gsm8k", "bbh"), data=str(tmp_path))
    with pytest.raises(GlanError, match="--skip-missing"):
        readiness.runnable_benchmarks(with_model, settings)
    able = readiness.runnable_benchmarks(with_model, settings.model_copy(update={"skip_missing": True}))
    assert [one.benchmark.id for one in able] == ["gsm8k"]
    with pytest.raises(GlanError, match="BBH was not found"):
        readiness.runnable_benchmarks(with_model, settings.model_copy(update={"skip_missing": True, "benchmarks": ("bbh",)}))


def test_code_runs_only_when_asked_for(with_model, tmp_path, monkeypatch):
    write_all(tmp_path)
    settings = BenchmarkSettings(models=("tuned:student",), benchmarks=("humaneval",), data=str(tmp_path))
    with pytest.raises(GlanError, match="--run-code"):
        readiness.runnable_benchmarks(with_model, settings)
    assert readiness.runnable_benchmarks(with_model, settings.model_copy(update={"run_code": True}))[0].rows == 3

    def broken():
        raise GlanError("The sandbox does not hold.")

    monkeypatch.setattr(readiness.runner, "prove", broken)
    with pytest.raises(GlanError, match="does not hold"):
        readiness.runnable_benchmarks(with_model, settings.model_copy(update={"run_code": True}))


def test_endpoints_are_refused(with_model):
    for spec in ("openai:gpt", "scripted"):
        with pytest.raises(GlanError, match="require tuned:NAME, base:NAME or local:PATH"):
            readiness.runnable_benchmarks(with_model, BenchmarkSettings(models=(spec,)))
    with pytest.raises(GlanError, match="does not exist"):
        readiness.runnable_benchmarks(with_model, BenchmarkSettings(models=("tuned:nobody",)))


def test_ifeval_says_which_checks_are_missing(with_model, tmp_path, monkeypatch):
    asks = {
        "key": 1,
        "prompt": "Two sentences.",
        "instruction_id_list": ["length_constraints:number_sentences"],
        "kwargs": [{}],
    }
    write_lines(tmp_path / "ifeval.jsonl", [*IFEVAL, asks])
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk"))
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = BenchmarkSettings(models=("tuned:student",), benchmarks=("ifeval",), data=str(tmp_path))
    if not readiness._has_punkt():
        with pytest.raises(GlanError, match=r"punkt_tab.*python -m nltk.downloader punkt_tab"):
            readiness.runnable_benchmarks(with_model, settings)
    (tmp_path / "nltk" / "tokenizers" / "punkt_tab").mkdir(parents=True)
    assert readiness.runnable_benchmarks(with_model, settings)[0].rows == 4
    monkeypatch.setattr(readiness, "find_spec", lambda name: None)
    with pytest.raises(GlanError, match=r"langdetect.*pip install lm-eval\[ifeval\]"):
        readiness.runnable_benchmarks(with_model, settings)


def test_a_data_set_in_the_hubs_cache_is_found_by_its_name(own_cache, tmp_path):
    snapshots = own_cache / "datasets--openai--gsm8k" / "snapshots"
    write_parquet(snapshots / "old" / "main" / "test-00000-of-00001.parquet", GSM8K[:1])
    os.utime(snapshots / "old", (1, 1))
    write_parquet(snapshots / "new" / "main" / "test-00000-of-00001.parquet", GSM8K)
    write_parquet(snapshots / "new" / "main" / "train-00000-of-00001.parquet", GSM8K[:1])
    write_parquet(snapshots / "new" / "socratic" / "test-00000-of-00001.parquet", GSM8K[:2])
    assert rows_of(tmp_path, "gsm8k") == {"": GSM8K}


def test_files_as_people_have_them(tmp_path):
    assert rows_of(tmp_path, "gsm8k") is None
    write_lines(tmp_path / "a" / "gsm8k" / "train.jsonl", GSM8K[:1])
    assert rows_of(tmp_path / "a", "gsm8k") is None, "the train split is not the test"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "gsm8k.json").write_text(json.dumps(GSM8K))
    assert rows_of(tmp_path / "b", "gsm8k") == {"": GSM8K}
    for name, rows in BBH.items():
        place = tmp_path / "c" / "bbh" / f"{name}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"canary": "x", "examples": rows}))
    assert rows_of(tmp_path / "c", "bbh") == BBH
    write_lines(tmp_path / "d" / "math" / "test.jsonl", [*PRECALCULUS, *MATH])
    assert rows_of(tmp_path / "d", "math") == {"algebra": MATH, "precalc": PRECALCULUS}
    write_lines(tmp_path / "g" / "mbpp.jsonl", [{"task_id": n, "text": "", "code": "", "test_list": []} for n in range(1, 975)])
    assert [row["task_id"] for row in rows_of(tmp_path / "g", "mbpp")[""]] == list(range(11, 511)), "the test split's"
    for subject in ("algebra", "intermediate_algebra", "prealgebra"):
        write_lines(tmp_path / "e" / "math" / subject / "test.jsonl", [MATH[0] | {"level": subject}])
    assert {part: rows[0]["level"] for part, rows in rows_of(tmp_path / "e", "math").items()} == {
        "algebra": "algebra", "intermediate_algebra": "intermediate_algebra", "prealgebra": "prealgebra",
    }  # fmt: skip
    write_lines(tmp_path / "f" / "arc_easy.jsonl", ARC)
    assert rows_of(tmp_path / "f", "arc_easy") == {"": ARC} and rows_of(tmp_path / "f", "arc_challenge") is None


def test_mmlu_as_one_csv_with_its_subjects(tmp_path):
    file = tmp_path / "mmlu" / "test.csv"
    file.parent.mkdir()
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ("question", "subject", "choices", "answer"))
        writer.writeheader()
        for rows in MMLU.values():
            writer.writerows(row | {"choices": json.dumps(row["choices"])} for row in rows)
    assert rows_of(tmp_path, "mmlu") == MMLU


def test_a_file_with_other_columns_is_refused_by_its_name(with_model, tmp_path):
    write_lines(tmp_path / "gsm8k.jsonl", [{"prompt": "a", "completion": "b"}])
    with pytest.raises(GlanError, match=r"Line 1 of .*gsm8k.jsonl has no column 'question', which GSM8K requires"):
        readiness.runnable_benchmarks(
            with_model, BenchmarkSettings(models=("tuned:student",), benchmarks=("gsm8k",), data=str(tmp_path))
        )


def test_the_hash_of_data_follows_its_content(tmp_path):
    file = write_lines(tmp_path / "gsm8k.jsonl", GSM8K)
    first = data_hash(find_data(tmp_path, get_benchmark("gsm8k")))
    assert first == data_hash(find_data(tmp_path, get_benchmark("gsm8k"))) and first.startswith("sha256:")
    file.write_text(file.read_text().replace("Tom", "Tim"))
    os.utime(file, (5, 5))
    assert data_hash(find_data(tmp_path, get_benchmark("gsm8k"))) != first


def test_the_registry_names_lm_evals_own_tasks():
    """Every definition exists, and MMLU groups and BBH tasks are those of lm-eval."""
    from glan_core.evaluation.benchmarks.lm_eval_tasks import task_definition

    for benchmark in BENCHMARKS.values():
        for way in benchmark.ways.values():
            for part in benchmark.parts:
                config = task_definition(benchmark, way, part)
                assert config["num_fewshot"] == way.shots
                assert (config["output_type"] == "generate_until") == (way.tokens is not None)
    assert sum(len(names.split()) for names in MMLU_GROUPS.values()) == 57 and len(BBH_TASKS.split()) == 27


def test_the_command_lists_plans_and_refuses(with_model, tmp_path, capsys):
    folder, data = str(with_model.folder), str(tmp_path / "data")
    write_all(tmp_path / "data")
    assert main(["evaluate", "bench", folder, "--list", "--data", data]) == 0
    said = capsys.readouterr().out
    assert "gsm8k" in said and "3-shot" in said and "6 rows of 3 of 57 parts" in said
    assert main(["evaluate", "bench", folder, "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0]["command"] == "hf download --repo-type dataset openai/gsm8k" and "was not found" in listed[0]["missing"]
    words = ["evaluate", "bench", folder, "--models", "tuned:student,base:student", "--benchmarks", "arc_easy", "--data", data]
    assert main([*words, "--limit", "2", "--plan", "--json"]) == 0
    assert [(one["model"], one["way"], one["rows"]) for one in json.loads(capsys.readouterr().out)] == [
        (model, way, 2) for model in ("tuned:student", "base:student") for way in ("generated", "probability")
    ]
    assert main(["evaluate", "bench", folder, "--models", "tuned:student"]) == 2
    assert "was not found in" in capsys.readouterr().err and not run_rows.runs(with_model.db, 1)
    assert main(["evaluate", "bench", folder]) == 2 and "--models" in capsys.readouterr().err
    assert main(["evaluate", "bench", folder, "--models", "tuned:student", "--benchmarks", "gsm9k"]) == 2
    assert "gsm9k" in capsys.readouterr().err


@pytest.mark.parametrize("values", [
    {}, {"benchmarks": ("gsm8k", "mmlu"), "ways": ("probability",), "limit": 20, "max_tokens": 64, "batch": 2, "seed": 3},
    {"run_code": True, "skip_missing": True, "chat_template": False, "data": "/some where"},
])  # fmt: skip
def test_the_shown_command_stands_for_the_settings(values):
    settings = BenchmarkSettings(models=("tuned:a", "base:a"), **values)
    words = shlex.split(shlex.join(benchmark_command("ws", settings)))
    assert _settings(build_parser().parse_args(words[1:])) == settings
