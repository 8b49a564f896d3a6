"""GLAN Studio's engine: everything that works without a page."""

__version__ = "0.1.0"
