"""Phrase patterns: alternatives of one pattern, each searched only in texts that contain a word of it.

Looking for substrings takes a hundredth of the time of a pattern, and most texts contain no word of most alternatives.
"""

import re
from collections.abc import Iterable, Iterator

Match = re.Match[str]


class PhrasePatterns:
    """Patterns that are searched as the alternatives of one: the first match in the text counts, then the first pattern.

    Args:
        phrases: Pairs of words and verbose patterns without regard to case: each match of the pattern contains one of the words.
    """

    def __init__(self, *phrases: tuple[Iterable[str], str]) -> None:
        self.parts = tuple((tuple(words), re.compile(pattern, re.IGNORECASE | re.VERBOSE)) for words, pattern in phrases)
        self._words = tuple({word for words, _ in self.parts for word in words})

    def may_match(self, text: str) -> bool:
        """Return whether a text contains a word of any pattern."""
        return bool(self._candidates(text))

    def search(self, text: str) -> Match | None:
        """Return the first match in a text, or None."""
        found = (match for pattern in self._candidates(text) if (match := pattern.search(text)))
        return min(found, key=lambda match: match.start(), default=None)

    def finditer(self, text: str) -> Iterator[Match]:
        """Yield the matches in a text from left to right, without overlaps."""
        patterns = self._candidates(text)
        following = {n: match for n, pattern in enumerate(patterns) if (match := pattern.search(text))}
        while following:
            found = following[min(following, key=lambda n: (following[n].start(), n))]
            yield found
            for n in [n for n, match in following.items() if match.start() < found.end()]:
                match = patterns[n].search(text, found.end())
                if match is None:
                    del following[n]
                else:
                    following[n] = match

    def _candidates(self, text: str) -> list[re.Pattern[str]]:
        folded = text.casefold()
        found = {word for word in self._words if word in folded}
        return [pattern for words, pattern in self.parts if not found.isdisjoint(words)] if found else []
