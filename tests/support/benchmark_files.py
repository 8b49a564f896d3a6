"""Small benchmark files with the columns and layout of the original datasets."""

import json
from pathlib import Path

GSM8K = [
    {"question": f"Tom has {n} apples and buys {n + 1}. How many has he?", "answer": f"He has {n}+{n + 1}.\n#### {2 * n + 1}"}
    for n in range(2, 6)
]
MATH = [
    {"problem": f"What is ${n}^2$?", "solution": f"It is $\\boxed{{{n * n}}}$.", "level": "Level 1", "type": "Algebra"}
    for n in (3, 4)
]
PRECALCULUS = [
    {"problem": "What is $\\sin 0$?", "solution": "It is $\\boxed{0}$.", "level": "Level 2", "type": "Precalculus"},
]
HUMANEVAL = [
    {
        "task_id": f"HumanEval/{n}", "prompt": f'def plus_{n}(x):\n    """Return x plus {n}."""\n', "entry_point": f"plus_{n}",
        "canonical_solution": f"    return x + {n}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {n + 1}\n    assert candidate(-{n}) == 0\n",
    }
    for n in range(3)
]  # fmt: skip
MBPP = [
    {
        "task_id": 11 + n, "text": f"Write a function times_{n} that multiplies by {n}.", "code": f"def times_{n}(x):\r\n  return x * {n}",
        "test_list": [f"assert times_{n}({x}) == {x * n}" for x in (1, 2, 5)], "test_setup_code": "", "challenge_test_list": [],
    }
    for n in range(2)
]  # fmt: skip
BBH = {
    "boolean_expressions": [
        {"input": "not ( True ) and ( True ) is", "target": "False"},
        {"input": "True and not not ( not False ) is", "target": "True"},
    ],
    "word_sorting": [
        {"input": "Sort the following words alphabetically: List: syndrome therefrom", "target": "syndrome therefrom"}
    ],
}
ARC = [
    {
        "id": f"Mercury_{n}", "question": f"Which of these is a {kind}?",
        "choices": {"text": ["granite", "a robin", "an oak", "rain"], "label": ["A", "B", "C", "D"]}, "answerKey": key,
    }
    for n, (kind, key) in enumerate((("bird", "B"), ("tree", "C"), ("rock", "A")))
]  # fmt: skip
MMLU = {
    "anatomy": [
        {"question": "Which bone is in the arm?", "subject": "anatomy", "choices": ["femur", "radius", "tibia", "rib"], "answer": 1},
        {"question": "Which organ pumps blood?", "subject": "anatomy", "choices": ["heart", "liver", "lung", "skin"], "answer": 0},
    ],
    "philosophy": [
        {"question": "Who wrote the Republic?", "subject": "philosophy", "choices": ["Kant", "Hume", "Plato", "Mill"], "answer": 2},
    ],
    "virology": [
        {"question": "What is a virion?", "subject": "virology", "choices": ["a cell", "a gene", "a pill", "a particle"], "answer": 3},
        {"question": "Which is a virus?", "subject": "virology", "choices": ["yeast", "HIV", "E. coli", "moss"], "answer": 1},
        {"question": "What infects bacteria?", "subject": "virology", "choices": ["phages", "ants", "dust", "moss"], "answer": 0},
    ],
}  # fmt: skip
IFEVAL = [
    {
        "key": 1000, "prompt": "Write about rain without commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}],
    },
    {
        "key": 1001, "prompt": "Write about snow in lower case and end with 'the end'.",
        "instruction_id_list": ["startend:end_checker", "punctuation:no_comma"], "kwargs": [{"end_phrase": "the end"}, {}],
    },
    {
        "key": 1002, "prompt": "Use the word zebra.", "instruction_id_list": ["keywords:existence"],
        "kwargs": [{"keywords": ["zebra"]}],
    },
]  # fmt: skip


def write_lines(file: Path, rows: list[dict]) -> Path:
    """Write rows as JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def write_parquet(file: Path, rows: list[dict]) -> Path:
    """Write rows as Parquet."""
    import pyarrow as pa
    from pyarrow import parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), file)
    return file


def write_all(folder: Path) -> dict[str, dict[str, Path]]:
    """Write the files of every benchmark; return benchmark -> part -> file."""
    made = {
        "gsm8k": {"": write_lines(folder / "gsm8k" / "test.jsonl", GSM8K)},
        "math": {
            "algebra": write_lines(folder / "hendrycks_math" / "algebra" / "test-00000-of-00001.jsonl", MATH),
            "precalc": write_lines(folder / "hendrycks_math" / "precalculus" / "test-00000-of-00001.jsonl", PRECALCULUS),
        },
        "humaneval": {
            "": write_parquet(folder / "openai_humaneval" / "openai_humaneval" / "test-00000-of-00001.parquet", HUMANEVAL)
        },
        "mbpp": {"": write_lines(folder / "mbpp" / "full" / "test.jsonl", MBPP)},
        "bbh": {name: write_lines(folder / "bbh" / f"{name}.jsonl", rows) for name, rows in BBH.items()},
        "mmlu": {
            name: write_parquet(folder / "mmlu" / name / "test-00000-of-00001.parquet", rows) for name, rows in MMLU.items()
        },
        "ifeval": {"": write_lines(folder / "ifeval.jsonl", IFEVAL)},
    }
    for id, config in (("arc_easy", "ARC-Easy"), ("arc_challenge", "ARC-Challenge")):
        made[id] = {"": write_parquet(folder / "ai2_arc" / config / "test-00000-of-00001.parquet", ARC)}
    write_lines(folder / "gsm8k" / "train.jsonl", GSM8K[:1])
    write_lines(folder / "mbpp" / "sanitized" / "test.jsonl", MBPP[:1])
    return made
