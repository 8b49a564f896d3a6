"""Placeholder until its engineer writes it."""


def panel(ws, tree, embedder: str) -> None:
    """Nothing yet."""
