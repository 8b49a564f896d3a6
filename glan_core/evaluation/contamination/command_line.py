"""The `glan evaluate probe` command that stands for given settings."""

from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.settings_options import option_words


def probe_command(folder: str, settings: ProbeSettings) -> list[str]:
    """Words of the command that starts a run with these settings."""
    defaults = {name: field.default for name, field in ProbeSettings.model_fields.items()}
    words = ["glan", "evaluate", "probe", folder, *option_words(settings, defaults)]
    for role, file in settings.files.items():
        words += [f"--{role}", file.source]
        if file.split and role != "alike":
            words += [f"--{role}-split", file.split]
    for column in ("question", "answer"):
        if value := getattr(settings.train, column):
            words += [f"--{column}", value]
    return words
