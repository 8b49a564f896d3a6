"""Tests for quality filters: flagged and valid pairs, preview, and the job."""

import pytest
from support.runs import execute_run, number

from glan_core.dataset import quality_filter_job
from glan_core.dataset.settings import QualityFilterSettings
from glan_core.errors import GlanError
from glan_core.homework.review import review
from glan_core.workspace import homework_rows, tag_rows

QUESTION = "Explain how photosynthesis stores the energy of light in sugar."
ANSWER = (
    "Light splits water in the thylakoids. The energy gained drives the Calvin cycle, which builds sugar from carbon dioxide."
)
PROSE = "The first law says that energy is conserved. The second says that entropy grows. Both hold in any closed system"

GUILTY = {
    "refusal": [
        (QUESTION, "I'm sorry, but I can't help with that request."),
        (QUESTION, "I cannot assist with this."),
        (QUESTION, "Sorry, I can’t provide instructions for this. Please ask something else."),
        (QUESTION, "I must respectfully decline to answer."),
    ],
    "as-an-ai": [
        (QUESTION, "As an AI language model, I cannot see your screen, but photosynthesis works as follows."),
        (QUESTION, "Plants use light. I am an AI and do not have personal opinions about plants."),
        (QUESTION, "As a large language model trained by Example, I think chlorophyll matters."),
        (QUESTION, "Prices change all the time, and my knowledge cutoff is 2023."),
    ],
    "cut": [
        (QUESTION, "Light splits water in the thylakoids. The energy that is gained drives the"),
        (QUESTION, "A loop does it:\n```python\nfor leaf in plant:\n    print(leaf)"),
        (QUESTION, f"{PROSE}. Heat engines are bounded by it. Any real process therefore loses part of its energy to the surroundings"),
        (QUESTION, "There are three stages: absorption of light, transport of electrons,"),
    ],
    "short": [(QUESTION, "  "), (QUESTION, "N/A"), (QUESTION, "..."), ("Photosynthesis?", ANSWER), ("", ANSWER), (QUESTION, "Sugar.")],
    "depends": [
        ("Using the concepts discussed in class, explain photosynthesis.", ANSWER),
        ("In the lecture above, two stages were named. Compare them.", ANSWER),
        ("As we saw in the previous session, plants store energy. Explain how.", ANSWER),
        ("Explain the process shown in Figure 2.", ANSWER),
        ("Look at the diagram below and name the parts of the leaf.", ANSWER),
        ("Draw on what you learned in this course to explain how plants store energy.", ANSWER),
        ("Combine the key ideas from Session 3 and Session 5 to explain how plants store energy.", ANSWER),
        ("Refer to Table 3 and compute the mean yield.", ANSWER),
    ],
    "hand-in": [
        ("Explain photosynthesis. Submit your report as a PDF by Friday.", ANSWER),
        ("Write an essay on photosynthesis. Your essay should be double-spaced and have five pages.", ANSWER),
        ("Explain photosynthesis, then upload your answers to Canvas.", ANSWER),
        ("Draw the Calvin cycle. Be prepared to present your drawing in the next class.", ANSWER),
        ("Explain photosynthesis. Please hand in your solution on paper.", ANSWER),
    ],
    "language": [
        ("Erkläre, wie die Photosynthese die Energie des Lichts in Zucker speichert und welche Rolle dabei das Wasser spielt.", ANSWER),
        (QUESTION, "La lumière décompose l'eau dans les thylakoïdes, et l'énergie gagnée sert ensuite à fabriquer le sucre dans la feuille."),
        (QUESTION, "光合作用是植物利用光能把二氧化碳和水转化为糖类并释放氧气的过程,它发生在叶绿体中。"),
    ],
    "loop": [
        (QUESTION, "Light is stored. " + "The plant grows and grows. " * 12),
        (QUESTION, "It is " + "very " * 40),
        (QUESTION, "\n".join(["Step: the light reaches the leaf again."] * 8)),
    ],
}  # fmt: skip

POEM = "\n".join(
    f"{line}\nAnd so the river answers to the sea"
    for line in (
        "The night is long and bitter on the hill", "The lamps are out, the windows all are still",
        "No voice is left to tell us what we will", "The mill has stopped; there is no grain to mill",
        "A single star above the frozen rill",
    )
)  # fmt: skip

INNOCENT = [
    (QUESTION, ANSWER),
    ("What is 6 times 7?", "42"),
    ("Solve x + 1 = 2 for x.", "$x = 1$"),
    ("Which grade did she get?", "B"),
    # about the topics the filters look for
    ("How do students submit homework through an online portal? Sketch the steps.", "They log in and press Submit."),
    ("Design a workflow in which users upload their reports to Moodle and teachers grade them.", "Begin with the roles."),
    ("How do you submit your code to a kernel mailing list?", "Format a patch and send it as plain text."),
    (
        "A patient refuses a transfusion. Discuss what the physician may do.",
        "I cannot be forced to accept treatment, says the law of consent: a refusal binds the physician.",
    ),
    ("Write the refusal letter of a bank.", "Dear Ms Lee,\n\nUnfortunately, we cannot offer you a loan.\n\nYours, the bank"),
    ("How should a chatbot say what it is?", "It may say “As an AI language model, I cannot feel pain”, which is honest."),
    ("Describe the work of an AI engineer.", "As an AI engineer, I spend most days on data."),
    ("Plan a lesson that links the previous lesson to a new one on fractions.", "Begin with what recalls the last lesson."),
    ("What does Chapter 11 of the Bankruptcy Code allow?", "A debtor may reorganise."),
    ("Complete the sentence: The capital of France is", "Paris, the city on the Seine"),
    ("The table below gives yields.\n\n| year | t |\n| --- | --- |\n| 1 | 2 |\n\nCompute the mean.", "The mean is 2 t."),
    ("What does the code below print?\n\n```python\nprint(1 + 1)\n```", "It prints 2."),
    ("Why does a figure skater spin faster with arms drawn in?", "Angular momentum is conserved."),
    ("When is a tax return due?", "It is due by April 15, unless an extension was granted."),
    ("A company must submit a report to the regulator by Friday. Which controls help?", "A calendar with owners."),
    # answers that end without a period
    ("Name three gases of the air.", "These are the most common. Here they are. In order.\n\n- nitrogen\n- oxygen\n- argon, " + "a" * 60),
    ("Derive the area of a disc.", "Integrate over rings. Each ring has the length 2πr. So\n\n$$A = \\int_0^R 2\\pi r\\,dr$$"),
    ("Write a function that doubles.", "Here it is.\n\n```python\ndef double(x):\n    return 2 * x\n```"),
    # legitimate repetition
    ("Write a poem with a refrain.", POEM),
    ("Print a 6 by 6 zero matrix.", "\n".join(["0 0 0 0 0 0"] * 6)),
    ("Show the table of a toggle.", "| step | state |\n| --- | --- |\n" + "| next | off, then on, then off again |\n" * 9),
    # legitimate foreign text, and texts too short or formal to classify
    (
        "Translate into French: the cat sleeps on the mat near the old stove while it rains outside.",
        "Le chat dort sur le tapis près du vieux poêle pendant qu'il pleut dehors, et personne ne le dérange.",
    ),
    ("What does the motto “Liberté, égalité, fraternité” stand for?", "For freedom, equality and brotherhood."),
    ("Balance Fe + O2 -> Fe2O3.", "4 Fe + 3 O2 -> 2 Fe2O3"),
    ("Write an SQL query for all users.", "```sql\nSELECT id, name, mail FROM users WHERE active = 1 ORDER BY name, id;\n```"),
]  # fmt: skip


@pytest.mark.parametrize("rule", quality_filter_job.RULES)
def test_takes_out_what_it_is_for(rule):
    tests = quality_filter_job.rule_tests(QualityFilterSettings(rules=(rule,)))
    missed = [pair for pair in GUILTY[rule] if not tests[rule](*pair)]
    assert not missed


@pytest.mark.parametrize("rule", quality_filter_job.RULES)
def test_leaves_the_innocent_alone(rule):
    test = quality_filter_job.rule_tests(QualityFilterSettings(rules=(rule,)))[rule]
    assert {pair[0]: found for pair in INNOCENT if (found := test(*pair))} == {}


def test_another_language_can_be_the_expected_one():
    german = quality_filter_job.rule_tests(QualityFilterSettings(rules=("language",), language="de"))["language"]
    asked = "Erkläre, wie die Photosynthese die Energie des Lichts in Zucker speichert und welche Rolle das Wasser spielt."
    assert (
        german(asked, "Das Licht spaltet in den Thylakoiden Wasser, und die Energie treibt dann den Aufbau des Zuckers an.")
        is None
    )
    assert german(QUESTION, ANSWER + " " + ANSWER) == "the answer is in language 'en'"


def test_how_short_is_a_setting():
    strict = quality_filter_job.rule_tests(QualityFilterSettings(rules=("short",), min_answer_words=30))["short"]
    assert strict(QUESTION, ANSWER) == "the answer has 19 words"


def test_an_unknown_filter_is_named():
    with pytest.raises(GlanError, match=r"Filter 'taste' does not exist.*refusal"):
        quality_filter_job.rule_tests(QualityFilterSettings(rules=("taste",)))


@pytest.fixture
def faulty(ws, settings, teach):
    """Workspace with 8 pairs; the third is rejected, the fifth is not self-contained and truncated."""
    from support.runs import Canned

    def behave(stage, nth, messages):
        if stage == "question":
            return f"{QUESTION} Variant {nth}." if nth != 4 else "Explain the process shown in Figure 2, please."
        if stage == "answer":
            about = messages[-1]["content"]
            return PROSE + ", as does the" if "Figure" in about else f"It does so in two stages. {about}" + ANSWER
        return None

    teach(Canned(behave))
    execute_run(ws, settings())
    return ws


def test_a_run_tags_what_filters_find_and_the_next_one_takes_it_back(faulty):
    run = execute_run(faulty, {"rules": ["depends", "cut"]}, kind="filter")
    assert run.state == "finished", run.message
    assert run.message == "8 pairs checked: 1 tagged (not self-contained 1, truncated answers 1)."
    (seq,) = [row.seq for page in homework_rows.texts(faulty.db) for row in page if row.dropped == "quality"]
    assert {tag.name: tag.detail["found"] for tag in tag_rows.tags_of(faulty.db, seq)} == {
        "depends": "“shown in Figure 2”", "cut": "it ends with “…t entropy grows. Both hold in any closed system, as does the”",
    }  # fmt: skip
    assert quality_filter_job.applied_rules(faulty) == ("depends", "cut")

    execute_run(faulty, {"rules": ["cut"]}, kind="filter")
    assert [tag.name for tag in tag_rows.tags_of(faulty.db, seq)] == ["cut"]
    execute_run(faulty, {"rules": []}, kind="filter")
    assert number(faulty, "SELECT count(*) FROM questions WHERE dropped IS NOT NULL") == 0


def test_what_a_person_overruled_stays_in(faulty):
    execute_run(faulty, {"rules": ["depends"]}, kind="filter")
    seq = number(faulty, "SELECT seq FROM tags")
    with faulty.write() as db:
        tag_rows.overrule(db, seq, "quality", "depends", "Ada")
    execute_run(faulty, {"rules": ["depends"]}, kind="filter")
    assert number(faulty, "SELECT count(*) FROM questions WHERE dropped IS NOT NULL") == 0


def test_examples_show_what_would_go_without_touching_anything(faulty):
    sample = quality_filter_job.preview_filters(faulty, QualityFilterSettings(rules=("depends", "cut", "loop")))
    assert (sample.looked_at, sample.pairs, sample.dropped) == (8, 8, 1)
    assert sample.found == {"depends": 1, "cut": 1, "loop": 0}
    (example,) = sample.examples["depends"]
    assert example.question.endswith("please.")
    assert example.found == "“shown in Figure 2”"
    assert number(faulty, "SELECT count(*) FROM tags") == 0


def test_examples_look_at_a_bounded_sample_and_never_at_what_was_rejected(faulty):
    rejected = number(faulty, "SELECT id FROM questions WHERE text LIKE '%Figure%'")
    review(faulty, rejected, "reject", "Ada")
    sample = quality_filter_job.preview_filters(faulty, QualityFilterSettings(rules=("depends",)))
    assert (sample.looked_at, sample.found) == (7, {"depends": 0})
    assert quality_filter_job.preview_filters(faulty, QualityFilterSettings(rules=("depends",)), rows=3).looked_at <= 14
    assert quality_filter_job.preview_filters(faulty, QualityFilterSettings(rules=("depends",)), seconds=-1).looked_at == 0


HINDI = ("प्रकाश संश्लेषण में पौधे ऊर्जा कैसे संग्रहीत करते हैं?", "पौधे सूर्य के प्रकाश से शर्करा बनाते हैं और उसमें ऊर्जा संग्रहीत करते हैं।")
GERMAN = (
    "Was ist Photosynthese?",
    "Pflanzen speichern die Energie des Lichts in Zucker, den sie aus Wasser und Kohlendioxid herstellen, wobei Sauerstoff frei wird.",
)
ENGLISH_ONLY = {"refusal", "as-an-ai", "depends", "hand-in"}  # fmt: skip


def test_rules_that_know_only_english_say_so():
    assert {name for name, rule in quality_filter_job.RULES.items() if rule.english} == ENGLISH_ONLY
    assert {name for name, rule in quality_filter_job.RULES.items() if "English only." in rule.description} == ENGLISH_ONLY


@pytest.mark.parametrize(("pair", "judged"), [
    (HINDI, set()), (GERMAN, set()), (("什么是光合作用?", "植物用光能制造糖。"), set()), (("Solve $x + 1 = 2$.", "$x = 1$"), ENGLISH_ONLY),
    ((QUESTION, ANSWER), ENGLISH_ONLY), ((QUESTION, HINDI[1]), {"as-an-ai", "depends", "hand-in"}), (("कोड लिखो", "```python\nprint(1)\n```"), set()),
    (("What is 光合作用?", "It is photosynthesis, by which plants store the energy of light."), ENGLISH_ONLY), (("Name π.", "3.14159"), ENGLISH_ONLY),
])  # fmt: skip
def test_a_rule_judges_only_texts_whose_language_it_knows(pair, judged):
    assert {name for name in ENGLISH_ONLY if quality_filter_job.RULES[name].can_judge(*pair)} == judged


def test_pairs_that_rules_cannot_judge_are_counted(ws, settings, teach):
    from support.runs import Canned

    def behave(stage, nth, messages):
        if stage == "question":
            return {
                0: HINDI[0],
                1: "Erkläre, wie Pflanzen die Energie des Lichts speichern und welche Rolle das Wasser dabei spielt.",
            }.get(nth, f"{QUESTION} Variant {nth}.")
        if stage == "answer":
            return (
                HINDI[1]
                if "प्रकाश" in messages[-1]["content"]
                else GERMAN[1]
                if "Erkläre" in messages[-1]["content"]
                else ANSWER
            )
        return None

    teach(Canned(behave))
    execute_run(ws, settings())
    sample = quality_filter_job.preview_filters(ws, QualityFilterSettings(rules=("refusal", "short")))
    assert (sample.foreign, sample.not_judged) == (2, {"refusal": 2})
    run = execute_run(ws, {"rules": ["refusal", "depends", "short"]}, kind="filter")
    assert run.message.endswith("2 pairs could not be fully judged: Refusals and Not self-contained know only English.")
    fact = ws.metadata(quality_filter_job.FACT)
    assert (fact["foreign"], fact["not_judged"]) == (2, {"refusal": 2, "depends": 2})
    run = execute_run(ws, {"rules": ["short", "loop"]}, kind="filter")
    assert "judged" not in run.message


@pytest.mark.parametrize("phrase", ["यह बहुत अच्छा है ", "มันดีมาก ", "这非常好", "هذا جيد جدا "])
def test_loops_and_open_ends_are_found_in_any_script(phrase):
    tests = quality_filter_job.rule_tests(QualityFilterSettings(rules=("loop", "cut")))
    assert tests["loop"](QUESTION, phrase * 30)
    assert tests["loop"](QUESTION, phrase) is None
    cut = HINDI[1] * 3 + "पौधे सूर्य के प्रकाश से शर्करा बनाते हैं और उसमें ऊर्जा संग्रहीत करते हैं जिससे वे बढ़ते हैं औ"
    assert tests["cut"](HINDI[0], cut) and tests["cut"](HINDI[0], cut + " है।") is None
