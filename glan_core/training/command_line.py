"""The `glan finetune` command that stands for given settings."""

from glan_core.settings_options import option_words
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings, Scratch

RECIPE_FIELDS = ("name", "snapshot", "recipe", "prompts")  # options that every command line has, or that repeat


def finetune_command(folder: str, settings: FinetuneSettings) -> list[str]:
    """Words of the command that starts a run with these settings; values of its recipe are left out."""
    defaults = FinetuneSettings(name="x", snapshot="x", recipe=settings.recipe, **RECIPES[settings.recipe].values)
    words = ["glan", "finetune", folder, "--recipe", settings.recipe, "--snapshot", settings.snapshot, "--name", settings.name]
    words += option_words(settings, defaults.model_dump(), skip=RECIPE_FIELDS)
    words += option_words(settings.scratch, Scratch().model_dump())
    return words + [word for prompt in settings.prompts for word in ("--prompt", prompt)]
