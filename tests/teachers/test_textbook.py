"""The textbook of the scripted teacher: its extent, and the messages about files with errors."""

import re

import pytest

from glan_core.errors import GlanError
from glan_core.operations.demo_workspace import STARTER_TAXONOMY
from glan_core.taxonomy import taxonomy_files
from glan_core.teachers.scripted.textbook import FOLDER, load, textbook


def test_the_textbook_has_disciplines_of_all_eight_groups_and_600_concepts():
    nodes = {node.id: node for node in taxonomy_files.read(STARTER_TAXONOMY)}

    def group(id: str) -> str:
        node = nodes[id]
        while node.parent_id:
            node = nodes[node.parent_id]
        return node.group

    found = {d.discipline for d in textbook().disciplines}
    assert len(found) == 14 and all(nodes[id].name == textbook().discipline(id).name for id in found)
    assert len({group(id) for id in found}) == 8
    subjects = [subject for discipline in textbook().disciplines for subject in discipline.subjects]
    assert all(len(subject.sessions) >= 10 for subject in subjects)
    assert sum(len(session.concepts) for subject in subjects for session in subject.sessions) >= 600


def test_true_and_false_claims_are_not_told_apart_by_their_length():
    concepts = [entry.concept for entry in textbook().entries()]
    true, false = (
        sum(len(getattr(c, kind).claim.split()) for c in concepts) / len(concepts) for kind in ("true_claim", "false_claim")
    )
    assert abs(true - false) < 2.5, (true, false)


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("Syntonic comma", "the syntonic comma"),
        ("Pythagorean comma", "the Pythagorean comma"),
        ("Mersenne's law", "Mersenne's law"),
        ("Prisoner's dilemma", "the prisoner's dilemma"),
        ("Z-value", "the z-value"),
        ("NP-completeness", "NP-completeness"),
        ("Just intonation", "just intonation"),
        ("Triad", "a triad"),
        ("Linear momentum", "linear momentum"),
        ("Supply curve", "the supply curve"),
        ("Syntactic head", "the syntactic head"),
        ("Chromatic number", "the chromatic number"),
        ("Germination percentage", "the germination percentage"),
    ],
)
def test_names_inside_a_sentence_have_their_article_and_the_capitals_of_proper_names(name, phrase):
    assert phrase in {entry.phrase for entry in textbook().entries() if entry.concept.name == name}


def test_fields_of_knowledge_are_no_names_of_courses():
    subjects = [subject for discipline in textbook().disciplines for subject in discipline.subjects]
    assert len({subject.field for subject in subjects}) == len(subjects)
    assert not [s.field for s in subjects if re.search(r"introduction|principles|fundamentals|\d", s.field, re.IGNORECASE)]


def test_no_case_refers_to_another_one():
    for entry in textbook().entries():
        for example in entry.concept.examples:
            assert not re.match(r"(?:It|He|She|They|The same|A second|Another) ", example.situation), (
                entry.concept.name,
                example.situation,
            )


def test_no_analysis_begins_with_a_pronoun_for_somebody_in_the_case():
    # The scripted teacher names the concept before the analysis: 'What explains the case is a binary heap. It keeps ...' would mislead.
    analyses = [example.analysis for entry in textbook().entries() for example in entry.concept.examples]
    assert not [analysis for analysis in analyses if re.match(r"(?:It|Its|They|Their|He|His|She|Her) ", analysis)]


def test_no_reason_begins_with_a_pronoun_for_something_in_the_claim():
    # The answer does not repeat the claim: 'The claim is false. It minimizes ...' would be about the claim.
    reasons = [claim.reason for e in textbook().entries() for claim in (e.concept.true_claim, e.concept.false_claim)]
    assert not [reason for reason in reasons if re.match(r"(?:It|Its|They|Their|He|His|She|Her) ", reason)]


def spoil(tmp_path, old: str, new: str):
    text = (FOLDER / "music.yaml").read_text(encoding="utf-8")
    assert text.count(old) >= 1
    (tmp_path / "music.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(GlanError) as caught:
        load(tmp_path)
    return str(caught.value)


def test_a_bad_file_is_named_with_the_place_at_fault(tmp_path):
    message = spoil(
        tmp_path, "- name: Interval inversion\n            definition:", "- name: Interval inversion\n            meaning:"
    )
    assert "music.yaml" in message and re.search(r"subjects\[0\]\.sessions\[\d\]\.concepts\[0\]\.definition", message)


def test_a_file_that_is_no_yaml_is_named_with_the_line(tmp_path):
    message = spoil(tmp_path, "name: Music\n", "name: [Music\n")
    assert "music.yaml" in message and "line" in message


def test_a_situation_must_not_give_its_concept_away(tmp_path):
    message = spoil(tmp_path, "A choir sings, from the bass", "A choir sings a triad, from the bass")
    assert re.search(r"sessions\[\d\]\.concepts\[2\]", message) and "must not reveal the concept" in message


def test_a_definition_must_name_its_concept(tmp_path):
    message = spoil(tmp_path, "name: Formant\n", "name: Loudness\n")
    assert re.search(r"sessions\[\d\]\.concepts\[3\]", message) and "does not contain the name" in message


def test_a_concept_may_not_occur_twice(tmp_path):
    text = (FOLDER / "music.yaml").read_text(encoding="utf-8")
    situation = re.search(r"- situation: >-\n((?: {18}.+\n)+)", text).group(1)
    other = [found.group(1) for found in re.finditer(r"- situation: >-\n((?: {18}.+\n)+)", text)][5]
    message = spoil(tmp_path, other, situation)
    assert "music.yaml" in message and "occurs twice" in message


def test_a_relation_leads_to_another_concept_of_the_subject(tmp_path):
    text = (FOLDER / "music.yaml").read_text(encoding="utf-8")
    first = re.search(r"- to: (.+)\n", text).group(1)
    message = spoil(tmp_path, f"- to: {first}\n", "- to: Photosynthesis\n")
    assert "music.yaml" in message and "Photosynthesis" in message


def test_the_same_subject_in_two_files_is_refused(tmp_path):
    text = (FOLDER / "music.yaml").read_text(encoding="utf-8")
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(GlanError, match="Music theory"):
        load(tmp_path)
