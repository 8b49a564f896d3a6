"""Questions and answers of the scripted teacher, built from the textbook's cases and claims.

The form of a question is chosen by a stable hash of its concepts. An answer depends only on the text of the question, in
which cases, claims and concept names of the textbook are recognized. Unknown content gets labeled placeholder text.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from glan_core.teachers.scripted.textbook import Entry, Mention, textbook

Choice = TypeVar("Choice")

SCAFFOLD = "[scaffold]"


def _forms(text: str) -> tuple[str, ...]:
    """Return the paragraphs of a text, each on one line."""
    return tuple(" ".join(form.split()) for form in text.strip().split("\n\n"))


# Fields: subject; a and b, the leading concepts (b from the later topic in a pair), each with its case and claim; all, every
# concept; others, all except a and b; in a pair, topic_1 and topic_2 with their concepts, first and second.
_ONE = _forms("""
{case_a} Explain what is meant by {a} in {subject}, and show what the idea says about this case.

{case_a} Define {a} as the term is used in {subject}, apply the definition to this case, and give your reasons.

A student of {subject} writes: "{claim_a}" Is the statement correct? Explain what is meant by {a}, and use the idea to
justify your verdict.

Someone who is new to {subject} has this to say about {a}: "{claim_a}" Explain what is wrong with the claim, what is
true instead, and what the term means.

A learner who has just met the idea of {a} in {subject} believes the following: "{claim_a}" Put the belief right, and
then analyze this case correctly: {case_a}

What is the idea of {a} good for in {subject}? Say what the term means, why it matters, and how it bears on this case:
{case_a}

{case_a} A friend who has never studied {subject} asks for an explanation of this case that uses the idea of {a}. Give
the general idea first, and then what it says here.

Consider the following case from {subject}. {case_a} Analyze it with the idea of {a} in mind. Then decide, with
reasons, whether this claim about the same idea is true: "{claim_a}"

What is meant by {a} in {subject}, and why does the idea matter? Use your answer to examine this claim: "{claim_a}"
""")
_SEVERAL = _forms("""
Here are two cases from {subject}. First case: {case_a} Second case: {case_b} Explain what is meant by {all}, and say
which idea governs each case and what follows from it.

{case_a} Analyze this case with the idea of {a} in mind. Then consider a claim about {b} in {subject}: "{claim_b}"
Decide whether it is true, give your reasons, and say how the ideas are connected.

Two learners of {subject} each hold a view. One says: "{claim_a}" The other says: "{claim_b}" Who is right? Explain
what is meant by {all}, and use these ideas in your verdict.

Write a short explanation for a newcomer to {subject} that introduces the ideas of {all} and says what each idea is
good for. Use this case to illustrate {a}: {case_a}

How are the ideas of {all} connected in {subject}? Explain what each term means, and then use the idea of {a} to
analyze this case: {case_a}

{case_a} Asked about the idea of {a}, someone claims: "{claim_a}" Explain what is meant by {all} in {subject}, analyze
the case, and say whether the claim is right.
""")
_WITH_OTHERS = " Include an explanation of what is meant by {others}."
_PAIR = _forms("""
This problem joins two topics of {subject}, "{topic_1}" and "{topic_2}". First case: {case_a} Second case: {case_b}
Explain what is meant by {all}, analyze both cases, and say how the ideas are connected.

From the topic "{topic_1}" in {subject}, consider {first}; from "{topic_2}", consider {second}. What does each idea
contribute that the others do not? Support your comparison with two cases. The first concerns {a}: {case_a} The second
concerns {b}: {case_b}

{case_a} Analyze this case from {subject} with the idea of {a} in mind. Then turn to {b}, on which a student claims:
"{claim_b}" Examine the claim, and explain what is meant by {all} and how these ideas fit together.

A learner of {subject} brings two beliefs to a problem about "{topic_1}" and "{topic_2}". On the idea of {a}:
"{claim_a}" On the idea of {b}: "{claim_b}" Examine both, explain what is meant by {all}, and say how the ideas bear
on one another.

In {subject}, a problem may involve {first} on the one hand and {second} on the other. Explain what each term means
and how the two sides are connected. With {b} in mind, analyze this case: {case_b} With {a} in mind, examine this
claim: "{claim_a}"
""")
_SCAFFOLD_ONE = _forms("""
{tag} In "{subject}" ({discipline}), what is meant by {all}, and what would be a good example?

{tag} How would one explain {all} to somebody who is new to "{subject}" ({discipline})?

{tag} Which mistakes are common when somebody first meets {all} in "{subject}" ({discipline})?
""")
_SCAFFOLD_SEVERAL = _forms("""
{tag} In "{subject}" ({discipline}), how are {all} connected?

{tag} Which problem from "{subject}" ({discipline}) calls for {all} together?

{tag} How do {all} differ, as they are understood in "{subject}" ({discipline})?
""")
_SCAFFOLD_ANSWER = (
    "{tag} The offline scripted teacher has no textbook for {subject}, so this is placeholder text and not an answer. "
    "A teacher who knows the subject would explain {concepts} here, give an example, and say where the limits are."
)
_UNKNOWN = (
    "{tag} The offline scripted teacher has no textbook for this, so this is placeholder text and not an answer. "
    'It was asked: "{question}"'
)

_DEFINITION_ASKED = re.compile(
    r"\b(?:meant|means?|meaning|defin\w+|explain|explanation|introduces|general idea|what (?:is|are)|comparison)\b",
    re.IGNORECASE,
)
_IMPORTANCE_ASKED = re.compile(r"\b(?:good for|matters?|importan\w+|contribute|useful|why (?:is|are|do|does))\b", re.IGNORECASE)
_QUOTED = re.compile(r'"([^"]+)"')
_NUMBERS = {2: "Two", 3: "Three", 4: "Four"}
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MAX_WORDS_BY_NAME = 30
_MAX_QUOTE = 160


# ---------------------------------------------------------------------------------------------------------- questions


def write_question(discipline: str, subject: str, concepts: Sequence[str], *, pair: bool) -> str:
    """Return a self-contained question, the same for the same concepts in any order."""
    entries = [entry for name in concepts if (entry := textbook().concept(subject, name))]
    if not entries or len(entries) < len(concepts):
        return _scaffold_question(discipline, subject, concepts)
    entries.sort(key=lambda entry: entry.order)
    draw = _stable_hash(subject, *(entry.term for entry in entries))
    if len(entries) == 1:
        return _pick(_ONE, draw).format(**_leading("a", entries[0]), subject=entries[0].subject_term)
    across = pair and entries[0].topic != entries[-1].topic
    return _pair_question(entries, draw) if across else _joint_question(entries, draw)


def _joint_question(entries: list[Entry], draw: int) -> str:
    turn = draw // 64 % len(entries)
    a, b, *others = entries[turn:] + entries[:turn]
    form = _pick(_SEVERAL, draw)
    if others and "{all}" not in form:
        form += _WITH_OTHERS
    names = {"all": _phrases(entries), "others": _phrases(others)}
    return form.format(**_leading("a", a), **_leading("b", b), **names, subject=a.subject_term)


def _pair_question(entries: list[Entry], draw: int) -> str:
    first = [entry for entry in entries if entry.topic == entries[0].topic]
    second = [entry for entry in entries if entry.topic != entries[0].topic]
    a, b = _pick(first, draw // 64), _pick(second, draw // 512)
    names = {"all": _phrases(entries), "first": _phrases(first), "second": _phrases(second)}
    topics = {"topic_1": a.session.name, "topic_2": b.session.name}
    return _pick(_PAIR, draw).format(**_leading("a", a), **_leading("b", b), **names, **topics, subject=a.subject_term)


def _leading(letter: str, entry: Entry) -> dict[str, str]:
    """Return the form fields of one leading concept."""
    case, claim = entry.concept.example.situation, entry.concept.mistake.belief
    return {letter: entry.phrase, f"case_{letter}": case, f"claim_{letter}": claim}


def _scaffold_question(discipline: str, subject: str, concepts: Sequence[str]) -> str:
    names = sorted(concepts)
    form = _pick(_SCAFFOLD_ONE if len(names) == 1 else _SCAFFOLD_SEVERAL, _stable_hash(subject, *names))
    return form.format(
        tag=SCAFFOLD, subject=_quotable(subject), discipline=_quotable(discipline), all=_listed(map(_quote, names))
    )


# ------------------------------------------------------------------------------------------------------------ answers


def write_answer(question: str) -> str:
    """Return the textbook's answer to a question, or labeled placeholder text for unknown questions."""
    question = " ".join(question.split())
    if question.startswith(SCAFFOLD):
        return _scaffold_answer(question)
    mentions = textbook().mentions(question)
    entries = _asked_about(question, mentions)
    if not entries:
        return _UNKNOWN.format(tag=SCAFFOLD, question=_quotable(_shortened(question)))
    wanted = _Request(question, mentions)
    return _about_one(entries[0], wanted) if len(entries) == 1 else _about_several(entries, wanted)


def _asked_about(question: str, mentions: Sequence[Mention]) -> list[Entry]:
    """Return the concepts that a question is about, in teaching order; all belong to one subject."""
    certain = [mention.entries[0] for mention in mentions if mention.kind in ("situation", "belief")]
    # A long question without textbook quotations comes from elsewhere, where a name may have another meaning.
    if not certain and question.count(" ") >= _MAX_WORDS_BY_NAME:
        return []
    places = certain or [m.entries[0] for m in mentions if m.kind in ("subject", "topic")]
    subjects = {entry.subject.name for entry in places}
    found = {entry.order: entry for entry in certain}
    for entry in (entry for mention in mentions if mention.kind == "concept" for entry in mention.entries):
        subjects = subjects or {entry.subject.name}
        if entry.subject.name in subjects:
            found.setdefault(entry.order, entry)
    return [found[order] for order in sorted(found)]


class _Request:
    """What a question asks for: which cases and claims, and whether meaning and importance."""

    def __init__(self, question: str, mentions: Sequence[Mention]) -> None:
        self.quoted = [(m.kind, m.entries[0]) for m in mentions if m.kind in ("situation", "belief")]
        own_words = _between(question, mentions)
        self.meaning = bool(_DEFINITION_ASKED.search(own_words))
        self.importance = bool(_IMPORTANCE_ASKED.search(own_words))

    def meaning_of(self, entry: Entry) -> bool:
        """Return whether to define a concept: if asked for, or if there is no case of it to analyze."""
        return self.meaning or ("situation", entry) not in self.quoted

    def number(self, kind: str, entry: Entry) -> str:
        """Return 'first ', 'second ' … in question order if there are several of a kind, else ''."""
        entries = [quoted for quoted_kind, quoted in self.quoted if quoted_kind == kind]
        return f"{_ORDINALS[entries.index(entry) % len(_ORDINALS)]} " if len(entries) > 1 else ""


def _about_one(entry: Entry, wanted: _Request) -> str:
    """Build paragraphs with bold leads in question order; a claim at the start is answered first."""
    concept = entry.concept
    replies = {
        "situation": f"**The case.** {concept.example.analysis}",
        "belief": f"**Verdict: false.** {concept.mistake.correction}",
    }
    paragraphs = [replies[kind] for kind, _ in wanted.quoted]
    if wanted.meaning_of(entry):
        verdict_first = wanted.quoted and wanted.quoted[0][0] == "belief"
        paragraphs.insert(1 if verdict_first else 0, f"**{concept.name}.** {concept.definition}")
    if wanted.importance:
        paragraphs.append(f"**Why it matters.** {concept.importance}")
    return "\n\n".join(paragraphs)


def _about_several(entries: Sequence[Entry], wanted: _Request) -> str:
    """Build a part for each concept, then how they are connected."""
    parts = [_part(entry, wanted) for entry in entries]
    return "\n\n".join([*parts, f"**Taken together.** {_connection(entries)}"])


def _part(entry: Entry, wanted: _Request) -> str:
    concept = entry.concept
    meaning = [concept.definition] * wanted.meaning_of(entry) + [concept.importance] * wanted.importance
    paragraphs = [" ".join(meaning)] if meaning else []
    if ("situation", entry) in wanted.quoted:
        paragraphs.append(f"*The {wanted.number('situation', entry)}case.* {concept.example.analysis}")
    if ("belief", entry) in wanted.quoted:
        paragraphs.append(f"*The {wanted.number('belief', entry)}claim: false.* {concept.mistake.correction}")
    return f"**{concept.name}.** " + "\n\n".join(paragraphs)


def _connection(entries: Sequence[Entry]) -> str:
    """Describe how the concepts are connected, by their topics and definitions."""
    topics = {entry.session.name: entry.session for entry in entries}
    descriptions = " ".join(session.description for session in topics.values())
    return " ".join(filter(None, [_topics(entries, list(topics)), descriptions, _links(entries)]))


def _topics(entries: Sequence[Entry], topics: Sequence[str]) -> str:
    subject = entries[0].subject_term
    if len(topics) == 1:
        return f'{"Both" if len(entries) == 2 else "All these"} ideas belong to one topic of {subject}, "{topics[0]}".'
    shares = [f'"{topic}" ({_listed(e.term for e in entries if e.session.name == topic)})' for topic in topics]
    return f"{_NUMBERS.get(len(topics), 'Several')} topics of {subject} meet here: {_listed(shares)}."


def _links(entries: Sequence[Entry]) -> str:
    """Return a sentence on which definition uses which other concept, '' if none does."""
    uses = [(x, [y for y in entries if y is not x and x.refers_to(y)]) for x in entries]
    drawn = [f"{x.phrase} draws on the idea{'s' * (len(ys) > 1)} of {_phrases(ys)}" for x, ys in uses if ys]
    return f"The definition of {', and that of '.join(drawn[:2])}." if drawn else ""


def _scaffold_answer(question: str) -> str:
    names = _QUOTED.findall(question)
    subject = re.search(r'"([^"]+)" \(', question)
    concepts = [_quote(name) for name in names if not subject or name != subject.group(1)]
    return _SCAFFOLD_ANSWER.format(
        tag=SCAFFOLD,
        subject=_quote(subject.group(1)) if subject else "this",
        concepts=_listed(concepts) or "what was asked",
    )


# -------------------------------------------------------------------------------------------------------------- words


def _stable_hash(*names: str) -> int:
    """Hash names independently of the process, unlike `hash()`."""
    return zlib.crc32("|".join(names).lower().encode())


def _pick(choices: Sequence[Choice], draw: int) -> Choice:
    return choices[draw % len(choices)]


def _phrases(entries: Iterable[Entry]) -> str:
    return _listed(entry.phrase for entry in entries)


def _listed(items: Iterable[str]) -> str:
    """Join items: 'A', 'A and B', 'A, B and C'."""
    *head, last = list(items) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def _quotable(text: str) -> str:
    return text.replace('"', "'")


def _quote(name: str) -> str:
    return f'"{_quotable(name)}"'


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE].rsplit(" ", 1)[0] + " ..."


def _between(text: str, mentions: Sequence[Mention]) -> str:
    """Return the text without the recognized phrases."""
    starts = [0, *(mention.end for mention in mentions)]
    ends = [*(mention.start for mention in mentions), len(text)]
    return " ".join(text[start:end] for start, end in zip(starts, ends, strict=True))
