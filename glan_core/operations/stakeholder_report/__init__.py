"""Stakeholder report: one HTML file with the state and the results of a workspace."""
