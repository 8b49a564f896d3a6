"""Builds the `glan finetune` command line of given settings."""

from glan_core.settings_options import option_words
from glan_core.training.recipes import RECIPES
from glan_core.training.scaled_recipes import SCALED
from glan_core.training.settings import FinetuneSettings, Scratch

RECIPE_FIELDS = ("name", "snapshot", "recipe", "prompts")  # options that are always written, or repeated


def finetune_command(folder: str, settings: FinetuneSettings) -> list[str]:
    """Return the words of the command that starts a run with these settings, omitting values of its recipe.

    Values that the command would scale to model and machine (`scaled_recipes`) are always written.
    """
    recipe = FinetuneSettings(name="x", snapshot="x", recipe=settings.recipe, **RECIPES[settings.recipe].values)
    scaled = SCALED if settings.recipe == "lora" else ()
    defaults = {name: value for name, value in recipe.model_dump().items() if name not in scaled}
    words = ["glan", "finetune", folder, "--recipe", settings.recipe, "--snapshot", settings.snapshot, "--name", settings.name]
    words += option_words(settings, defaults, skip=RECIPE_FIELDS)
    words += option_words(settings.scratch, Scratch().model_dump())
    return words + [word for prompt in settings.prompts for word in ("--prompt", prompt)]
