"""GLAN Studio's engine: everything except the pages."""

__version__ = "0.1.0"
