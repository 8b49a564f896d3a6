"""Dataset card: the README of an exported dataset, generated from its manifest."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from glan_core.dataset.formats import file_suffix
from glan_core.dataset.manifest import Manifest
from glan_core.dataset.settings import ExportFormat
from glan_core.dataset.snapshot_store import EXCLUSION_LABELS
from glan_core.dataset.splits import SPLIT_RULES
from glan_core.figures.coverage_bars import FieldBar, coverage_svg
from glan_core.figures.style import LIGHT
from glan_core.formatting import exact, number
from glan_core.markdown import Verbatim, plain, table
from glan_core.resources import ASSETS
from glan_core.taxonomy.hierarchy import GROUPS

TABLE = ASSETS / "licenses.yaml"
CHECKED = {
    "filter": "Quality filters", "judge": "Judged by a teacher", "dedup": "Near-duplicates",
    "decontaminate": "Benchmark decontamination",
}  # fmt: skip
OPTIONAL = ("judge",)
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


@dataclass(frozen=True, slots=True)
class License:
    """What the terms of a model provider say about outputs.

    Attributes:
        family: Model family, '' if unknown.
        says: Summary of the terms.
        link: URL of the terms.
    """

    family: str
    says: str
    link: str


UNKNOWN = License("", "Unknown to GLAN Studio. Check the provider's terms before you release its outputs or train on them.", "")


def license_of(teacher: str) -> License:
    """Return the output terms of a teacher such as 'openai:gpt-4o', 'local:/models/Qwen3-8B' or 'scripted'."""
    model = teacher.rpartition(":")[2].rstrip("/").rpartition("/")[2].casefold()
    names = [name for name in _families() if model == name or model.startswith(name)]
    return License(**_families()[max(names, key=len)]) if names else UNKNOWN


@cache
def _families() -> dict[str, dict]:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))["families"]


def write_card(
    manifest: Manifest, file: Path, form: ExportFormat, *, license: str | None = None, data: str | None = None
) -> None:
    """Write the dataset card and its coverage figure.

    Args:
        manifest: Manifest of the dataset.
        file: Path of the card.
        form: Export format.
        license: License identifier for the front matter.
        data: Name of the data file the card describes; None if it describes all files of its folder.
    """
    figure = file.with_name("coverage.svg" if data is None else f"{file.stem}.svg")
    file.write_text(card(manifest, form, figure=figure.name, license=license, data=data), "utf-8")
    figure.write_text(coverage_svg(field_bars(manifest), LIGHT), "utf-8")


def is_card(file: Path) -> bool:
    """Return whether a file is a card written by `write_card`."""
    try:
        with file.open(encoding="utf-8") as lines:
            head = lines.read(4000)
    except (OSError, ValueError):
        return False
    return head.startswith("---\n") and "pretty_name:" in head and "- glan\n" in head


def field_bars(manifest: Manifest) -> list[FieldBar]:
    """Return the fields of a dataset with their row counts, by taxonomy group, then by size."""
    rows: dict[tuple[str, str], int] = {}
    for place in manifest.disciplines.values():
        rows[place.field, place.group] = rows.get((place.field, place.group), 0) + place.rows
    group_order = {group: nth for nth, group in enumerate(GROUPS)}
    ranked = sorted(rows.items(), key=lambda item: (group_order.get(item[0][1], len(GROUPS)), -item[1], item[0]))
    return [FieldBar(field, group, count) for (field, group), count in ranked]


def card(
    manifest: Manifest, form: ExportFormat, *, figure: str | None, license: str | None = None, data: str | None = None
) -> str:
    """Return the text of the card: front matter for the Hub, then contents, sources and limitations; `figure` None leaves out the figure."""
    title = manifest.name or manifest.workspace or "Instruction pairs"
    parts = [
        _front_matter(manifest, form, title, license, data),
        f"# {plain(title)}\n\n{_opening(manifest)}",
        "## Coverage\n\n" + (f"![Rows by field of the taxonomy]({figure})\n\n" if figure else "") + _coverage(manifest),
        f"## Rows\n\n{_rows(manifest)}",
        f"## Teachers and license terms\n\n{_teachers(manifest)}",
        f"## Excluded rows\n\n{_left_out(manifest)}",
        f"## Checks\n\n{_checks(manifest)}",
        "## Known limitations\n\n" + "\n".join(f"- {limit}" for limit in _limits(manifest)),
        f"## Usage\n\n{_loading(form, data)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(manifest: Manifest, form: ExportFormat, title: str, license: str | None, data: str | None) -> str:
    files = {split: data or _files(form, split) for split in sorted(manifest.rows)}
    values = {
        "pretty_name": title, "language": ["en"], "task_categories": ["text-generation"],
        "tags": ["synthetic", "instruction-tuning", "glan"], "size_categories": [_size(manifest.number)],
        "configs": [{"config_name": "default", "data_files": [{"split": s, "path": path} for s, path in files.items()]}],
    }  # fmt: skip
    if license:
        values = {"license": license} | values
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def _files(form: ExportFormat, split: str) -> str:
    return f"{split}/*.arrow" if form == "datasets" else f"{split}{file_suffix(form)}"


def _size(rows: int) -> str:
    return next((words for limit, words in SIZES if rows < limit), "10M<n<100M")


def _opening(manifest: Manifest) -> str:
    snapshot = f"The dataset is snapshot `{manifest.name}` with content hash `{manifest.hash}`. " if manifest.hash else ""
    lengths = manifest.characters
    return (
        f"{number(manifest.number)} instruction pairs, generated from a taxonomy of human knowledge: field, discipline, "
        "subject, syllabus, class session, key concept, homework question, answer (the method of GLAN, arXiv 2402.13064). "
        f"Questions average {number(lengths['question'])} characters, answers {number(lengths['answer'])}. "
        f"Every row includes its provenance. {snapshot}Created with GLAN Studio {manifest.glan_version} on "
        f"{exact(manifest.created_at)[:10]}."
    )


def _coverage(manifest: Manifest) -> str:
    covered = manifest.coverage
    asked = (
        f" At that time, {number(covered.concepts_asked)} of {number(covered.concepts)} key concepts in the workspace had "
        "questions."
        if covered.concepts
        else ""
    )
    rows = [(place.field, place.name, place.rows) for place in list(manifest.disciplines.values())[:20]]
    more = len(manifest.disciplines) - len(rows)
    return (
        f"{number(covered.disciplines_with_rows)} of {number(covered.disciplines)} disciplines in the taxonomy have rows.{asked}"
        f"\n\n{table(('Field', 'Discipline', 'Rows'), rows)}"
        + (f"\n\nand {number(more)} smaller {'discipline' if more == 1 else 'disciplines'}." if more > 0 else "")
    )


def _rows(manifest: Manifest) -> str:
    words = {"combination": "no set of key concepts", "syllabus": "no syllabus"}
    held = (
        f"Split rule: {SPLIT_RULES[manifest.split]} (seed {manifest.seed}, validation share {manifest.validation_share:.0%}), so "
        f"{words[manifest.split]} appears in both splits."
        if manifest.split != "none"
        else "The dataset has no validation split."
    )
    counts = [(f"Split: {split}", count) for split, count in sorted(manifest.rows.items())]
    sessions = {"single": "one class session", "pair": "two class sessions"}
    counts += [(f"Sampled from {sessions.get(name, name)}", n) for name, n in manifest.strategies.items()]
    counts += [(f"Level: {name or 'not stated'}", n) for name, n in manifest.levels.items()]
    counts += [(f"{what.capitalize()} by a person", n) for what, n in manifest.reviewed.items() if n]
    return f"{held}\n\n{table(('Rows', 'Number'), counts)}"


def _teachers(manifest: Manifest) -> str:
    rows = []
    for what, teachers in manifest.teachers.items():
        for teacher, count in teachers.items():
            terms = license_of(teacher)
            link = f" ([terms]({terms.link}))" if terms.link else ""
            rows.append((_without_path(teacher), f"{what}s", count, Verbatim(plain(terms.says) + link)))
    note = "This summary is not legal advice; the terms you agreed to apply."
    return f"{table(('Teacher', 'Generated', 'Rows', 'Terms for outputs'), rows)}\n\n{note}"


def _left_out(manifest: Manifest) -> str:
    lines = [f"- {number(count)} {EXCLUSION_LABELS[reason]}" for reason, count in manifest.left_out.items() if count]
    lines = lines or ["- none"]
    if manifest.include:
        lines.append(f"- included anyway: pairs {', '.join(EXCLUSION_LABELS[reason] for reason in manifest.include)}")
    if manifest.asked:
        conditions = "; ".join(f"{name.replace('_', ' ')}: {_said(value)}" for name, value in manifest.asked.items())
        lines.append(f"- row filter: {plain(conditions)}")
    return "\n".join(lines)


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_said(part) for part in value[:20])
    return _without_path(str(value))


def _without_path(text: str) -> str:
    """Return 'local:/models/Qwen3-8B' as 'local:Qwen3-8B', so that a published card contains no local paths."""
    kind, colon, place = text.rpartition(":")
    return f"{kind}{colon}{Path(place).name}" if place.startswith(("/", "~")) else text


def _checks(manifest: Manifest) -> str:
    lines = []
    for name, words in CHECKED.items():
        check = manifest.checks.get(name)
        if check is None or not _done(check):
            lines += [f"- {words}: **not done**"] if name not in OPTIONAL else []
            continue
        settings = {key: value for key, value in (check.get("settings") or {}).items() if value not in (None, (), [])}
        if against := sorted({split["benchmark"] for split in check.get("splits", ())}):
            settings["against"] = against
        shown = "; ".join(f"{key.replace('_', ' ')} {_said(value)}" for key, value in settings.items())
        rows = f" of {number(check['rows'])} pairs in the workspace" if name in OPTIONAL else ""
        newer = 0 if name in OPTIONAL else check["rows_after"]
        lines.append(
            f"- {words}{rows}: completed on {exact(check['at'])[:10]}" + (f" ({plain(shown)})" if shown else "")
            + (f"; {number(newer)} newer rows in this dataset were not checked" if newer else "")
        )  # fmt: skip
    return "\n".join(lines)


def _done(check: dict | None) -> bool:
    """Return whether a check was completed; one without any remaining benchmark was not."""
    return check is not None and check.get("splits") != []


def _limits(manifest: Manifest) -> list[str]:
    covered, limits = manifest.coverage, []
    limits.append("All texts were generated by the teachers above; answers were not verified and may be wrong.")
    if any(license_of(teacher).family == "the scripted teacher" for names in manifest.teachers.values() for teacher in names):
        limits.append("Some rows come from the scripted teacher: templates for testing, not knowledge.")
    if missing := covered.disciplines - covered.disciplines_with_rows:
        limits.append(f"{number(missing)} of {number(covered.disciplines)} disciplines have no rows.")
    if manifest.number and (most := next(iter(manifest.disciplines.values()), None)) and most.rows > manifest.number / 2:
        limits.append(f"{most.rows / manifest.number:.0%} of the rows belong to one discipline, {plain(most.name)}.")
    undone = [words for name, words in CHECKED.items() if name not in OPTIONAL and not _done(manifest.checks.get(name))]
    if undone:
        limits.append(f"Not checked: {', '.join(words[0].lower() + words[1:] for words in undone)}.")
    if not manifest.reviewed.get("kept"):
        limits.append("No row was reviewed and kept by a person.")
    if manifest.split == "none":
        limits.append("There is no validation split.")
    return limits


def _loading(form: ExportFormat, data: str | None) -> str:
    if data is None:
        lines = ["from datasets import load_dataset", "", 'dataset = load_dataset("PATH_OR_NAME_OF_THIS_DATASET")']
    else:
        kind = "parquet" if form == "parquet" else "json"
        lines = ["from datasets import load_dataset", "", f"dataset = load_dataset({kind!r}, data_files={data!r})"]
    return "```python\n" + "\n".join(lines) + "\n```"
