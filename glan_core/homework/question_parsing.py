"""Parsing of homework questions, including the check that they are self-contained."""

import re

from glan_core.phrase_patterns import PhrasePatterns
from glan_core.reply_parsing import MalformedReply

# The reader of a question attends no class and submits no coursework. Each pattern is a phrase that requires one; harmless
# uses of the same words ("submit a bid", "the lecture hall") do not match.
COURSE_REFERENCE = PhrasePatterns(
    (
        ("syllabus", "session", "coursework"),
        r"\b(?:the|this|our|your|last|previous|today'?s)\s(?:\w+\s)?(?:syllabus(?!\sof\b)|class\ssessions?|coursework)\b",
    ),
    (
        ("lecture", "lesson"),
        r"""\b(?:the|this|our|your|last|previous|earlier|today'?s)\s(?:lectures?|lessons?)\b
            (?!\s(?:hall|theat|of|from|learn|to\sbe)\w*)""",
    ),
    (
        ("discussed", "covered", "learned", "learnt", "studied", "taught", "introduced", "seen", "presented", "mentioned"),
        r"""\b(?:discussed|covered|learned|learnt|studied|taught|introduced|seen|presented|mentioned)\s
            (?:earlier\s|previously\s)?(?:in|during)\s
            (?:(?:the\s|this\s|our\s|your\s|today'?s\s)?(?:class|course(?!\sof\b)|lectures?|lessons?|sessions?)
              |(?:this|our|your)\s(?:unit|module|week))\b""",
    ),
    (("session", "lecture", "lesson"), r"\b(?:in|from|during)\s(?:session|lecture|lesson)\s\d+\b"),
    (
        ("sessions", "concepts"),
        r"\b(?:the\sselected|key)\s(?:class\s)?(?:key\s)?(?:sessions|concepts)\s(?:above|below|listed|given|selected)\b",
    ),
    (("textbook",), r"\b(?:the|your)\stextbook\b(?!\s(?:case|example))"),
    (("assigned",), r"\bassigned\sreadings?\b"),
    (
        ("textbook", "handout", "slides"),
        r"\b(?:figure|table|passage|text|diagram|graph|code|excerpt)\sin\sthe\s(?:textbook|handout|slides)\b",
    ),
    (("attached",), r"\bthe\sattached\s(?:file|data|document|table|figure|image|sheet|spreadsheet|pdf|code|text)\b"),
    (("post", "attach", "mail", "upload"), r"\b(?:post|attach|e-?mail|upload)\syour\b | \bupload\sit\sto\b"),
    (("mail",), r"\be-?mail\s(?:\w+\s){1,4}?to\sme\b"),
    (("student",), r"\byour\s(?:\w+,?\s){0,3}?student\s(?:id|number)\b"),
    (
        ("graded",),
        r"""\byou(?:'ll|\swill|\sare)?\s(?:be\s)?(?:\w+ly\s)?graded\b
          | \byour\s(?:\w+\s){1,2}?(?:is|are|will\sbe|gets?)\s(?:\w+ly\s)?graded\b""",
    ),
    (
        ("saw", "seen", "discussed", "learned", "learnt", "studied", "covered"),
        r"""\bas\swe(?:'ve|\shave)?\s(?:saw|seen|discussed|learned|learnt|studied|covered)\b
            (?!\s(?:above|here|in\s(?:part|step|question|the\sexample))\b)""",
    ),
    (
        ("last",),
        r"""\b(?:we|you)\s(?:\w+\s){1,3}?(?<!the\s)last\stime\b | \b(?:since|from)\slast\stime\b
          | ^last\stime,?\s(?:we|you)\b""",
    ),
    (
        ("assignment", "homework", "essay", "submission", "coursework"),
        r"\b(?:assignment|homework|essay|submission|coursework)s?\s(?:is|are)\sdue\b",
    ),
    (
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
        r"""\bby\s(?:next\s)?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b
            (?=[^.]{0,40}\b(?:submi|hand|turn|upload|pdf)|\s*+[.!]?\s*+$)""",
    ),
    (
        ("instructor", "professor", "classmate", "teacher", "peer"),
        r"""(?:^|(?<=[.!?\n]))(?:(?!\b(?:would\syou|you\swould)\b)[^.!?\n])*?
            \b(?<!if\s)(?<!imagine\s)(?<!imagine\sthat\s)(?<!suppose\s)(?<!suppose\sthat\s)
            (your\s(?:instructor|professor|classmates?|teacher|peers?))\b""",
    ),
    (("next",), r"\bin\snext\sclass\b"),
    (("discuss",), r"\bdiscuss\s(?:\w+\s){0,3}?(?:in|with)\syour\s(?:\w+\s)?(?:group|partner)s?\b"),
    (("class",), r"\b(?:bring|present)\s(?:it|this|them|your\s\w+)\sto\s(?:the\s)?(?:next\s)?class\b"),
)
# "Submit a report" is coursework if it instructs the reader; a contractor who must submit one is part of a scenario.
SUBMISSION_INSTRUCTION = re.compile(
    r"""
    (?:^|(?<=\n)|(?<=[.!?;:,)\n*-]\s)|\bplease\s|\bthen\s|\band\s(?=(?:\w+\s){1,2}your\b)
      |\byou\s(?:must|should|shall|will|can|may|need\sto|have\sto|are\s(?:\w+ed\s)?to)\s
      |(?:^|(?<=\n)|(?<=[.!?:)*-]\s))(?:write|prepare|create|make|draw|design|develop|compute|calculate|solve|answer|explain
        |describe|discuss|complete|compare|include|implement|record|save|summari[sz]e|analy[sz]e)\b[^.!?\n]{0,200}?\band\s)
    (?:also\s)?
    (
      (?:submit|hand\sin|turn\sin)\s(?:your|the|a|an|it|this|them)\s?(?:\w+\s){0,3}?
      (?:answers?|solutions?|assignments?|homework|essay|report|work|paper|pdf|file|document|code|notebook|response)\b
    | (?:submit|hand\sin|turn\sin)\s(?:it|this|them)(?=\s*(?:[.!,;]|by\b|before\b|to\sme\b|on\b|$))
    | (?:hand|turn)\s(?:\w+\s){0,2}in\b(?=\s*(?:[.!,;]|by\b|before\b|at\b|on\b|to\syour|as\sa\b|$))
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A part of every such instruction.
SUBMISSION = PhrasePatterns((("submit", "hand", "turn"), r"\b(?:submit|(?:hand|turn)\s(?:\w+\s){0,2}in)\b"))
# "The table above" may refer to the question itself, but not near its beginning.
MISSING_CONTEXT = re.compile(r"\b(?:figure|table|passage|text|diagram|graph|code|excerpt)\s(?:shown\s)?above\b", re.IGNORECASE)
MIN_CONTEXT = 60  # characters
PREAMBLE = re.compile(r"^\s*(?:\*\*|#+\s*)?(?:homework\s+)?question\s*+(?:\d+)?\s*+[:.](?:\*\*)?\s*", re.IGNORECASE)
MAX_CHARACTERS = 20_000


def parse_question(text: str) -> str:
    """Return the question of a reply without a leading 'Question:'.

    Raises:
        MalformedReply: If the reply is too short, too long or not self-contained (repairable).
    """
    question = PREAMBLE.sub("", text, count=1).strip()
    if len(question) < 10:
        raise MalformedReply("malformed", "the reply is too short for a question", repairable=True)
    if len(question) > MAX_CHARACTERS:
        raise MalformedReply("malformed", f"the question is longer than {MAX_CHARACTERS:,} characters", repairable=True)
    if found := (
        COURSE_REFERENCE.search(question)
        or (SUBMISSION.search(question) and SUBMISSION_INSTRUCTION.search(question))
        or MISSING_CONTEXT.search(question[:MIN_CONTEXT])
    ):
        phrase = " ".join(found[found.lastindex or 0].split())  # without the words that only lead up to it
        raise MalformedReply(
            "not self-contained",
            f"the question must be self-contained, but it says “{phrase}”: its reader attends no class and submits no work",
            repairable=True,
        )
    return question
