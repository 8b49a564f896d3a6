"""Quality rules: each takes a question and its answer and describes the fault it finds, or returns None.

The rules favor precision over recall: a question about submitting homework, a poem with a refrain or a study of refused
treatment is not a fault. Text in quotation marks counts as an example, not as the model's own words.

The rules for refusals and self-references know English phrases only, as those of `question_rules` do; `language_rules.is_foreign` finds
the texts that they cannot judge. The other rules work in any script.
"""

import re
import unicodedata
import zlib
from collections import Counter

from glan_core.dataset.prose_spans import CODE, SHOWN, TABLE, formulas, own_words, shown
from glan_core.dataset.text_normalization import words, words_and_signs
from glan_core.delimited_spans import replaced
from glan_core.phrase_patterns import PhrasePatterns
from glan_core.reply_parsing import REFUSAL

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
    return None if len(answer) > 1500 else shown(REFUSAL.match(opening) or _DECLINES.match(opening))


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
    return next((shown(match) for text in suspects if (match := _AS_AN_AI.search(own_words(text)))), None)


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
    if len(last) >= 20 and _OPEN_END.search(last[-20:]) and next(formulas(last), None) is None:
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


# Loops

TAIL = 1000  # characters at the end that are searched for a repeated phrase
REPEATED = 12  # repeated words required at the end; also at least three periods of the phrase


def loop(question: str, answer: str) -> str | None:
    """Flag answers that end in one phrase repeated over and over, or that contain little new text."""
    if phrase := _tail_phrase(answer):
        return f"it ends by repeating “{phrase[:SHOWN]}”"
    if len(answer) < 400 or len(zlib.compress(answer.encode("utf-8", "replace"), 1)) > 0.4 * len(answer):
        return None  # repetitive text compresses well
    prose = TABLE.sub(" ", CODE.sub(" ", answer))
    lines = Counter(line for line in (each.strip() for each in prose.splitlines()) if len(line) >= 25)
    if lines and (most := lines.most_common(1)[0])[1] >= 6 and 2 * most[1] > sum(lines.values()):
        return f"the line “{most[0][:SHOWN]}” occurs {most[1]:,} times"
    said = words(replaced(prose, formulas(prose)))
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
            prose = TABLE.sub(" ", CODE.sub(" ", answer))
            said = words(replaced(prose, formulas(prose)))
            return " ".join(phrase) if said[-run:] == tail[-run:] else None
    return None


def _is_text(word: str) -> bool:
    """Return whether a word is not a number or a single letter, which tables and matrices repeat."""
    return word[0].isalpha() and not any(map(str.isdecimal, word)) and (len(word) > 1 or not word.isascii())
