"""Answers of the scripted teacher: they depend only on the text of the question.

Cases, claims, exercises and concept names of the textbook are recognized in the question; the words around them say what is asked
(`question_reading`). The layout and the phrases are drawn by the text of the question. Unknown content gets labeled placeholder text.
"""

import random
import re
from collections.abc import Sequence

from glan_core.teachers.scripted.answer_phrases import Phrases, led
from glan_core.teachers.scripted.definitions import contrast, definition_body, emphasized
from glan_core.teachers.scripted.exercises import solve
from glan_core.teachers.scripted.homework import SCAFFOLD, listed, quotable, quote
from glan_core.teachers.scripted.question_reading import Reading, read_question
from glan_core.teachers.scripted.relations import connect
from glan_core.teachers.scripted.textbook import Claim, Entry, Example

_SCAFFOLD_ANSWER = (
    "{tag} The offline scripted teacher has no textbook for {subject}, so this is placeholder text and not an answer. "
    "A teacher who knows the subject would explain {concepts} here, give an example, and say where the limits are."
)
_UNKNOWN = (
    "{tag} The offline scripted teacher has no textbook for this, so this is placeholder text and not an answer. "
    'It was asked: "{question}"'
)
_QUOTED = re.compile(r'"([^"]+)"')
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MAX_QUOTE = 160
# A reason or text that begins with one of these words refers to what stands before it.
_REFERS_BACK = re.compile(r"(?:It|Its|They|Their|This|That|These|Those|He|She|His|Her|Both|Such|Here|There|Otherwise)\b")

_PER_CONCEPT, _TERMS_FIRST, _ANSWER_FIRST = "per concept", "terms first", "answer first"
_HEADED = ("bold", "bold", "plain", "plain", "numbered", "heading")
_GLOSSARIES = ("paragraphs", "bold", "bullets", "bullets", "numbered", "flow")
_LONGEST_FLOW, _LONGEST_JOINED = 80, 100  # words of terms, or of a short answer, in one paragraph
_REWORDED = 0.35  # share of definitions that do not begin as in the textbook
_UNASKED_MEANING, _UNASKED_SIGNIFICANCE, _NAMED, _REASON_FIRST, _JOINED, _LINK_LIST = 0.4, 0.25, 0.4, 0.25, 0.3, 0.4


def write_answer(question: str) -> str:
    """Return the textbook's answer to a question, or labeled placeholder text for unknown questions."""
    question = " ".join(question.split())
    if question.startswith(SCAFFOLD):
        return _scaffold_answer(question)
    reading = read_question(question)
    if not reading.entries:
        return _UNKNOWN.format(tag=SCAFFOLD, question=quotable(_shortened(question)))
    return _Answer(question, reading).text()


class _Answer:
    """The answer to a question about known concepts."""

    def __init__(self, question: str, reading: Reading) -> None:
        self._reading, self._draw = reading, random.Random(question)
        self._phrases = Phrases(self._draw)
        self._solution = solve(question)
        self._headed = False
        self._several = len(reading.entries) > 1
        self._named = self._several and self._draw.random() < _NAMED
        unasked = [entry for entry in reading.entries if not reading.asks("meaning", entry)]
        add_meaning = self._draw.random() < _UNASKED_MEANING
        self._defined = [
            entry
            for entry in reading.entries
            if entry not in unasked or not self._treated(entry) or (add_meaning and reading.quotes(entry))
        ]

    def _treated(self, entry: Entry) -> bool:
        """Return whether the answer says something of a concept besides its meaning."""
        return self._reading.quotes(entry) or any(
            self._reading.asks(part, entry) for part in ("significance", "example", "mistake")
        )

    def text(self) -> str:
        """Return the answer as Markdown."""
        paragraphs = [led(self._phrases.pick("work"), self._solution)] if self._solution else []
        layout = self._draw.choice((_PER_CONCEPT, _TERMS_FIRST, _ANSWER_FIRST))
        if self._several and layout == _PER_CONCEPT:
            paragraphs += self._per_concept(first=not paragraphs)
        else:
            paragraphs += self._per_part(answer_first=layout == _ANSWER_FIRST, first=not paragraphs)
        if not self._several and len(paragraphs) == 1 and not self._reading.asks("significance", self._reading.entries[0]):
            paragraphs += self._closing()
        paragraphs += self._topics() + self._connection()
        return "\n\n".join(self._joined(paragraphs))

    # ------------------------------------------------------------------------------------------------------- layouts

    def _per_concept(self, *, first: bool) -> list[str]:
        """Return all that is asked about one concept after the other."""
        style = self._draw.choice(_HEADED)
        self._headed = style != "plain"
        paragraphs: list[str] = []
        for nth, entry in enumerate(self._reading.entries, start=1):
            named = style == "plain" and not self._has_terms(entry)
            body = [self._terms(entry, labeled=style == "bold")] if self._has_terms(entry) else []
            for of, quoted in self._reading.quoted:
                if of is entry:
                    body.append(
                        self._quoted(quoted, entry, named=named and not body, first=first and not paragraphs and not body)
                    )
            if self._reading.asks("example", entry):
                body.append(self._example(entry, named=named and not body))
            if self._reading.asks("mistake", entry):
                body.append(self._mistake(entry, named=named and not body))
            paragraphs += _headed(style, nth, entry, body)
        return paragraphs

    def _per_part(self, *, answer_first: bool, first: bool) -> list[str]:
        """Return the terms, cases and claims, examples and mistakes one after the other; what is asked of the first concept leads."""
        leading, *_ = self._reading.entries
        entries = [entry for entry in self._reading.entries if self._has_terms(entry)]
        terms_first = leading in entries and not (answer_first and self._reading.quoted)
        terms = self._glossary(entries, last=not terms_first) if entries else []
        quoted = self._all_quoted(first=first and not (terms_first and terms))
        blocks = [terms, quoted] if terms_first else [quoted, terms]
        for part, write in (("example", self._example), ("mistake", self._mistake)):
            block = [write(entry, named=self._several) for entry in self._reading.about(part)]
            early = self._reading.asks(part, leading) and leading not in entries
            blocks.insert(1 if early else len(blocks), block)
        return [paragraph for block in blocks for paragraph in block]

    def _all_quoted(self, *, first: bool) -> list[str]:
        """Return what there is to say on the cases and claims, in the order of the question."""
        paragraphs = self._two_claims()
        left = self._reading.cases if paragraphs else self._reading.quoted
        for of, item in left:
            paragraphs.append(self._quoted(item, of, named=self._named, first=first and not paragraphs))
        return paragraphs

    def _joined(self, paragraphs: list[str]) -> list[str]:
        """Join the two paragraphs of a short answer now and then."""
        plain = not any(paragraph.startswith(("-", "#", "*", "1")) for paragraph in paragraphs)
        words = sum(len(paragraph.split()) for paragraph in paragraphs)
        short = len(paragraphs) == 2 and words < _LONGEST_JOINED
        return [" ".join(paragraphs)] if plain and short and self._draw.random() < _JOINED else paragraphs

    # ----------------------------------------------------------------------------------------------------------- terms

    def _has_terms(self, entry: Entry) -> bool:
        return entry in self._defined or self._reading.asks("significance", entry)

    def _terms(self, entry: Entry, *, labeled: bool = False) -> str:
        """Return the meaning and significance of a concept, as far as they are asked for, with its name in bold as a label or not."""
        importance = entry.concept.significance if self._reading.asks("significance", entry) else ""
        if entry not in self._defined:
            return led(self._about_importance(entry), importance)
        body = definition_body(entry)
        reworded = not (importance and _REFERS_BACK.match(importance)) and self._draw.random() < _REWORDED
        if labeled:
            text = f"{_label(entry)}: {body}" if body else emphasized(entry)
        elif body and reworded:
            text = self._phrases.pick("definition", phrase=entry.phrase, term=entry.term, body=body)
        else:
            text = entry.concept.definition
        return f"{text} {led(self._phrases.pick('significance'), importance)}" if importance else text

    def _about_importance(self, entry: Entry) -> str:
        return self._phrases.pick("significance_named", phrase=entry.phrase)

    def _glossary(self, entries: Sequence[Entry], *, last: bool) -> list[str]:
        """Return the terms of several concepts in one of several shapes."""
        if not self._several:
            return [self._terms(entries[0])]
        compared = len(entries) == len(self._reading.about("relation")) == 2 and not self._reading.asked["significance"]
        if compared and (both := contrast(*entries)) and self._draw.random() < 1 / 2:
            return [both]
        shape = self._draw.choice(_GLOSSARIES)
        defined = len(entries) > 1 and all(entry in self._defined for entry in entries)
        lead = self._phrases.pick("terms_last" if last else "terms") if defined else ""
        if shape in ("bullets", "numbered") and len(entries) > 1:
            marks = ["-"] * len(entries) if shape == "bullets" else [f"{nth}." for nth in range(1, len(entries) + 1)]
            lines = [f"{mark} {self._terms(entry, labeled=True)}" for mark, entry in zip(marks, entries, strict=True)]
            return ([lead] if lead else []) + ["\n".join(lines)]
        texts = [self._terms(entry, labeled=shape == "bold") for entry in entries]
        if shape == "flow" and sum(len(text.split()) for text in texts) <= _LONGEST_FLOW:
            return [" ".join(texts)]
        return ([lead] if lead and shape == "bold" else []) + texts

    # --------------------------------------------------------------------------------------------- cases, claims and more

    def _unnamed(self, entry: Entry, text: str) -> bool:
        """Return whether neither a text nor a definition names a concept."""
        return not self._headed and not self._has_terms(entry) and entry.concept.name.lower() not in text.lower()

    def _needs_name(self, entry: Entry) -> bool:
        """Return whether neither a heading nor a definition names a concept."""
        return not self._headed and not self._has_terms(entry)

    def _quoted(self, item: Claim | Example, of: Entry, *, named: bool, first: bool) -> str:
        named = named or self._unnamed(of, item.reason if isinstance(item, Claim) else item.analysis)
        return (
            self._verdict(item, of, named=named, first=first)
            if isinstance(item, Claim)
            else self._analysis(item, of, named=named, first=first)
        )

    def _verdict(self, claim: Claim, of: Entry, *, named: bool, first: bool) -> str:
        """Return the verdict on a quoted claim with the reason."""
        claims = [other for _, other in self._reading.claims]
        true = claim is of.concept.true_claim
        fields = {"phrase": of.phrase, "nth": _ORDINALS[claims.index(claim) % len(_ORDINALS)], "n": claims.index(claim) + 1}
        if len(claims) > 1:
            apart = len({entry.order for entry, _ in self._reading.claims}) > 1
            about = not apart and claim is claims[0] and all(self._unnamed(of, other.reason) for other in claims)
            kind = "claim_nth_about" if about else "claim_nth_named" if apart and named else "claim_nth"
            pattern = self._phrases.pattern(kind, 0 if true else 1)
            return f"{pattern.format(**fields)} {claim.reason}"
        kind = "claim_true" if true else "claim_false"
        if not named and not _REFERS_BACK.match(claim.reason) and self._draw.random() < _REASON_FIRST:
            return f"{claim.reason} {self._phrases.pick(f'{kind}_after')}"
        if named:
            kind = f"{kind}_named"
        elif first:
            kind = self._draw.choice([kind, f"{kind}_first"])
        return f"{self._phrases.pick(kind, **fields)} {claim.reason}"

    def _two_claims(self) -> list[str]:
        """Return the verdict on both of two claims at once with the reasons, sometimes; else nothing."""
        claims = self._reading.claims
        if len(claims) != 2 or self._draw.random() < 1 / 2 or any(self._unnamed(of, claim.reason) for of, claim in claims):
            return []
        truth = [str(claim is entry.concept.true_claim).lower() for entry, claim in claims]
        reasons = zip(self._phrases.pattern("claims_two_on"), claims, strict=True)
        return [
            self._phrases.opening("claims_two", " ".join(truth)),
            *(f"{lead} {claim.reason}" for lead, (_, claim) in reasons),
        ]

    def _analysis(self, case: Example, of: Entry, *, named: bool, first: bool) -> str:
        """Return the analysis of a quoted case."""
        cases = [other for _, other in self._reading.cases]
        chosen = self._reading.asks("choice", of)
        nth = cases.index(case)
        fields = {"phrase": of.phrase, "term": of.term, "nth": _ORDINALS[nth % len(_ORDINALS)], "n": nth + 1}
        if len(cases) > 1:
            apart = named and (self._unnamed(of, case.analysis) or len({entry.order for entry, _ in self._reading.cases}) > 1)
            kind = "case_nth_choice" if chosen else "case_nth_named" if apart else "case_nth"
            lead = self._phrases.pattern(kind)
            return led(lead.format(**fields), case.analysis)
        kinds = ["case_choice"] if chosen else ["case_named"] if named else ["case_one", "case_named"]
        if not first and not chosen and not named:
            kinds.append("case_later")
        return led(self._phrases.pick(self._draw.choice(kinds), **fields), case.analysis)

    def _example(self, entry: Entry, *, named: bool) -> str:
        """Return an example of a concept that the question does not quote."""
        named = named or self._needs_name(entry)
        quoted = [case for _, case in self._reading.cases]
        example = self._draw.choice([case for case in entry.concept.examples if case not in quoted] or entry.concept.examples)
        lead = self._phrases.pick("example_named" if named else "example", phrase=entry.phrase)
        return f"{lead} {example.situation} {example.analysis}"

    def _mistake(self, entry: Entry, *, named: bool) -> str:
        """Return a common mistake and its correction; the textbook has it as a sentence or as a gerund phrase."""
        named = named or self._needs_name(entry)
        mistake, correction = entry.concept.mistake.mistake, entry.concept.mistake.correction
        kind = "_named" if named else ""
        if mistake.split(maxsplit=1)[0].endswith("ing"):
            body = mistake[0].lower() + mistake[1:]
            return f"{self._phrases.pick(f'mistake_gerund{kind}', phrase=entry.phrase, body=body)} {correction}"
        if not named and self._draw.random() < _REASON_FIRST:
            return f"{mistake} {self._phrases.pick('mistake_after')} {correction}"
        return f"{self._phrases.pick(f'mistake{kind}', phrase=entry.phrase)} {mistake} {correction}"

    def _closing(self) -> list[str]:
        """Return the significance of the only concept, now and then."""
        entry = self._reading.entries[0]
        if (
            self._solution
            or entry.concept.significance.startswith(("It ", "Its "))
            or self._draw.random() >= _UNASKED_SIGNIFICANCE
        ):
            return []
        return [led(self._about_importance(entry), entry.concept.significance)]

    # ------------------------------------------------------------------------------------------------------ connections

    def _topics(self) -> list[str]:
        """Return which of the concepts belong to which topic, if that is asked."""
        if not self._reading.asked["topics"]:
            return []
        pattern = self._phrases.pick_unfilled("topics")
        lines = []
        for topic in self._reading.topics:
            if inside := [entry.phrase for entry in self._reading.entries if entry.session is topic]:
                lines.append(pattern.format(topic=topic.name, list=listed(inside)))
        return [" ".join(lines)]

    def _connection(self) -> list[str]:
        """Return how the concepts are connected: by relations or short chains of them; concepts without any are named."""
        joined = self._reading.about("relation")
        if not joined:
            return []
        connection = connect(joined, self._draw)
        texts = []
        for link in connection.links:
            one, other = (entry.phrase for entry in link.ends)
            bridge = listed(entry.phrase for entry in link.bridges)
            lead = self._phrases.pick("bridge", one=one, other=other, bridge=bridge) if bridge else ""
            texts.append(led(lead, " ".join(link.sentences)))
        apart = [listed(entry.phrase for entry in group) for group in connection.apart]
        kind = "apart" if connection.links else "apart_all"
        texts += [self._phrases.pick(kind, list=group) for group in apart]
        direct = connection.links and not connection.links[0].bridges
        lead = self._phrases.pick("relation") if direct else ""
        if len(texts) > 2 and self._draw.random() < _LINK_LIST:
            return ([lead] if lead else []) + ["\n".join(f"- {text}" for text in texts)]
        return [led(lead, " ".join(texts))]


def _headed(style: str, nth: int, entry: Entry, body: Sequence[str]) -> list[str]:
    """Return the paragraphs on a concept with its name in a style of answers."""
    name = entry.concept.name
    if style == "heading":
        return [f"### {name}", *body]
    labels = {
        "bold": "" if f"**{name.lower()}**" in body[0].lower() else f"**{name}.** ",
        "numbered": f"{nth}. **{name}.** ",
        "plain": "",
    }
    return [labels[style] + body[0], *body[1:]]


def _label(entry: Entry) -> str:
    return f"**{entry.concept.name}**"


def _scaffold_answer(question: str) -> str:
    names = _QUOTED.findall(question)
    subject = re.search(r'"([^"]+)" \(', question)
    concepts = [quote(name) for name in names if not subject or name != subject.group(1)]
    return _SCAFFOLD_ANSWER.format(
        tag=SCAFFOLD,
        subject=quote(subject.group(1)) if subject else "this",
        concepts=listed(concepts) or "what was asked",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE].rsplit(" ", 1)[0] + " ..."
