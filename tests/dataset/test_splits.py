"""Train/validation splits by value: the rule, the share, the seed and the group decide, and nothing else."""

import hashlib
import json
import subprocess
import sys

import pytest

from glan_core.dataset.splits import SPLIT_RULES, split_of


def position(seed: int, rule: str, group: str) -> float:
    """Return the number from 0 to 1 that is compared with the share."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{rule}\n{group}".encode()).digest()[:8], "big") / 2**64


@pytest.mark.parametrize("group", ["syl-1", "syl-2", "syl-ü"])
@pytest.mark.parametrize("seed", [0, 7, -1])
def test_a_syllabus_is_held_out_if_its_hash_is_below_the_share(seed, group):
    at = position(seed, "syllabus", group)
    assert split_of("syllabus", seed, at + 1e-9, group, ["a"]) == "validation"
    assert split_of("syllabus", seed, at, group, ["a"]) == "train"
    assert split_of("syllabus", seed, at - 1e-9, group, ["b", "c"]) == "train"


def test_a_combination_is_the_sorted_set_of_normalized_names():
    at = position(5, "combination", "prime numbers\nsets")
    for names in (["Sets", "Prime numbers"], ["prime numbers", "sets", "SETS"], [" Prime  Numbers ", "Sets"]):
        assert split_of("combination", 5, at + 1e-9, "any", names) == "validation"
        assert split_of("combination", 5, at - 1e-9, "other", names) == "train"
    assert position(5, "combination", "sets") != at


def test_pinned_assignments_are_those_of_every_release():
    held = [n for n in range(60) if split_of("syllabus", 0, 0.1, f"syl-{n}", ()) == "validation"]
    assert held == HELD_SYLLABI
    held = [n for n in range(60) if split_of("combination", 1, 0.1, "syl", [f"concept {n}", "x"]) == "validation"]
    assert held == HELD_COMBINATIONS


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_the_share_of_held_out_groups_is_the_share_asked_for(share):
    number = 4000
    held = sum(split_of("syllabus", 3, share, f"s{n}", ()) == "validation" for n in range(number))
    assert abs(held / number - share) < 4 * (share * (1 - share) / number) ** 0.5


def test_a_rule_that_was_read_from_a_file_is_the_same_rule():
    none, syllabus = json.loads('["none", "syllabus"]')
    assert split_of(none, 0, 1.0, "s", ["a"]) == "train"
    assert [split_of(syllabus, 0, 0.5, f"s{n}", ["a"]) for n in range(30)] == [
        split_of("syllabus", 0, 0.5, f"s{n}", ["b"]) for n in range(30)
    ]


@pytest.mark.parametrize("rule", ["syllabus", "combination"])
def test_shares_of_0_and_1_hold_out_none_and_all(rule):
    names = [(f"s{n}", [f"c{n}"]) for n in range(200)]
    assert {split_of(rule, 0, 0.0, *name) for name in names} == {"train"}
    assert {split_of(rule, 0, 1.0, *name) for name in names} == {"validation"}
    assert {split_of("none", 0, 1.0, *name) for name in names} == {"train"}


def test_a_larger_share_holds_out_the_same_groups_and_more():
    few, many = ({n for n in range(500) if split_of("syllabus", 0, share, f"s{n}", ()) == "validation"} for share in (0.1, 0.3))
    assert few < many


def test_rules_and_seeds_hold_out_different_groups():
    sets = {
        frozenset(n for n in range(300) if split_of(rule, seed, 0.3, f"c{n}", [f"c{n}"]) == "validation")
        for rule in ("syllabus", "combination")
        for seed in (0, 1)
    }
    assert len(sets) == 4 and set(SPLIT_RULES) == {"none", "syllabus", "combination"}


def test_the_split_does_not_depend_on_the_hash_seed_of_the_process():
    code = (
        "from glan_core.dataset.splits import split_of;"
        "print([n for n in range(60) if split_of('combination', 1, .1, 'syl', [f'concept {n}', 'x']) == 'validation'])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed},
            cwd=__file__.rsplit("/tests/", 1)[0],
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert told == {str(HELD_COMBINATIONS)}


HELD_SYLLABI = [2, 17, 43, 52, 58]
HELD_COMBINATIONS = [0, 3, 16, 17, 23, 35, 39, 40, 41]
