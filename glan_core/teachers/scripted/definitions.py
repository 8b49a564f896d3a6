"""Definitions of the textbook in other forms: without the name, with the name in bold, or two in one sentence."""

import re

from glan_core.teachers.scripted.textbook import Entry

_LONGEST = 65  # words of two definitions in one sentence


def called(entry: Entry) -> str:
    """Return what a concept is the name of ('a chord of three notes'), '' if its definition has another form."""
    body = _body(entry)
    plain = body and not re.search(r"[;:?]|\. ", body) and not re.search(rf"\b{re.escape(entry.concept.name)}\b", body, re.I)
    return body.rstrip(".") if plain else ""


def _body(entry: Entry) -> str:
    """Return what follows 'is' in a definition of the form 'A triad is a chord ...', '' for other forms."""
    name = re.escape(entry.concept.name)
    found = re.match(rf"(?:(?:An?|The) )?{name} is ((?:an?|the|any|one) .+)$", entry.concept.definition, re.IGNORECASE)
    return found.group(1) if found else ""


def emphasized(entry: Entry) -> str:
    """Return a definition with the name of its concept in bold."""
    return re.sub(re.escape(entry.concept.name), r"**\g<0>**", entry.concept.definition, count=1, flags=re.IGNORECASE)


def contrast(one: Entry, other: Entry) -> str:
    """Return two definitions as one sentence ('A triad is ..., whereas a cent is ...'), '' if that does not suit them."""
    first, second = one.concept.definition, other.concept.definition
    opening = re.match(rf"(?:(An?|The) )?{re.escape(other.concept.name)}\b", second)
    single = all(text.count(". ") == 0 and ";" not in text and ":" not in text for text in (first, second))
    if not opening or not single or len(f"{first} {second}".split()) > _LONGEST:
        return ""
    article = f"{opening.group(1).lower()} " if opening.group(1) else ""
    return f"{first[:-1]}, whereas {article}{other.term}{second[opening.end() :]}"
