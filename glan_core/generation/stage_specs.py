"""Stages that call a teacher: title, decoding parameters and typical tokens of each.

`stages` defines the prompts, parsing and storage of generation stages; the stages of judges, proposals and paraphrases are
defined in the packages that send their calls.
"""

from dataclasses import dataclass

from glan_core.teachers.contract import DecodingParams


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage.

    Attributes:
        title: Its records, in the plural, as shown to people.
        decoding: Default decoding parameters.
        typical_tokens: Prompt and completion tokens of a call, used for estimates until a teacher has averages of its own.
        generation: Whether it is a stage of a generation run; the order of the table is the order of those stages.
        tries: Replies that are requested until one is usable; early stages have more, because all later ones depend on them.
    """

    title: str
    decoding: DecodingParams
    typical_tokens: tuple[int, int]
    generation: bool = False
    tries: int = 1


# Temperature and top-p are the paper's where it states them (subjects and syllabi: section 2; answers: 0.7 and 0.95). It states
# none for questions. Typical tokens: the paper's shapes (a syllabus of 10 to 30 sessions) through our prompts.
STAGE_SPECS: dict[str, StageSpec] = {
    "subject_list": StageSpec("subject lists", DecodingParams(1.0, 0.95, 4096), (260, 1500), generation=True, tries=3),
    "subjects": StageSpec("subjects", DecodingParams(1.0, 0.95, 8192), (1900, 1300), generation=True, tries=3),
    "syllabus": StageSpec("syllabi", DecodingParams(1.0, 0.95, 8192), (330, 2600), generation=True, tries=3),
    "sessions": StageSpec("class sessions", DecodingParams(1.0, 0.95, 8192), (2800, 1500), generation=True, tries=3),
    "question": StageSpec("questions", DecodingParams(1.0, 0.95, 2048), (3100, 180), generation=True),
    "answer": StageSpec("answers", DecodingParams(0.7, 0.95, 4096), (190, 600), generation=True),
    "proposals": StageSpec("proposals", DecodingParams(1.0, 0.95, 4096), (500, 600)),
    "judge": StageSpec("judgments", DecodingParams(0.0, 1.0, 2048), (1150, 90)),
    "answer_ours": StageSpec("answers of model A", DecodingParams(0.0, 1.0, 512), (150, 400)),
    "answer_other": StageSpec("answers of model B", DecodingParams(0.0, 1.0, 512), (150, 400)),
    "verdict": StageSpec("verdicts", DecodingParams(0.0, 1.0, 2048), (1400, 140)),
    "lookalike": StageSpec("look-alikes", DecodingParams(1.0, 0.95, 4096), (500, 250)),
}
GENERATION_STAGES = tuple(name for name, spec in STAGE_SPECS.items() if spec.generation)


def stage_title(stage: str) -> str:
    """Title of a stage; the steps of jobs are named by their titles already."""
    return STAGE_SPECS[stage].title if stage in STAGE_SPECS else stage


def stage_position(stage: str) -> int:
    """Position of a stage in lists of stages; the steps of jobs come last."""
    return list(STAGE_SPECS).index(stage) if stage in STAGE_SPECS else len(STAGE_SPECS)
