"""What the paper published (arXiv 2402.13064 v1), as frames: drawn beside measured results, and marked as published.

The data and where each table comes from are in `assets/paper/`.
"""

import pandas as pd

from glan_core.ids import slug
from glan_core.resources import ASSETS

FOLDER = ASSETS / "paper"
MARK = (
    "As published in arXiv 2402.13064 v1, under the paper's own protocol: other prompts, shots and judges than here, so look at "
    "the order, not at the decimals."
)
OURS = "GLAN"  # how the paper's own model begins in every table

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
    """One row a model (the index), in percent by `BENCHMARKS`; `params` is its size in words, '' where that is not public. NaN
    where the paper gives no number."""
    return _read("main_results").fillna({"params": ""}).set_index("model")


def mmlu_by_group() -> pd.DataFrame:
    """One row a model (the index), accuracy in percent by `MMLU_GROUPS`."""
    return _read("mmlu_by_group").set_index("model")


def ifeval() -> pd.DataFrame:
    """One row a model (the index), the accuracies of IFEval in percent by `IFEVAL`."""
    return _read("ifeval").set_index("model")


def benchmark_scores() -> pd.DataFrame:
    """Every published score of a benchmark, one row each, under the names of our benchmarks and their parts: model, benchmark, part
    ('' for the whole) and score in percent."""
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
    """One row a group of the taxonomy (the index, as `taxonomy.GROUPS` spells it; 'All' is over all): how many `disciplines` it
    holds, and the mean score of GLAN minus that of each of `OTHERS`, on the judge's scale from 1 to 10."""
    return _read("glan_test_by_field").rename(columns=OTHERS).set_index("field")


def glan_test_by_discipline() -> pd.DataFrame:
    """One row a discipline (the index, by its id in the starter taxonomy): its name as the paper writes it in `discipline`, and
    the mean score of GLAN minus that of each of `OTHERS`. Of the paper's 126 disciplines it names 123."""
    frame = _read("glan_test_by_discipline").rename(columns=OTHERS)
    return frame.set_index(frame["discipline"].map(slug).rename("id"))


def contamination_probe() -> pd.DataFrame:
    """One row a benchmark and model: `benchmark` (our name), `label` (the paper's), `model`, `loss_test`, `loss_train`, `delta`
    and `delta_percent`. The paper does not say which tokens the loss covers, nor how texts were written."""
    frame = _read("contamination_probe").rename(columns={"benchmark": "label"})
    frame.insert(0, "benchmark", frame["label"].map(PROBED))
    return frame


def _read(table: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{table}.csv")
