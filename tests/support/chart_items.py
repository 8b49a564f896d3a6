"""The items of an ECharts picture of the taxonomy, in the order of their data indices."""

from collections.abc import Iterator


def chart_items(option: dict) -> Iterator[dict]:
    """Yield the items of rings or tiles, each before those within it."""
    for series in option["series"]:
        yield from _within(series["data"])


def _within(items: list[dict]) -> Iterator[dict]:
    for item in items:
        yield item
        yield from _within(item.get("children", []))


def chart_labels(option: dict) -> list[str | None]:
    """Return the label of each item, None if it is hidden; lines are separated by a newline."""
    labels = [item.get("upperLabel") or item["label"] for item in chart_items(option)]
    return [label["formatter"] if label["show"] else None for label in labels]
