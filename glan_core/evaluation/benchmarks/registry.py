"""Benchmark registry: the benchmarks and how each is run.

Shots follow the paper (arXiv 2402.13064, section 4); prompts, filters and metrics are those of lm-eval's own task definitions.
The module imports nothing heavy, because pages and the command line use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from glan_core.errors import GlanError

WayName = Literal["generated", "probability"]
WAY_LABELS = {"generated": "from generated text", "probability": "by option probability"}
MAIN = ""  # part name of a benchmark without parts


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of lm-eval after a filter, with its display name `words`."""

    metric: str
    filter: str
    words: str


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a benchmark.

    Attributes:
        definition: lm-eval task file below `tasks/`; {part} stands for the part.
        shots: Number of few-shot examples.
        measure: The score of the benchmark.
        tokens: Token limit of answers, None if nothing is generated.
        others: Further scores of the same answers, by name.
        changes: Overrides of the definition.
    """

    definition: str
    shots: int
    measure: Metric
    tokens: int | None
    others: Mapping[str, Metric] = field(default_factory=dict)
    changes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark.

    Attributes:
        id: Identifier.
        title: Display name.
        about: Short description.
        dataset: Dataset ID on the Hugging Face Hub.
        split: Split that is evaluated.
        columns: Required columns, first the one that identifies a row.
        parts: Configuration of each part; a benchmark without parts has MAIN only.
        ways: Ways to run it.
        groups: Parts that are also scored together.
        by: Column that names the part if all parts share a file.
        runs_code: Whether it runs generated code.
        ids: `task_id`s of the split, for a dataset whose file contains all splits.
    """

    id: str
    title: str
    about: str
    dataset: str
    split: str
    columns: tuple[str, ...]
    parts: Mapping[str, str]
    ways: Mapping[WayName, Way]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by: str = ""
    runs_code: bool = False
    ids: range | None = None

    @property
    def command(self) -> str:
        """The command that downloads its data into the Hugging Face cache."""
        return f"hf download --repo-type dataset {self.dataset}"


def get_benchmark(id: str) -> Benchmark:
    """Return a benchmark by ID.

    Raises:
        GlanError: If it does not exist.
    """
    if id not in BENCHMARKS:
        raise GlanError(f"Benchmark {id!r} does not exist. Available benchmarks: {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[id]


MMLU_GROUPS = {
    "stem": """abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science college_mathematics
        college_physics computer_security conceptual_physics electrical_engineering elementary_mathematics high_school_biology
        high_school_chemistry high_school_computer_science high_school_mathematics high_school_physics high_school_statistics
        machine_learning""",
    "humanities": """formal_logic high_school_european_history high_school_us_history high_school_world_history international_law
        jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law world_religions""",
    "social_sciences": """econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics
        high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations security_studies
        sociology us_foreign_policy""",
    "other": """business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing medical_genetics
        miscellaneous nutrition professional_accounting professional_medicine virology""",
}
BBH_TASKS = """boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages formal_fallacies
    geometric_shapes hyperbaton logical_deduction_five_objects logical_deduction_seven_objects logical_deduction_three_objects
    movie_recommendation multistep_arithmetic_two navigate object_counting penguins_in_a_table reasoning_about_colored_objects
    ruin_names salient_translation_error_detection snarks sports_understanding temporal_sequences
    tracking_shuffled_objects_five_objects tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects
    web_of_lies word_sorting"""
MATH_SUBJECTS = {  # lm-eval's name of the part -> the configuration's
    "algebra": "algebra", "counting_and_prob": "counting_and_probability", "geometry": "geometry",
    "intermediate_algebra": "intermediate_algebra", "num_theory": "number_theory", "prealgebra": "prealgebra",
    "precalc": "precalculus",
}  # fmt: skip
IFEVAL = {
    "prompt_level_strict_acc": "prompts, strict", "inst_level_strict_acc": "instructions, strict",
    "prompt_level_loose_acc": "prompts, loose", "inst_level_loose_acc": "instructions, loose",
}  # fmt: skip
LAST_ANSWER = "last answer"

_FLEXIBLE = Metric("exact_match", "flexible-extract", "last number in the answer")
_ACCURACY, _NORMED = (
    Metric("acc", "none", "most likely option"),
    Metric("acc_norm", "none", "most likely option, length-normalized"),
)
_PASSED = Metric("pass@1", "create_test", "programs that pass their tests")


def _arc(id: str, title: str, config: str) -> Benchmark:
    return Benchmark(
        id, title, "Grade-school science, multiple choice.", "allenai/ai2_arc", "test", ("question", "choices", "answerKey"),
        {MAIN: config},
        {
            "generated": Way(
                "arc/arc_challenge_chat.yaml", 0, Metric("exact_match", "remove_whitespace", "letter of the answer"), 100,
                changes={"task": f"{id}_chat"},
            ),
            "probability": Way("arc/arc_easy.yaml", 0, _ACCURACY, None, {"acc_norm": _NORMED}, {"task": id}),
        },
    )  # fmt: skip


_ALL = (
    Benchmark(
        "gsm8k", "GSM8K", "Grade school math word problems.", "openai/gsm8k", "test", ("question", "answer"), {MAIN: "main"},
        {"generated": Way(
            "gsm8k/gsm8k.yaml", 0, _FLEXIBLE, 256, {"strict-match": Metric("exact_match", "strict-match", "number after ####")},
        )},
    ),
    Benchmark(
        "math", "MATH", "Competition mathematics.", "EleutherAI/hendrycks_math", "test", ("problem", "solution"), MATH_SUBJECTS,
        {"generated": Way(
            "hendrycks_math/hendrycks_math_{part}.yaml", 0, Metric("exact_match", "none", "equivalent formula"), 512,
            {LAST_ANSWER: Metric(LAST_ANSWER, "none", "last boxed or stated answer is equivalent")},
        )},
        by="type",
    ),
    Benchmark(
        "humaneval", "HumanEval", "Python functions from docstrings.", "openai/openai_humaneval", "test",
        ("task_id", "prompt", "test", "entry_point"), {MAIN: "openai_humaneval"},
        {"generated": Way("humaneval/humaneval.yaml", 0, _PASSED, 1024)}, runs_code=True,
    ),
    Benchmark(
        "mbpp", "MBPP", "Short Python programs.", "google-research-datasets/mbpp", "test", ("text", "code", "test_list"),
        {MAIN: "full"},
        {"generated": Way("mbpp/mbpp.yaml", 3, Metric("pass_at_1", "none", "programs that pass their tests"), 256)},
        runs_code=True, ids=range(11, 511),
    ),
    Benchmark(
        "bbh", "BBH", "27 hard reasoning tasks, with chain of thought.", "SaylorTwift/bbh", "test", ("input", "target"),
        {name: name for name in BBH_TASKS.split()},
        {"generated": Way(
            "bbh/cot_fewshot/{part}.yaml", 3, Metric("exact_match", "get-answer", "text after 'the answer is'"), 1024,
        )},
    ),
    _arc("arc_easy", "ARC-Easy", "ARC-Easy"),
    _arc("arc_challenge", "ARC-Challenge", "ARC-Challenge"),
    Benchmark(
        "mmlu", "MMLU", "Exams in 57 subjects, multiple choice.", "cais/mmlu", "test", ("question", "choices", "answer"),
        {name: name for names in MMLU_GROUPS.values() for name in names.split()},
        {
            "generated": Way(
                "mmlu/flan_cot_zeroshot/mmlu_{part}.yaml", 0, Metric("exact_match", "flexible-extract", "last option named"), 256,
                {"strict-match": Metric("exact_match", "strict-match", "text after 'the answer is'")},
                {"validation_split": None, "test_split": "test"},
            ),
            "probability": Way("mmlu/default/mmlu_{part}.yaml", 0, _ACCURACY, None),
        },
        {group: tuple(names.split()) for group, names in MMLU_GROUPS.items()}, "subject",
    ),
    Benchmark(
        "ifeval", "IFEval", "Verifiable instructions.", "google/IFEval", "train",
        ("prompt", "key", "instruction_id_list", "kwargs"), {MAIN: "default"},
        {"generated": Way(
            "ifeval/ifeval.yaml", 0, Metric("prompt_level_strict_acc", "none", IFEVAL["prompt_level_strict_acc"]), 1280,
            {name: Metric(name, "none", words) for name, words in IFEVAL.items()},
        )},
    ),
)  # fmt: skip
BENCHMARKS = {benchmark.id: benchmark for benchmark in _ALL}
