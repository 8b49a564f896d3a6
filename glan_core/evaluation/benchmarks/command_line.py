"""Builds the `glan evaluate bench` command line of given settings."""

from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.settings_options import option_words


def benchmark_command(folder: str, settings: BenchmarkSettings) -> list[str]:
    """Return the words of the command that starts a run with these settings."""
    defaults = BenchmarkSettings(models=("x",)).model_dump()
    return ["glan", "evaluate", "bench", folder, *option_words(settings, defaults)]
