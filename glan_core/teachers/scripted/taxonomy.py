"""Taxonomy proposals of the scripted teacher: known gaps, then labeled placeholders."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from glan_core.teachers.scripted.course import json_lines
from glan_core.teachers.scripted.scaffold import SCAFFOLD

# Prompt variants are recognized by a phrase that is unique to each.
_WORDINGS = {"a": "universities around the world", "v": "earn their living", "l": "great library", "g": "gaps"}

_SUB_FIELD = " (sub-field)"


@dataclass(frozen=True)
class Proposal:
    """One node that is missing under a parent."""

    name: str
    kind: str
    description: str
    reason: str


def _gaps(text: str) -> dict[str, list[tuple[str, Proposal]]]:
    """Parse known gaps by lowercase parent: one paragraph per parent, one line per proposal with its prompt variants."""
    return {
        parent: [_gap(*(part.strip() for part in line.split("|"))) for line in lines]
        for parent, *lines in (paragraph.splitlines() for paragraph in text.strip().split("\n\n"))
    }


def _gap(wordings: str, name: str, description: str, reason: str) -> tuple[str, Proposal]:
    kind = "sub-field" if name.endswith(_SUB_FIELD) else "discipline"
    return wordings, Proposal(name.removesuffix(_SUB_FIELD), kind, description, reason)


_KNOWN = _gaps("""
humanities
alg | Art history | Works of art in their time, and how they are read. | Making art and studying it differ.
ag | Digital humanities | Computing with texts, images and archives. | Young, and between departments.
vl | Translation studies | The theory and craft of translation and interpreting. | A profession of its own.
g | Area studies (sub-field) | Regions of the world studied in their own languages. | Cultures beyond Europe are thin.

social sciences
al | Demography | Births, deaths, migration and the populations they make. | It has methods of its own.
ag | Gender studies | How societies make and use differences of gender. | Young and interdisciplinary.
av | Urban planning | How cities grow, and how their growth is steered. | Degree programs and a profession exist.
gl | Development studies | How poor countries change, and who decides it. | It looks beyond rich countries.

natural sciences
al | Oceanography | The physics, chemistry and life of the oceans. | Most of the planet is sea.
ag | Neuroscience | Nervous systems from molecules to behavior. | It outgrew biology and medicine.
al | Ecology | Organisms in their environment and with one another. | Institutes are devoted to it.
vg | Meteorology | Weather and the forecasting of it. | Forecasters train for it as a whole.

formal sciences
al | Information theory | Measuring, compressing and transmitting information. | No discipline here is devoted to it.
ag | Decision theory | Choosing well under risk and ignorance. | Shared by economics and philosophy.
vg | Cryptography | Secrecy and proof of identity by computation. | A trade with its own practice.

applied sciences
av | Biomedical engineering | Devices and materials for the body. | Degree programs and an industry exist.
al | Operations research | Mathematical planning of operations. | It belongs to no other discipline here.
vg | Cybersecurity | Keeping computers and networks safe from attack. | A young profession.
vl | Surveying | Measuring land and buildings. | A licensed profession in many countries.

engineering
av | Biomedical engineering | Devices and materials for the body. | Degree programs and an industry exist.
al | Industrial engineering | The design of production systems. | It has departments of its own.
vg | Geotechnical engineering | Building on and in soil and rock. | Every structure stands on it.

medicine and health
al | Anesthesiology | Pain, consciousness and safety during operations. | A specialty with its own training.
vg | Physical therapy | Restoring movement after illness or injury. | A licensed profession.
ag | Palliative care | Care for people who will not be cured. | Young as a specialty.

manufacturing
av | Chemical industry | Basic and specialty chemicals at scale. | It supplies most other industries.
vl | Furniture making | Furniture from design to finish. | An apprenticed trade.
vg | Additive manufacturing | Making parts layer by layer. | Young, with its own machines and materials.

services
vl | Logistics | Moving and storing goods. | Large numbers of people train for it.
av | Banking | Deposits, loans and payments. | A profession with its own law.
vg | Elder care | Daily support of old people. | It grows with age in every population.

primary industries
av | Horticulture | Growing fruit, vegetables and ornamental plants. | Gardeners train for it as a whole.
vl | Beekeeping | Keeping bees for honey and pollination. | An old craft with its own literature.
ag | Agroforestry | Trees and crops on the same land. | At home in the tropics and often left out.
""")
_ANGLES = {
    "a": ("History of {}", "Philosophy of {}", "Ethics of {}", "Sociology of {}", "Theory of {}"),
    "v": ("Teaching of {}", "Management of {}", "Ethics of {}", "Safety in {}", "Consulting in {}"),
    "l": ("History of {}", "Bibliography of {}", "Teaching of {}", "Geography of {}", "Biography in {}"),
    "g": ("Ethics of {}", "Indigenous traditions of {}", "Geography of {}", "Computing in {}", "Philosophy of {}"),
}
_COUNT = re.compile(r"Propose at most (\d+)")
_SMALL_WORDS = {"of", "in", "and", "the"}


def propose(prompt: str, parent: str, existing: Iterable[str]) -> str:
    """Return up to the requested number of proposals as JSON lines, without existing names."""
    wording = next((letter for letter, phrase in _WORDINGS.items() if phrase in prompt), "a")
    limit = int(found.group(1)) if (found := _COUNT.search(prompt)) else 5
    used = {_folded(name) for name in existing}
    proposals = [p for p in [*_known(parent, wording), *_scaffold(parent, wording)] if _folded(p.name) not in used]
    return json_lines(vars(p) for p in proposals[:limit])


def _known(parent: str, wording: str) -> list[Proposal]:
    return [
        replace(proposal, name=_spelled(proposal.name, wording))
        for wordings, proposal in _KNOWN.get(parent.lower(), ())
        if wording in wordings
    ]


def _scaffold(parent: str, wording: str) -> list[Proposal]:
    about = f"{SCAFFOLD} A placeholder made from the name of its parent, {parent}."
    why = f"{SCAFFOLD} The offline scripted teacher knows of nothing else that is missing here."
    return [Proposal(angle.format(parent), "discipline", about, why) for angle in _ANGLES[wording]]


def _spelled(name: str, wording: str) -> str:
    """Capitalize the name for the library prompt variant, so that one proposal occurs in two spellings."""
    return " ".join(w if w in _SMALL_WORDS else w[0].upper() + w[1:] for w in name.split()) if wording == "l" else name


def _folded(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.lower()))
