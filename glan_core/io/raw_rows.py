"""Raw rows: what a file holds at one place, or why nothing can be read there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row of a file.

    Attributes:
        place: Where it is, such as 'Line 7' or 'Row 7'.
        data: Columns and values; None if the row cannot be read.
        problem: Why it cannot be read, such as 'is not JSON'.
        split: Name of its split if the file states it.
        last: Whether the rest of the file cannot be read either.
    """

    place: str
    data: dict | None
    problem: str = ""
    split: str = ""
    last: bool = False
