"""Published results of the paper (arXiv 2402.13064 v1) as data frames, for comparison with measured results.

The data and their sources are in `assets/paper/`.
"""

import pandas as pd

from glan_core.ids import slug
from glan_core.resources import ASSETS

FOLDER = ASSETS / "paper"
MARK = (
    "Published in arXiv 2402.13064 v1 under the paper's own protocol. Prompts, shots and judges differ from those used here, so "
    "compare rankings rather than exact values."
)
OURS = "GLAN"  # prefix of the paper's own model in every table

BENCHMARKS = ("humaneval", "mbpp", "gsm8k", "math", "bbh", "arc_easy", "arc_challenge", "mmlu")
IFEVAL = ("prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose")
IFEVAL_PARTS = {
    "prompt_strict": "prompt_level_strict_acc", "instruction_strict": "inst_level_strict_acc",
    "prompt_loose": "prompt_level_loose_acc", "instruction_loose": "inst_level_loose_acc",
}  # fmt: skip
MMLU_GROUPS = ("stem", "humanities", "social_sciences", "other")
OTHERS = {
    "vs_orca2_7b": "Orca2-7B", "vs_mistral_instruct_7b": "Mistral-7B-Instruct", "vs_wizardlm_13b_v1_2": "WizardLM-13B-V1.2",
    "vs_gpt_4": "GPT-4",
}  # fmt: skip
PROBED = {"ARC-C": "arc_challenge", "ARC-E": "arc_easy", "GSM8K": "gsm8k", "MATH": "math"}


def main_results() -> pd.DataFrame:
    """Return benchmark scores in percent, one row per model (index), with columns `BENCHMARKS`.

    `params` is the model size as text, '' if not public. Scores are NaN where the paper gives none.
    """
    return _read("main_results").fillna({"params": ""}).set_index("model")


def mmlu_by_group() -> pd.DataFrame:
    """Return MMLU accuracy in percent by `MMLU_GROUPS`, one row per model (index)."""
    return _read("mmlu_by_group").set_index("model")


def ifeval() -> pd.DataFrame:
    """Return IFEval accuracies in percent by `IFEVAL`, one row per model (index)."""
    return _read("ifeval").set_index("model")


def benchmark_scores() -> pd.DataFrame:
    """Return every published benchmark score, one row each, with our benchmark and part names.

    Returns:
        Columns `model`, `benchmark`, `part` ('' for the whole) and `score` (percent).
    """
    whole = (
        main_results()[list(BENCHMARKS)].stack().rename("score").reset_index().set_axis(["model", "benchmark", "score"], axis=1)
    )
    groups = mmlu_by_group().stack().rename("score").reset_index().set_axis(["model", "part", "score"], axis=1)
    obeyed = (
        ifeval().rename(columns=IFEVAL_PARTS).stack().rename("score").reset_index().set_axis(["model", "part", "score"], axis=1)
    )
    strict = obeyed[obeyed["part"] == IFEVAL_PARTS["prompt_strict"]].assign(part="")
    parts = [
        whole.assign(part=""),
        groups.assign(benchmark="mmlu"),
        *(frame.assign(benchmark="ifeval") for frame in (obeyed, strict)),
    ]
    return pd.concat(parts, ignore_index=True)[["model", "benchmark", "part", "score"]]


def glan_test_by_field() -> pd.DataFrame:
    """Return score differences by taxonomy group (index, as in `hierarchy.GROUPS`; 'All' for all).

    Returns:
        `disciplines`, and the mean score of GLAN minus that of each of `OTHERS`, on a scale from 1 to 10.
    """
    return _read("glan_test_by_field").rename(columns=OTHERS).set_index("field")


def glan_test_by_discipline() -> pd.DataFrame:
    """Return score differences by discipline (index: ID in the starter taxonomy); the paper names 123 of 126.

    Returns:
        `discipline` (name in the paper), and the mean score of GLAN minus that of each of `OTHERS`.
    """
    frame = _read("glan_test_by_discipline").rename(columns=OTHERS)
    return frame.set_index(frame["discipline"].map(slug).rename("id"))


def contamination_probe() -> pd.DataFrame:
    """Return the contamination probe results, one row per benchmark and model.

    Returns:
        Columns `benchmark` (our name), `label` (the paper's), `model`, `loss_test`, `loss_train`, `delta` and
        `delta_percent`. The paper states neither which tokens the loss covers nor the text format.
    """
    frame = _read("contamination_probe").rename(columns={"benchmark": "label"})
    frame.insert(0, "benchmark", frame["label"].map(PROBED))
    return frame


def _read(table: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{table}.csv")
