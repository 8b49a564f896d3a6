"""Quality rules for questions: whether they are self-contained, and free of instructions to submit work.

They know English phrases only, as the rules for refusals and self-references do.
"""

import re
from bisect import bisect_right

from glan_core.dataset.prose_spans import CODE, TABLE, own_words, quotations, shown
from glan_core.phrase_patterns import PhrasePatterns

# Questions that are not self-contained

_LESSON = r"(?:class|lecture|lesson|session|course|module|unit|chapter|seminar|workshop|syllabus|textbook|readings?|slides)"
_LESSONS = ("class", "lecture", "lesson", "session", "course", "module", "unit", "chapter", "seminar", "workshop", "syllabus", "textbook",
            "reading", "slides")  # fmt: skip
_ADDRESSED = r"(?=[^.?!]{0,400}\b(?:you|your|we|our)\b)"  # in the rest of the sentence
_DEPENDS = PhrasePatterns(
    (("above", "below"), rf"\b(?:the|this)\s{_LESSON}(?:\smaterials?|\snotes)?\s(?:above|below)\b"),
    (
        ("question", "exercise", "problem"),
        rf"\b(?:above|previous|preceding|earlier|last)\s(?:question|exercise|problem)s?\b{_ADDRESSED}",
    ),
    (
        ("discuss", "cover", "learn", "stud", "see", "saw", "explor", "introduc", "examin", "encounter", "talk"),
        rf"""\b(?:as\s)?(?:we|you)(?:'ve|\shave)?\s(?:just\s|previously\s|already\s)?
            (?:discuss|cover|learn|stud|see|saw|explor|introduc|examin|encounter|talk)\w*\s(?:[\w'-]+\s){{0,8}}?
            (?:in|during|from)\s(?:class|(?:the|this|our|your|that|today's|last\sweek's|a\sprevious|previous|earlier)\s
            (?:\w+\s){{0,2}}{_LESSON}s?)\b""",
    ),
    (
        (
            "discussed",
            "covered",
            "taught",
            "introduced",
            "presented",
            "seen",
            "shown",
            "learned",
            "learnt",
            "outlined",
            "described",
            "explained",
        ),
        r"""\bas\s(?:was\s)?(?:discussed|covered|taught|introduced|presented|seen|shown|learned|learnt|outlined|described|explained)
            \s(?:\w+\s)?(?:in|during)\s(?:class|(?:the|this|our|your|today's|previous|earlier|session|module|unit|chapter)\b)""",
    ),
    (
        ("discussed", "covered", "taught", "introduced", "presented", "learned", "learnt"),
        rf"""\b(?:discussed|covered|taught|introduced|presented|learned|learnt)\sin\s
            (?:class|(?:this|our|your)\s{_LESSON}|(?:the|these|those)\s(?:class\ssessions?|syllabus|previous\s{_LESSON}s?))\b""",
    ),
    (
        _LESSONS,
        r"""\b(?:in|from|during)\s(?:today's|yesterday's|last\sweek's|this\sweek's|your|our)\s
            (?:class|lecture|lesson|session|seminar|syllabus|course\smaterials?|lecture\snotes|class\snotes|textbook|readings)\b
            (?!\s(?:of\s)?(?:students|plan|size|room|design))""",
    ),
    (("session", "syllabus"), r"\b(?:class\s)?sessions?\s\d+\b | \b(?:given|provided|selected)\ssyllabus\b"),
    (
        ("notes", "slides", "materials", "reading"),
        r"""\b(?:the|your)\s(?:lecture|class|course)\s(?:notes|slides|materials|readings)\b
            (?=[^.?!]{0,400}\b(?:you|your|refer|see|using)\b)""",
    ),
    (("session", "concepts"), r"\b(?:selected|given)\s(?:class\ssessions?|key\sconcepts)\b"),
)
_SHOWN_ELSEWHERE = PhrasePatterns(
    (
        ("fig", "exhibit", "diagram", "appendix", "table"),
        r"""\b(?:see|refer\sto|shown\sin|in|from|using|on|of)\s(?:the\s)?(?:attached\s)?(?:fig(?:ure|\.)|exhibit|diagram|appendix|table)
            \s?(?:\d+(?:\.\d+)*|[A-Z]\b)(?!\s*(?:skating|of\s(?:eight|merit|speech)))""",
    ),
    (
        ("attached", "accompanying", "enclosed"),
        r"""\bthe\s(?:attached|accompanying|enclosed)\s(?:\w+\s)?
            (?:figure|diagram|table|graph|image|picture|chart|map|file|document|article|spreadsheet|worksheet|handout|dataset)\b""",
    ),
    (
        ("above", "below", "shown", "given", "provided", "attached", "depicted"),
        r"""\bthe\s(?:figure|diagram|graph|image|picture|photo(?:graph)?|chart|map|article|video|handout|worksheet|passage|table|text|
            excerpt|code|snippet|data)\s(?:above|below|(?:shown|given|provided|attached|depicted)(?:\s(?:above|below|here))?(?=[\s,.?;:]))""",
    ),
    (
        ("above", "following"),
        r"\bthe\s(?:above|following)\s(?:figure|diagram|graph|image|picture|photo|chart|map|video|handout|worksheet)\b",
    ),
)
_TEXT_SHOWN = re.compile(r"table|text|passage|excerpt|code|snippet|data|article|chart|graph", re.IGNORECASE)


def depends(question: str, answer: str) -> str | None:
    """Flag questions that refer to a lecture, an earlier exercise, a figure or a text they do not contain."""
    if not (_DEPENDS.may_match(question) or _SHOWN_ELSEWHERE.may_match(question)):
        return None
    own = own_words(question)
    if match := _DEPENDS.search(own):
        return shown(match)
    match = _SHOWN_ELSEWHERE.search(own)
    if match is None or (_TEXT_SHOWN.search(match.group()) and _brings_text(question)):
        return None
    return shown(match)


def _brings_text(question: str) -> bool:
    """Return whether the question itself contains a table, code, or a quoted or indented passage."""
    return bool(
        TABLE.search(question) or CODE.search(question) or sum(end - start for start, end in quotations(question)) > 60
        or "<svg" in question or re.search(r":\s*\n.{40,}", question)
        or len(re.findall(r"^[^\S\n]*[-*\d].*\d", question, re.MULTILINE)) > 2
    )  # fmt: skip


# Submission instructions

_WORK = (
    r"(?:assignment|homework|report|essay|paper|solutions?|answers?|work|code|project|analysis|response|write-?up|results|"
    r"findings|presentation|portfolio|submission|document|file|pdf|notebook|spreadsheet|deliverables?|exercise|reflection)s?"
)
_AT_CLAUSE = r"(?:^|[.!?;:\n]\s{0,20}(?:[-*\d.)]{1,20}\s{0,20})?|\b(?:please|then|and|must|should|will|are\sto|finally,?)\s)"
_HAND_IN = PhrasePatterns(
    (
        ("submit", "upload", "hand", "turn", "mail"),
        rf"""{_AT_CLAUSE}(?:submit|upload|hand\sin|turn\sin|e-?mail)\s(?:your|this|the|a|an|one|both|all)\s(?:[\w-]+\s){{0,3}}?{_WORK}\b
            (?!\s(?:to|for)\s(?:a|an|the)\s(?:journal|conference|court|regulator|agency|board|client|bank|irs|committee|publisher))""",
    ),
    (("submit",), rf"{_AT_CLAUSE}submit\s(?:it|them)\s(?:as|in|to|via|by|on)\b"),
    (
        ("due", "submitted", "uploaded", "spaced", "typed", "handed", "turned", "in pdf", "in word", "in docx", "in\n", "in\t"),
        r"""\byour\s(?:submission|assignment|report|essay|paper|answer|response)\s(?:is\sdue|(?:should|must)\sbe\s
            (?:submitted|uploaded|double-spaced|typed|handed\sin|turned\sin|in\s(?:pdf|word|docx)))\b""",
    ),
    (
        ("due", "submitted", "handed"),
        r"""\b(?:due|submitted|handed\sin)\s(?:by|before|on|at)\s(?:the\s)?(?:next\sclass|midnight|11:59|end\sof\s(?:the\sweek|class)
            |(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b(?=[^.?!]{0,400}(?:\.|!|$))""",
    ),
    (
        ("class",),
        r"\b(?:bring|be\sprepared\sto\spresent)\s(?:your|a)\s(?:[\w-]+\s){0,4}?(?:to|in)\s(?:the\snext\s|our\snext\s)?class\b",
    ),
    (
        ("spaced", "12-point", "roman"),
        r"""\b(?:double-spaced|12-point|times\snew\sroman)\b
            (?=[^.?!]{0,400}\b(?:page|pages|font|format|submit|paper|report|essay)\b)""",
    ),
    (
        ("graded", "marked", "assessed"),
        r"\b(?:your|this)\s(?:work|assignment|answer|response|essay|report|project)\swill\sbe\s(?:graded|marked|assessed)\b",
    ),
    (
        ("submit", "upload", "post"),
        r"""\b(?:submit|upload|post)\b[^.?!\n]{0,60}\b(?:to|on|via|through)\s(?:canvas|moodle|blackboard|turnitin|gradescope|
            the\s(?:course|class)\s(?:website|portal|page|forum)|your\s(?:instructor|professor|teacher|ta)\b)""",
    ),
)
_CLAUSE_END = re.compile(r"[.!?\n]")
_ABOUT_OTHERS = re.compile(
    r"\b(?:students?|users?|they|he|she|pupils?|learners?|customers?|how\s(?:do|can|should)\s(?:i|you))\b", re.I
)


def hand_in(question: str, answer: str) -> str | None:
    """Flag questions that say how to submit work."""
    if not _HAND_IN.may_match(question):
        return None
    own = own_words(question)
    clauses = [0, *(end.end() for end in _CLAUSE_END.finditer(own))]
    for match in _HAND_IN.finditer(own):
        before = own[clauses[bisect_right(clauses, match.start() + 1) - 1] : match.start() + 1]
        if not _ABOUT_OTHERS.search(before) and not _ABOUT_OTHERS.search(match.group()):
            return shown(match)
    return None
