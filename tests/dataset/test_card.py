"""Tests for the dataset card: contents, unknown values, and upload without leaking the token."""

from xml.etree import ElementTree

import pytest
import yaml
from support.runs import execute_run

from glan_core.dataset import card as cards
from glan_core.dataset.export_job import ExportTarget, export_dataset
from glan_core.dataset.manifest import Manifest
from glan_core.dataset.settings import RowSelection
from glan_core.errors import GlanError
from glan_core.figures.coverage_bars import FieldBar, coverage_svg
from glan_core.figures.style import LIGHT
from glan_core.formatting import exact
from glan_core.homework import review
from glan_core.io import hub
from glan_core.workspace import homework_rows
from glan_core.workspace.workspace import set_metadata


@pytest.fixture
def filled(ws, settings):
    """Workspace with scripted pairs of two disciplines; one pair is rejected."""
    execute_run(ws, settings("mathematics", "music"))
    review.review(ws, next(homework_rows.all_pairs(ws.db)).question.id, "reject", "Ada")
    return ws


def read(file) -> tuple[dict, str]:
    """Return (front matter, text) of a card."""
    _, front, text = file.read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def test_a_card_says_how_much_from_whom_what_was_left_out_and_what_is_not_known(filled, tmp_path):
    manifest = export_dataset(filled, tmp_path / "pairs.jsonl", "chat", target=ExportTarget(card=True, license="cc-by-4.0"))
    front, text = read(tmp_path / "pairs.md")
    assert front["license"] == "cc-by-4.0" and front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "pairs.jsonl"}]
    assert f"{manifest.number} instruction pairs" in text and "2 of 5 disciplines" in text and "- 1 rejected" in text
    assert "| scripted | questions |" in text and "rows come from the scripted teacher" in text and "](pairs.svg)" in text
    for words in ("Near-duplicates: **not done**", "There is no validation split", "3 of 5 disciplines have no rows"):
        assert words in text
    assert (tmp_path / "pairs.svg").is_file()


def test_the_card_of_a_folder_names_its_splits(filled, tmp_path):
    export_dataset(filled, tmp_path / "out", "datasets", RowSelection(split="combination", validation_share=0.4))
    front, text = read(tmp_path / "out" / "README.md")
    files = {file["split"]: file["path"] for file in front["configs"][0]["data_files"]}
    assert files == {"train": "train/*.arrow", "validation": "validation/*.arrow"}
    assert "no set of key concepts appears in both splits" in text and "license" not in front
    assert Manifest.model_validate_json((tmp_path / "out" / "manifest.json").read_text()).split == "combination"


def test_names_that_people_and_models_chose_can_do_no_harm_in_a_card(filled, tmp_path):
    manifest = export_dataset(filled, tmp_path / "out.jsonl", "chat")
    evil = "[x](http://evil) | <script>\n# head"
    place = next(iter(manifest.disciplines.values())).model_copy(update={"name": evil, "field": evil})
    odd = manifest.model_copy(update={"disciplines": {"d": place}, "teachers": {"answer": {f"openai:{evil}": 1}}})
    text = cards.card(odd, "chat", figure="coverage.svg")
    assert "\n# head" not in text and "\\<script\\>" in text and "\\[x\\]" in text and "Check the provider's terms" in text
    ElementTree.fromstring(coverage_svg(cards.field_bars(odd), LIGHT))


def test_checks_are_told_with_their_settings_and_no_place_on_a_disk(filled, tmp_path):
    seq = [pair.question.seq for pair in homework_rows.all_pairs(filled.db)]
    with filled.write() as db:
        set_metadata(
            db, "check:dedup", {"settings": {"threshold": 0.7, "embedder": "/home/ada/minilm"}, "up_to": seq[-3], "at": 1e9}
        )
        set_metadata(db, "check:decontaminate", {"splits": [{"benchmark": "GSM8K"}] * 2, "up_to": seq[-1], "at": 1e9})
    execute_run(filled, {}, "judge")
    export_dataset(filled, tmp_path / "out.jsonl", "chat", target=ExportTarget(card=True))
    _, text = read(tmp_path / "out.md")
    assert (
        f"Near-duplicates: completed on {exact(1e9)[:10]} (threshold 0.7; embedder minilm); 2 newer rows" in text
        and "/home" not in text
    )
    assert (
        f"decontamination: completed on {exact(1e9)[:10]} (against GSM8K)\n" in text
        and f"Judged by a teacher of {len(seq) - 1} pairs" in text
    )
    assert "Not checked: quality filters." in text
    assert cards._without_path("local:/models/Qwen3-8B") == "local:Qwen3-8B"


@pytest.mark.parametrize(
    ("teacher", "family"),
    [
        ("openai:gpt-4o-mini", "OpenAI"), ("openai:meta-llama/Llama-3.1-70B", "Meta Llama"), ("local:/models/Qwen3-8B/", "Qwen"),
        ("scripted", "the scripted teacher"), ("openai:scripted", "the scripted teacher"), ("openai:my-own-model", ""),
    ],
)  # fmt: skip
def test_the_terms_of_teachers_are_found_by_their_names_and_unknown_ones_are_said_to_be(teacher, family):
    license = cards.license_of(teacher)
    assert license.family == family and (family or "Check the provider's terms" in license.says)


def test_the_figure_has_a_bar_for_each_field_as_long_as_its_rows():
    bars = [FieldBar("A & B", "Academic-Humanities", 1000), FieldBar("C", "", 250)]
    root = ElementTree.fromstring(coverage_svg(bars, LIGHT))
    rects = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("height") == "16"]
    assert float(rects[1].get("width")) == pytest.approx(float(rects[0].get("width")) / 4)
    assert rects[0].get("fill") == LIGHT.groups["Academic-Humanities"] != rects[1].get("fill")
    ElementTree.fromstring(coverage_svg([], LIGHT))


class Hub:
    """Fake Hub API that records or rejects uploads."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal, self.made, self.files = refusal, None, {}

    def create_repo(self, repo, *, repo_type, private, exist_ok):
        if self.refusal:
            raise self.refusal
        self.made = (repo, repo_type, private, exist_ok)
        return f"https://hub.example/datasets/{repo}"

    def upload_folder(self, *, repo_id, repo_type, folder_path, commit_message, delete_patterns):
        self.files = {str(p.relative_to(folder_path)): p.read_bytes() for p in sorted(folder_path.rglob("*")) if p.is_file()}


@pytest.fixture
def there(monkeypatch):
    """Fake Hub with a logged-in user."""
    there = Hub()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: there)
    return there


def test_a_run_sends_data_card_and_figure_to_the_hub_and_no_token(filled, there):
    done = execute_run(filled, {"repo": "ada/glan", "choice": {"split": "combination", "validation_share": 0.4}}, "export")
    assert done.state == "finished" and done.message.endswith("to https://hub.example/datasets/ada/glan.")
    assert there.made == ("ada/glan", "dataset", True, True)
    assert set(there.files) == {"README.md", "coverage.svg", "manifest.json", "train.parquet", "validation.parquet"}
    kept = [repr(there.files), repr(done), *map(repr, filled.db.execute("SELECT params, message FROM runs"))]
    assert "hf_secret" not in "".join(kept)


def test_refusals_of_the_hub_are_sentences(filled, there, tmp_path, monkeypatch):
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import HfApi

    for status, words in ((401, "rejected the token"), (403, "write access"), (500, "status 500")):
        response = httpx2.Response(status, request=httpx2.Request("POST", "https://hub.example"))
        there.refusal = HfHubHTTPError("no, hf_secret", response=response)
        with pytest.raises(GlanError, match=words) as told:
            hub.push(tmp_path, "ada/glan", private=True)
        assert "hf_secret" not in str(told.value)
    there.refusal = ConnectionError("down")
    with pytest.raises(GlanError, match="could not be reached"):
        hub.push(tmp_path, "ada/glan", private=True)
    real = HfApi(endpoint="http://127.0.0.1:9", token="hf_secret")  # port 9 refuses connections
    with pytest.raises(GlanError, match="could not be reached") as told:
        hub.push(tmp_path, "ada/glan", private=True, api=real)
    assert "hf_secret" not in str(told.value)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    done = execute_run(filled, {"repo": "ada/glan", "path": str(tmp_path / "out")}, "export")
    assert done.state == "failed" and "HF_TOKEN" in done.message and not (tmp_path / "out").exists()
