"""Homework questions: concept sampling, parsing and review."""
