"""Runs: child processes that bring a workspace to a target, and what people may ask of them."""

from glan_core.runs.control import cancel, get, keep, launch, pause, resume, start, state_of, submit
from glan_core.runs.process import work

__all__ = ["cancel", "get", "keep", "launch", "pause", "resume", "start", "state_of", "submit", "work"]
