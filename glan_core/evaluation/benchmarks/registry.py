"""Which benchmarks there are, and how each is asked: the paper's numbers of shots (arXiv 2402.13064, section 4), in the words, with
the filters and the metrics of lm-eval's own task definitions, which are named here.

Nothing heavy is imported: pages and the command line read this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from glan_core.errors import GlanError

WayName = Literal["generated", "probability"]
WORDS = {"generated": "from generated text", "probability": "by option probability"}
MAIN = ""  # the part that is the whole benchmark


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that lm-eval gives: its `metric` after its `filter`, for people `words`."""

    metric: str
    filter: str
    words: str


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask a benchmark. `definition` is the file of lm-eval's task below its `tasks/`, with {part} where each part has
    its own; `changes` are laid over it. `measure` is the benchmark's score; `others` by name are further readings of the same
    answers. `tokens` is how long an answer may be, in tokens; None: nothing is generated."""

    definition: str
    shots: int
    measure: Measure
    tokens: int | None
    others: Mapping[str, Measure] = field(default_factory=dict)
    changes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark. `dataset` is its name on the Hugging Face Hub, `split` the rows that are asked, `columns` what they need to hold,
    first the one that a row is called by. `parts` gives each part the name of its configuration there; a benchmark of one part
    calls it MAIN. `groups` are parts that are also scored together; `by` is the column that tells a row's part where all lie in
    one file. Of a data set whose file holds all splits, `ids` are the `task_id`s of this one."""

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
        """What brings its data to a machine with network: into the cache, where they are found by the data set's name."""
        return f"hf download --repo-type dataset {self.dataset}"


def find(id: str) -> Benchmark:
    """A benchmark by its id; GlanError when there is none."""
    if id not in BENCHMARKS:
        raise GlanError(f"There is no benchmark {id!r}: there is {', '.join(BENCHMARKS)}.")
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

_FLEXIBLE = Measure("exact_match", "flexible-extract", "last number of the answer")
_ACCURACY, _NORMED = Measure("acc", "none", "likeliest option"), Measure("acc_norm", "none", "likeliest option a character")
_PASSED = Measure("pass@1", "create_test", "programs that pass their tests")


def _arc(id: str, title: str, config: str) -> Benchmark:
    return Benchmark(
        id, title, "Grade-school science, multiple choice.", "allenai/ai2_arc", "test", ("question", "choices", "answerKey"),
        {MAIN: config},
        {
            "generated": Way(
                "arc/arc_challenge_chat.yaml", 0, Measure("exact_match", "remove_whitespace", "letter of the answer"), 100,
                changes={"task": f"{id}_chat"},
            ),
            "probability": Way("arc/arc_easy.yaml", 0, _ACCURACY, None, {"acc_norm": _NORMED}, {"task": id}),
        },
    )  # fmt: skip


_ALL = (
    Benchmark(
        "gsm8k", "GSM8K", "Grade-school mathematics in words.", "openai/gsm8k", "test", ("question", "answer"), {MAIN: "main"},
        {"generated": Way(
            "gsm8k/gsm8k.yaml", 0, _FLEXIBLE, 256, {"strict-match": Measure("exact_match", "strict-match", "number behind ####")},
        )},
    ),
    Benchmark(
        "math", "MATH", "Competition mathematics.", "EleutherAI/hendrycks_math", "test", ("problem", "solution"), MATH_SUBJECTS,
        {"generated": Way(
            "hendrycks_math/hendrycks_math_{part}.yaml", 0, Measure("exact_match", "none", "the same formula"), 512,
            {LAST_ANSWER: Measure(LAST_ANSWER, "none", "the last boxed or stated answer is the same formula")},
        )},
        by="type",
    ),
    Benchmark(
        "humaneval", "HumanEval", "Python functions from their descriptions.", "openai/openai_humaneval", "test",
        ("task_id", "prompt", "test", "entry_point"), {MAIN: "openai_humaneval"},
        {"generated": Way("humaneval/humaneval.yaml", 0, _PASSED, 1024)}, runs_code=True,
    ),
    Benchmark(
        "mbpp", "MBPP", "Short Python programs.", "google-research-datasets/mbpp", "test", ("text", "code", "test_list"),
        {MAIN: "full"},
        {"generated": Way("mbpp/mbpp.yaml", 3, Measure("pass_at_1", "none", "programs that pass their tests"), 256)},
        runs_code=True, ids=range(11, 511),
    ),
    Benchmark(
        "bbh", "BBH", "27 hard reasoning tasks, with chain of thought.", "SaylorTwift/bbh", "test", ("input", "target"),
        {name: name for name in BBH_TASKS.split()},
        {"generated": Way(
            "bbh/cot_fewshot/{part}.yaml", 3, Measure("exact_match", "get-answer", "what follows 'the answer is'"), 1024,
        )},
    ),
    _arc("arc_easy", "ARC-Easy", "ARC-Easy"),
    _arc("arc_challenge", "ARC-Challenge", "ARC-Challenge"),
    Benchmark(
        "mmlu", "MMLU", "Exams of 57 subjects, multiple choice.", "cais/mmlu", "test", ("question", "choices", "answer"),
        {name: name for names in MMLU_GROUPS.values() for name in names.split()},
        {
            "generated": Way(
                "mmlu/flan_cot_zeroshot/mmlu_{part}.yaml", 0, Measure("exact_match", "flexible-extract", "last option named"), 256,
                {"strict-match": Measure("exact_match", "strict-match", "what follows 'the answer is'")},
                {"validation_split": None, "test_split": "test"},
            ),
            "probability": Way("mmlu/default/mmlu_{part}.yaml", 0, _ACCURACY, None),
        },
        {group: tuple(names.split()) for group, names in MMLU_GROUPS.items()}, "subject",
    ),
    Benchmark(
        "ifeval", "IFEval", "Instructions whose obedience can be checked.", "google/IFEval", "train",
        ("prompt", "key", "instruction_id_list", "kwargs"), {MAIN: "default"},
        {"generated": Way(
            "ifeval/ifeval.yaml", 0, Measure("prompt_level_strict_acc", "none", IFEVAL["prompt_level_strict_acc"]), 1280,
            {name: Measure(name, "none", words) for name, words in IFEVAL.items()},
        )},
    ),
)  # fmt: skip
BENCHMARKS = {benchmark.id: benchmark for benchmark in _ALL}
