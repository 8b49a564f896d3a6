"""Typed reads: rows of a query, and records built from them."""

import json
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


def fetch_all(db: apsw.Connection, query: str, values: tuple | dict = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    return db.execute(query, values).fetchall()


def fetch_one(db: apsw.Connection, query: str, values: tuple | dict = ()) -> tuple[Any, ...]:
    """Return the first row of a query.

    Raises:
        LookupError: If there is none.
    """
    row = db.execute(query, values).fetchone()
    if row is None:
        raise LookupError(f"no row for {values!r}")
    return row


def fetch_value(db: apsw.Connection, query: str, values: tuple | dict = ()) -> Any:
    """Return the first column of the first row of a query.

    Raises:
        LookupError: If there is no row.
    """
    return fetch_one(db, query, values)[0]


def from_row(record_type: type[Record], row: tuple, **converters: Callable[[Any], object]) -> Record:
    """Build a dataclass from a row.

    Args:
        record_type: The dataclass.
        row: One value per field, in the order of the fields.
        **converters: Function applied to the value of the field with this name.
    """
    values, positions = list(row), _positions(record_type)
    if len(values) != len(positions):
        raise ValueError(f"{len(values)} values for {len(positions)} fields of {record_type.__name__}")
    for name, convert in converters.items():
        values[positions[name]] = convert(values[positions[name]])
    return record_type(*values)


@cache
def _positions(record_type: "type[DataclassInstance]") -> dict[str, int]:
    """Return the position of each field; `fields` takes longer than the rest of a row."""
    return {field.name: position for position, field in enumerate(fields(record_type))}


def json_tuple(text: str) -> tuple:
    """Parse a JSON array as a tuple."""
    return tuple(json.loads(text))


def json_or_none(text: str | None) -> Any:
    """Parse JSON; None for NULL."""
    return None if text is None else json.loads(text)
