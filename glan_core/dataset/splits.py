"""Train/validation split by syllabus or by combination of key concepts: seeded and stable as rows are added.

The split of a row depends only on the seed, the share and its own group, never on other rows. Adding rows does not move
existing ones, and two datasets with the same seed hold out the same groups.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

from glan_core.ids import name_key

TRAIN, VALIDATION = "train", "validation"
SplitRule = Literal["none", "syllabus", "combination"]
SPLIT_RULES: dict[SplitRule, str] = {
    "none": "no validation split",
    "syllabus": "whole syllabi are held out",
    "combination": "combinations of key concepts are held out",
}


def split_of(rule: SplitRule, seed: int, share: float, syllabus_id: str, concepts: Sequence[str]) -> str:
    """Return the split of a row: 'train' or 'validation'.

    Args:
        rule: 'none' assigns all rows to training. 'syllabus' holds out whole syllabi, so that no question, class session or
            key concept of a held-out syllabus is trained on; the discipline, and subjects or concepts shared with other
            syllabi, may still occur in training. 'combination' holds out sets of key concepts, compared by normalized name:
            every question that combines exactly these concepts is held out, whatever its syllabus; training may still
            contain each concept alone or in other sets, so validation tests new combinations.
        seed: Seed of the split.
        share: Expected share of held-out groups, 0 to 1; the same share of rows on average.
        syllabus_id: Syllabus of the row.
        concepts: Key concept names of the row.
    """
    if rule == "none":
        return TRAIN
    group = syllabus_id if rule == "syllabus" else concept_group(concepts)
    digest = hashlib.sha256(f"{seed}\n{rule}\n{group}".encode()).digest()
    return VALIDATION if int.from_bytes(digest[:8], "big") / 2**64 < share else TRAIN


def concept_group(concepts: Sequence[str]) -> str:
    """Return the group of a combination of key concepts, which is the same for other spellings of their names."""
    return "\n".join(sorted({name_key(name) for name in concepts}))
