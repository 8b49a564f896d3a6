"""Plotly figures from data frames: pure functions, usable on a page, in a notebook or in a report."""
