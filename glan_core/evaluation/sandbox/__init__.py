"""Sandbox for running generated code."""
