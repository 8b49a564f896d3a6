"""Quality rules: each takes a question and its answer and describes the fault it finds, or returns None.

The rules favor precision over recall: a question about submitting homework, a poem with a refrain or a study of refused
treatment is not a fault. Text in quotation marks counts as an example, not as the model's own words.

The rules for refusals, self-references, missing material and submission instructions know English phrases only;
`is_foreign` finds the texts that they cannot judge. The other rules work in any script.
"""

import re
import unicodedata
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from glan_core.dataset.text_normalization import words, words_and_signs
from glan_core.delimited_spans import NextPlaces, Span, replaced, spans
from glan_core.phrase_patterns import PhrasePatterns
from glan_core.reply_parsing import REFUSAL

SHOWN = 80  # characters of the matched text shown

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|^(?: {4}|\t).*$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_FORMULA_OPENING = re.compile(r"\$|\\[\[(]|https?://(?=\S)")
_DOLLARS = re.compile(r"\$[^$\n]+\$")
_NOT_SPACE = re.compile(r"\S+")
_TABLE = re.compile(r"^[^\S\n]*\|.*\|[^\S\n]*$", re.MULTILINE)
_QUOTE_OPENING = re.compile(r"“|(?<!\w)[\"']|^(?:\s++>?|>)", re.MULTILINE)  # blank lines before a line are read once
_DOUBLE_QUOTES, _SINGLE_QUOTES = re.compile(r"\"[^\"\n]*\""), re.compile(r"'[^'\n]{12,}'(?!\w)")


def _formulas(text: str) -> Iterator[Span]:
    """Yield the spans of formulas and URLs."""
    places = NextPlaces(text)

    def end_of(found: re.Match[str]) -> int | None:
        at, sign = found.start(), found.group()
        if sign[0] == "h":
            return match.end() if (match := _NOT_SPACE.match(text, found.end())) else None
        if sign[0] == "\\":
            closing = places.find("\\]" if sign[1] == "[" else "\\)", at + 3)
        else:
            closing = places.find("$$", at + 3) if text.startswith("$$", at) else None
            if closing is None and (match := _DOLLARS.match(text, at)):
                return match.end()
        return closing[1] if closing else None

    return spans(text, _FORMULA_OPENING, end_of)


def _quotations(text: str) -> Iterator[Span]:
    """Yield the spans of text in quotation marks and of quoted lines."""
    places = NextPlaces(text)

    def end_of(found: re.Match[str]) -> int | None:
        match found.group()[-1]:
            case "“":
                return closing[1] if (closing := places.find("”", found.end())) else None
            case ">":
                return line[0] if (line := places.find("\n", found.end())) else len(text)
            case '"':
                closed = _DOUBLE_QUOTES.match(text, found.start())
            case "'":
                closed = _SINGLE_QUOTES.match(text, found.start())
            case _:
                closed = None
        return closed.end() if closed else None

    return spans(text, _QUOTE_OPENING, end_of)


def _own(text: str) -> str:
    """Return the text without code and quotations."""
    prose = _FENCED.sub(" ", text)
    return replaced(prose, _quotations(prose)).replace("’", "'")


def _shown(match: re.Match | None) -> str | None:
    if match is None:
        return None
    found = " ".join(match.group().split())
    return f"“{found if len(found) <= SHOWN else found[: SHOWN - 1].rstrip() + '…'}”"


# Refusals

_DECLINES = re.compile(
    r"""^\W*(?:i'm\s(?:\w+\s)?sorry\b\W*(?:but\s)?|(?:sorry|unfortunately|my\sapologies)\b\W*(?:but\s)?)?
    i\s(?:must|have\sto|need\sto|would\shave\sto)\s(?:respectfully\s|politely\s)?(?:decline|refuse)\b
    (?!\sthe\s(?:offer|invitation))""",
    re.IGNORECASE | re.VERBOSE,
)


def refusal(question: str, answer: str) -> str | None:
    """Flag answers that open by saying that the model cannot or will not help."""
    opening = answer.strip().replace("’", "'")[:600]
    return None if len(answer) > 1500 else _shown(REFUSAL.match(opening) or _DECLINES.match(opening))


# As an AI

_AI = r"an?\s(?:ai|artificial\sintelligence|(?:large\s)?language\smodel)\b"
_AS_AN_AI = PhrasePatterns(
    (
        (" ai", "\nai", "\tai", "artificial", "language"),
        rf"""\bas\s{_AI}(?:\s(?:language\s)?(?:model|assistant|chatbot|program))?(?:\s(?:developed|trained|created)\sby\s\w+)?
            \s?,?\s(?:i|my)\b
          | \bi(?:'m|\sam)\s(?:just\s|only\s|merely\s)?{_AI}
            (?!\s(?:engineer|researcher|developer|scientist|student|expert|specialist|consultant|ethicist|enthusiast))""",
    ),
    (("training", "knowledge", "update"), r"\bmy\s(?:training\sdata|knowledge\scut-?off|last\s(?:knowledge\s)?update)\b"),
    (
        ("personal", "access"),
        r"""\bi\s(?:don't|do\snot)\shave\s(?:personal\s(?:opinions|beliefs|experiences?|feelings|emotions)
            |access\sto\s(?:real-?time|the\sinternet|current\sdata|up-to-date))""",
    ),
)


def as_an_ai(question: str, answer: str) -> str | None:
    """Flag texts in which the model refers to itself as an AI."""
    suspects = (text for text in (answer, question) if _AS_AN_AI.may_match(text))
    return next((_shown(match) for text in suspects if (match := _AS_AN_AI.search(_own(text)))), None)


# Truncated answers

_OPEN_END = re.compile(
    r"(?:,|\b(?:the|a|an|of|and|or|to|with|that|because|which|by|from|than|are|was|were|its|their|into|if|but|such as|e\.g\.))$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？।॥؟۔።။។]")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+•#>|]|\(?\w{1,3}[.)]\s)")


def cut(question: str, answer: str) -> str | None:
    """Flag answers that end within a code block or a sentence."""
    text = answer.rstrip()
    if text.count("```") % 2:
        return "a code block that is not closed"
    if text.endswith("```") or not text:
        return None
    last = text.rsplit("\n", 1)[-1].strip()
    tail = f"“…{last[-60:]}”"
    if len(last) >= 20 and _OPEN_END.search(last[-20:]) and next(_formulas(last), None) is None:
        return f"it ends with {tail}"
    whole = not _ends_in_letter(last) or _LIST_ITEM.match(last) or _looks_technical(last)
    if not whole and len(last) >= 60 and len(_SENTENCE_END.findall(text)) >= 3:
        return f"its last sentence is incomplete: {tail}"
    return None


def _ends_in_letter(line: str) -> bool:
    """Return whether the last character is a letter, with or without combining marks."""
    return next((c.isalpha() for c in reversed(line) if unicodedata.category(c)[0] != "M"), False)


def _looks_technical(line: str) -> bool:
    """Return whether a line is a formula, code or a table row rather than a sentence."""
    return bool(re.search(r"[=\\{}<>^|;]|\d\s*$", line))


# Empty or too short

ENOUGH = 5  # an answer with this many words is never a placeholder
_NOTHING = re.compile(r"\W*+(?:n/?a|none|null|nil|todo|tbd|undefined|nan|\[?answer\]?|\[?response\]?)?\W*+", re.IGNORECASE)


def short(question: str, answer: str, min_question_words: int = 2, min_answer_words: int = 2) -> str | None:
    """Flag questions and answers with too few words; a number or a formula is a valid answer."""
    asked, said = _first_words(question, min_question_words), _first_words(answer, min_answer_words)
    if len(asked) < min_question_words:
        return f"the question has {_words(len(asked))}"
    if not said or (len(said) < ENOUGH and _NOTHING.fullmatch(answer)):
        return "there is no answer"
    if len(said) < min_answer_words and not re.search(r"[\d$\\`=<>∅∞]", answer) and (len(said) > 1 or len(answer.strip()) > 1):
        return f"the answer has {_words(len(said))}"
    return None


def _first_words(text: str, least: int) -> list[str]:
    """Return the words and signs of the opening if it has enough, else those of the whole text."""
    opening = words_and_signs(text[: 20 * max(least, ENOUGH)])
    return opening if len(opening) >= max(least, ENOUGH) else words_and_signs(text)


def _words(number: int) -> str:
    return "no words" if not number else "1 word" if number == 1 else f"{number:,} words"


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
    own = _own(question)
    if match := _DEPENDS.search(own):
        return _shown(match)
    match = _SHOWN_ELSEWHERE.search(own)
    if match is None or (_TEXT_SHOWN.search(match.group()) and _brings_text(question)):
        return None
    return _shown(match)


def _brings_text(question: str) -> bool:
    """Return whether the question itself contains a table, code, or a quoted or indented passage."""
    return bool(
        _TABLE.search(question) or _CODE.search(question) or sum(end - start for start, end in _quotations(question)) > 60
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
    own = _own(question)
    clauses = [0, *(end.end() for end in _CLAUSE_END.finditer(own))]
    for match in _HAND_IN.finditer(own):
        before = own[clauses[bisect_right(clauses, match.start() + 1) - 1] : match.start() + 1]
        if not _ABOUT_OTHERS.search(before) and not _ABOUT_OTHERS.search(match.group()):
            return _shown(match)
    return None


# Loops

TAIL = 1000  # characters at the end that are searched for a repeated phrase
REPEATED = 12  # repeated words required at the end; also at least three periods of the phrase


def loop(question: str, answer: str) -> str | None:
    """Flag answers that end in one phrase repeated over and over, or that contain little new text."""
    if phrase := _tail_phrase(answer):
        return f"it ends by repeating “{phrase[:SHOWN]}”"
    if len(answer) < 400 or len(zlib.compress(answer.encode("utf-8", "replace"), 1)) > 0.4 * len(answer):
        return None  # repetitive text compresses well
    prose = _TABLE.sub(" ", _CODE.sub(" ", answer))
    lines = Counter(line for line in (each.strip() for each in prose.splitlines()) if len(line) >= 25)
    if lines and (most := lines.most_common(1)[0])[1] >= 6 and 2 * most[1] > sum(lines.values()):
        return f"the line “{most[0][:SHOWN]}” occurs {most[1]:,} times"
    said = words(replaced(prose, _formulas(prose)))
    runs = [tuple(said[at : at + 4]) for at in range(len(said) - 3)]
    if len(runs) >= 100 and len(set(runs)) < 0.3 * len(runs) and sum(word[0].isalpha() for word in said) > 0.7 * len(said):
        return f"only {len(set(runs)) / len(runs):.0%} of its 4-word phrases are distinct"
    return None


def _tail_phrase(answer: str) -> str | None:
    """Return the phrase that a text repeats at its end, outside tables and code, or None."""
    tail = words(answer[-TAIL:])
    for period in range(1, 21):
        run = 0
        while run + period < len(tail) and tail[-1 - run] == tail[-1 - run - period]:
            run += 1
        phrase = tail[len(tail) - period :]
        if run >= max(REPEATED, 3 * period) and any(_is_text(word) for word in phrase):
            prose = _TABLE.sub(" ", _CODE.sub(" ", answer))
            said = words(replaced(prose, _formulas(prose)))
            return " ".join(phrase) if said[-run:] == tail[-run:] else None
    return None


def _is_text(word: str) -> bool:
    """Return whether a word is not a number or a single letter, which tables and matrices repeat."""
    return word[0].isalpha() and not any(map(str.isdecimal, word)) and (len(word) > 1 or not word.isascii())


# Language

_LANGUAGE_TASK = re.compile(
    r"""\b(?:translat\w+|languages?|dialects?|phrases?\sin|pronunciation|conjugat\w+|vocabulary|bilingual|multilingual|
    (?:in|into|from|the)\s(?:english|french|german|spanish|italian|portuguese|russian|chinese|mandarin|cantonese|japanese|korean|
    arabic|hebrew|hindi|urdu|bengali|latin|greek|dutch|swedish|norwegian|danish|finnish|polish|czech|turkish|persian|vietnamese|
    thai|indonesian|swahili|sanskrit|ukrainian|romanian|hungarian))\b""",
    re.IGNORECASE | re.VERBOSE,
)
_LEAST_WORDS, _LEAST_CERTAIN, _LOOKED_AT = 12, 0.95, 600
_ALIKE = [
    {"no", "nn", "da"},
    {"zh", "yue", "wuu"},
    {"hr", "sr", "bs"},
    {"id", "ms"},
    {"en", "pcm"},
    {"es", "gl", "ext"},
    {"de", "lb"},
]
_ENGLISH = frozenset(("the", "of", "and", "to", "in", "is", "a", "that", "for", "with", "are", "what", "how"))


def language(question: str, answer: str, expected: str = "en") -> str | None:
    """Flag a question or answer that is not in the expected language.

    Code, formulas, quotations and short texts are skipped, and so are answers to questions about languages.
    """
    for which, text in (("question", question), ("answer", answer)):
        if which == "answer" and _LANGUAGE_TASK.search(question):
            continue
        if found := _other_language(text, expected):
            return f"the {which} is in language {found!r}"
    return None


def _other_language(text: str, expected: str) -> str | None:
    if expected == "en" and _has_english(text[:_LOOKED_AT].lower().split()):
        return None
    opening = text[: 3 * _LOOKED_AT]
    prose = _CODE.sub(" ", replaced(opening, _quotations(opening)))
    prose = replaced(prose, _formulas(prose))[:_LOOKED_AT]
    own = [word for word in words(prose) if not word.isnumeric()]
    if len(own) < _LEAST_WORDS or (expected == "en" and _has_english(own)):
        return None
    found, certain = _identifier().classify(prose)
    alike = next((group for group in _ALIKE if expected in group), {expected})
    least = 0.4 if expected == "en" and _beyond_latin(prose) else _LEAST_CERTAIN
    return None if found in alike or found == "zxx" or certain < least else found


def is_foreign(text: str, context: str = "") -> bool:
    """Return whether a text is in another language than English.

    Args:
        text: The text.
        context: Text of the same language that decides if `text` is too short to tell.
    """
    if not text.isascii() and _beyond_latin(text):
        return True
    if _other_language(text, "en"):
        return True
    lowered = text[:_LOOKED_AT].lower().split()
    return bool(context) and len(lowered) < _LEAST_WORDS and not _has_english(lowered) and is_foreign(context)


def _has_english(own: list[str]) -> bool:
    """Return whether common English words are as frequent as in English prose."""
    return sum(map(_ENGLISH.__contains__, own)) > 0.12 * len(own)


def _beyond_latin(text: str) -> bool:
    """Return whether most letters are non-Latin, so that the language is not in doubt for English."""
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(letter >= "\u0370" for letter in letters) > len(letters)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
