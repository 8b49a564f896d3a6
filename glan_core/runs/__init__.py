"""Runs: detached worker processes that execute jobs and generation, with pause, resume and cancel."""

from glan_core.runs.launcher import cancel, keep, label, launch, pause, resume, start, submit
from glan_core.runs.states import get, live_runs, state_of
from glan_core.runs.worker import work

__all__ = ["cancel", "get", "keep", "label", "launch", "live_runs", "pause", "resume", "start", "state_of", "submit", "work"]
