"""Characters of untrusted text: controls, escape sequences of terminals, overrides of direction, and floods of invisible signs.

Every surface (pages, figures, command line, report, cards) passes text of models and users through `clean` or `clean_line`, and then
escapes what its own format interprets.

Source: Unicode Technical Report 36 and Unicode Standard Annexes 9 (bidirectional text) and 31 (default-ignorable characters); ECMA-48
for escape sequences.
"""

import regex

MOST_MARKS = 8  # combining marks on one letter; the scripts of the world use up to six
MOST_INVISIBLE = 8  # invisible characters in a row, as in the flag of England
_SEQUENCE = regex.compile(
    r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]?"  # CSI, such as colors and cursor moves
    r"|[\]PX^_](?:[^\x07\x1b\x80-\x9f]{0,2000}+(?:\x07|\x9c|\x1b\\))?"  # OSC, DCS, SOS, PM and APC, such as titles and links
    r"|[ -/]*+[0-~]?)"
)
_LINE_BREAK = regex.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Controls but line feed and tab; embeddings, overrides and isolates of direction; interlinear annotations; lone surrogates, noncharacters.
_REMOVED = regex.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff]|[\ud800-\udfff]"
)
_MARKS = regex.compile(rf"(?<=[\p{{Mn}}\p{{Me}}]{{{MOST_MARKS}}})[\p{{Mn}}\p{{Me}}]++")
_INVISIBLE = regex.compile(
    rf"(?<=[\p{{Default_Ignorable_Code_Point}}--\p{{Mn}}]{{{MOST_INVISIBLE}}})\p{{Default_Ignorable_Code_Point}}++", regex.V1
)
_PLAIN = regex.compile(r"[\n\t -~]*+")


def clean(text: str) -> str:
    """Return a text without characters that act on its surroundings instead of being shown.

    Line breaks of all kinds become line feeds; tabs, right-to-left scripts, joiners within words and emoji are kept. Marks beyond
    eight on one letter, and invisible characters beyond eight in a row, are removed.
    """
    if _PLAIN.fullmatch(text):
        return text
    text = _SEQUENCE.sub("", text)
    text = _REMOVED.sub("", _LINE_BREAK.sub("\n", text))
    return text if text.isascii() else _INVISIBLE.sub("", _MARKS.sub("", text))


def clean_line(text: str) -> str:
    """Return a text as one clean line, with single spaces."""
    return " ".join(clean(text).split())


def ascii_escapes(text: str) -> str:
    r"""Return JSON text in which every character that `clean` would remove is written as an escape such as `\u202e`."""
    return _ESCAPED.sub(lambda found: "".join(f"\\u{ord(letter):04x}" for letter in found.group()), text)


_ESCAPED = regex.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]+"
)
