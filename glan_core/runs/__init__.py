"""Runs: child processes that bring a workspace to a target, and what people may ask of them."""

from glan_core.runs.launcher import cancel, keep, launch, pause, resume, start, submit
from glan_core.runs.states import get, state_of
from glan_core.runs.worker import work

__all__ = ["cancel", "get", "keep", "launch", "pause", "resume", "start", "state_of", "submit", "work"]
