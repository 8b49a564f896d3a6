"""The split into train and validation: by syllabus, or by the combination of key concepts; seeded, and stable as rows come.

Whether a row is held out depends on the seed, the share and its own group alone: never on which other rows are there. So a
row that is added later moves none, and two datasets with the same seed hold out the same groups.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

from glan_core.ids import name_key

TRAIN, VALIDATION = "train", "validation"
Rule = Literal["none", "syllabus", "combination"]
RULES: dict[Rule, str] = {
    "none": "all rows for training",
    "syllabus": "whole syllabi are held out",
    "combination": "combinations of key concepts are held out",
}


def split_of(rule: Rule, seed: int, share: float, syllabus_id: str, concepts: Sequence[str]) -> str:
    """'train' or 'validation' for a row, by its syllabus or by the names of the key concepts that it was drawn from.

    'syllabus' holds out whole syllabi: no question of a held-out syllabus, and so none of its class sessions or key concepts
    as that syllabus teaches them, is trained on. The discipline is seen in training, and so may be a subject that another
    discipline has too, or a concept that another syllabus teaches under the same name.

    'combination' holds out sets of key concepts, compared by their names (case and spaces folded): every question that
    combines exactly these concepts, from whichever syllabus and in whichever order, is held out. Training sees the same
    syllabi, and may see each of the concepts alone or in a smaller or larger set; what is tested is combining them anew.

    `share` is the part of the groups, from 0 to 1, that is held out: of the rows it is that part on average.
    """
    if rule == "none":
        return TRAIN
    group = syllabus_id if rule == "syllabus" else "\n".join(sorted({name_key(name) for name in concepts}))
    digest = hashlib.sha256(f"{seed}\n{rule}\n{group}".encode()).digest()
    return VALIDATION if int.from_bytes(digest[:8], "big") / 2**64 < share else TRAIN
