"""What the scripted teacher proposes for a node of the taxonomy: a few real gaps it knows of, then labelled scaffolding."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from glan_core.teachers.scripted_course import json_lines
from glan_core.teachers.scripted_homework import SCAFFOLD

# Which of the differently worded prompts is at hand shows in the phrase that no other one has.
_WORDINGS = {"a": "universities around the world", "v": "earn their living", "l": "great library", "g": "gaps"}
_KINDS = {"d": "discipline", "s": "sub-field"}

# By the parent's name in lower case: wordings that propose it, kind, name, description, reason.
_KNOWN: dict[str, tuple[tuple[str, str, str, str, str], ...]] = {
    "humanities": (
        ("alg", "d", "Art history", "Works of art in their time, and how they are read.", "Making art and studying it differ."),
        ("ag", "d", "Digital humanities", "Computing with texts, images and archives.", "Young, and between departments."),
        ("vl", "d", "Translation studies", "The theory and craft of translation and interpreting.", "A profession of its own."),
        ("g", "s", "Area studies", "Regions of the world studied in their own languages.", "Cultures beyond Europe are thin."),
    ),
    "social sciences": (
        ("al", "d", "Demography", "Births, deaths, migration and the populations they make.", "It has methods of its own."),
        ("ag", "d", "Gender studies", "How societies make and use differences of gender.", "Young and interdisciplinary."),
        ("av", "d", "Urban planning", "How cities grow, and how their growth is steered.", "Degree programs and a profession exist."),
        ("gl", "d", "Development studies", "How poor countries change, and who decides it.", "It looks beyond rich countries."),
    ),
    "natural sciences": (
        ("al", "d", "Oceanography", "The physics, chemistry and life of the oceans.", "Most of the planet is sea."),
        ("ag", "d", "Neuroscience", "Nervous systems from molecules to behavior.", "It outgrew biology and medicine."),
        ("al", "d", "Ecology", "Organisms in their environment and with one another.", "Institutes are devoted to it."),
        ("vg", "d", "Meteorology", "Weather and the forecasting of it.", "Forecasters train for it as a whole."),
    ),
    "formal sciences": (
        ("al", "d", "Information theory", "Measuring, compressing and transmitting information.", "No discipline here is devoted to it."),
        ("ag", "d", "Decision theory", "Choosing well under risk and ignorance.", "Shared by economics and philosophy."),
        ("vg", "d", "Cryptography", "Secrecy and proof of identity by computation.", "A trade with its own practice."),
    ),
    "applied sciences": (
        ("av", "d", "Biomedical engineering", "Devices and materials for the body.", "Degree programs and an industry exist."),
        ("al", "d", "Operations research", "Mathematical planning of operations.", "It belongs to no other discipline here."),
        ("vg", "d", "Cybersecurity", "Keeping computers and networks safe from attack.", "A young profession."),
        ("vl", "d", "Surveying", "Measuring land and buildings.", "A licensed profession in many countries."),
    ),
    "engineering": (
        ("av", "d", "Biomedical engineering", "Devices and materials for the body.", "Degree programs and an industry exist."),
        ("al", "d", "Industrial engineering", "The design of production systems.", "It has departments of its own."),
        ("vg", "d", "Geotechnical engineering", "Building on and in soil and rock.", "Every structure stands on it."),
    ),
    "medicine and health": (
        ("al", "d", "Anesthesiology", "Pain, consciousness and safety during operations.", "A specialty with its own training."),
        ("vg", "d", "Physical therapy", "Restoring movement after illness or injury.", "A licensed profession."),
        ("ag", "d", "Palliative care", "Care for people who will not be cured.", "Young as a specialty."),
    ),
    "manufacturing": (
        ("av", "d", "Chemical industry", "Basic and specialty chemicals at scale.", "It supplies most other industries."),
        ("vl", "d", "Furniture making", "Furniture from design to finish.", "An apprenticed trade."),
        ("vg", "d", "Additive manufacturing", "Making parts layer by layer.", "Young, with its own machines and materials."),
    ),
    "services": (
        ("vl", "d", "Logistics", "Moving and storing goods.", "Large numbers of people train for it."),
        ("av", "d", "Banking", "Deposits, loans and payments.", "A profession with its own law."),
        ("vg", "d", "Elder care", "Daily support of old people.", "It grows with age in every population."),
    ),
    "agriculture": (
        ("av", "d", "Horticulture", "Growing fruit, vegetables and ornamental plants.", "Gardeners train for it as a whole."),
        ("vl", "d", "Beekeeping", "Keeping bees for honey and pollination.", "An old craft with its own literature."),
        ("ag", "d", "Agroforestry", "Trees and crops on the same land.", "At home in the tropics and often left out."),
    ),
}  # fmt: skip
_ANGLES = {
    "a": ("History of {}", "Philosophy of {}", "Ethics of {}", "Sociology of {}", "Theory of {}"),
    "v": ("Teaching of {}", "Management of {}", "Ethics of {}", "Safety in {}", "Consulting in {}"),
    "l": ("History of {}", "Bibliography of {}", "Teaching of {}", "Geography of {}", "Biography in {}"),
    "g": ("Ethics of {}", "Indigenous traditions of {}", "Geography of {}", "Computing in {}", "Philosophy of {}"),
}
_COUNT = re.compile(r"Propose at most (\d+)")
_SMALL_WORDS = {"of", "in", "and", "the"}


@dataclass(frozen=True)
class Proposal:
    """One node that is missing under a parent."""

    name: str
    kind: str
    description: str
    reason: str


def propose(prompt: str, parent: str, existing: Iterable[str]) -> str:
    """At most as many proposals as the prompt asks for, as JSON lines; none repeats an existing entry."""
    wording = next((letter for letter, phrase in _WORDINGS.items() if phrase in prompt), "a")
    limit = int(found.group(1)) if (found := _COUNT.search(prompt)) else 5
    taken = {_folded(name) for name in existing}
    proposals = [p for p in [*_known(parent, wording), *_scaffold(parent, wording)] if _folded(p.name) not in taken]
    return json_lines(vars(p) for p in proposals[:limit])


def _known(parent: str, wording: str) -> list[Proposal]:
    rows = _KNOWN.get(parent.lower(), ())
    return [
        Proposal(_spelled(name, wording), _KINDS[kind], about, why)
        for wordings, kind, name, about, why in rows
        if wording in wordings
    ]


def _scaffold(parent: str, wording: str) -> list[Proposal]:
    about = f"{SCAFFOLD} A placeholder made from the name of its parent, {parent}."
    why = f"{SCAFFOLD} The offline scripted teacher knows of nothing else that is missing here."
    return [Proposal(angle.format(parent), "discipline", about, why) for angle in _ANGLES[wording]]


def _spelled(name: str, wording: str) -> str:
    """Libraries capitalize the headings of their classes, so one proposal comes in two spellings."""
    return " ".join(w if w in _SMALL_WORDS else w[0].upper() + w[1:] for w in name.split()) if wording == "l" else name


def _folded(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.lower()))
