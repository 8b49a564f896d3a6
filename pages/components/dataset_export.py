"""Placeholder until its engineer writes it."""


def panel(ws, tree) -> None:
    """Nothing yet."""
