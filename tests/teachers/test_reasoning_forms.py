"""Forms in which models write their reasoning, and replies that look alike and stay whole."""

import pytest

from glan_core.teachers.reasoning import split_reasoning

SPLIT = [
    ("<think>Two.</think>4", "4"),
    ("[THINK]a[/THINK]b", "b"),
    ("◁think▷a◁/think▷b", "b"),
    ("<|channel|>analysis<|message|>thinking<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>", "Hi"),
    ("analysisWe need to answer.assistantfinalHello", "Hello"),
    ("Thinking...\nhm\n...done thinking.\n\nYes", "Yes"),
    ("Thinking…\nhm\n…done thinking.\nYes", "Yes"),
    ("<seed:think>a</seed:think>b", "b"),
    ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>b<|end_of_solution|>", "b"),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b"),
    ("<thinking>a</thinking>\n<answer>b</answer>", "b"),
    ("<unused94>thought\na<unused95>b", "b"),
    ("Here is my thought process: x\n\nHere is my response: b", "b"),
    ("<think_start>a<think_end>b", "b"),
    ("a\n</think>\nb", "b"),
    ("a</thinking>b", "b"),
    ("a[/THINK]b", "b"),
    ("a◁/think▷b", "b"),
    ("<think>a", ""),
    ("[THINK]a", ""),
    ("◁think▷a", ""),
    ("<|channel|>analysis<|message|>abc", ""),
    ('<details type="reasoning" done="true"><summary>Thought for 3 s</summary>a</details>\nb', "b"),
    ("<think>a <think> b</think> c</think>\nd", "d"),
    ("<reasoning>a</reasoning>b", "b"),
    ("<inner_monologue>x</inner_monologue>y", "y"),
    ("<think>\n\n</think>\n\n4", "4"),
    ("</think>4", "4"),
    ("<analysis>x</analysis>\ny", "y"),
    ("assistant\n<think>a</think>b", "b"),
    ("<think>a</think>b\n<think>c</think>\nd", "b\nd"),
    ("<Thought>a</Thought><Output>b</Output>", "b"),
    ("<|thinking|>a</|thinking|>b", "b"),
    ("<|channel>thought\na<channel|>b", "b"),
    ("Here are my reasoning steps:\na\n[BEGIN FINAL RESPONSE]\nb\n[END FINAL RESPONSE]\n<|end|>", "b"),
    ("<ponder>x</ponder> y", "y"),
    ("<<thinking>>a<</thinking>>b", "b"),
    ("{thinking}a{/thinking}b", "b"),
    ('<think>The user mentions "</think>" tag.</think>Yes', "Yes"),
    ("<|channel|>final<|message|>Hi", "Hi"),
    ("<think>x</think>\nThe tag </think> ends it", "The tag </think> ends it"),
    ("Sure, let me think.\n<think>x y</think>\nA", "A"),
    ("\u200b<think>x</think>A", "A"),
    ("```\n<think>x</think>\nA\n```", "A"),
    ("```thinking\nx\n```\nA", "A"),
    ("<antThinking>x</antThinking>A", "A"),
    ("<思考>x</思考>A", "A"),
    ("<|inner_prefix|>x<|inner_suffix|>A", "A"),
    ("**Thinking:** x\n\n**Answer:** A", "A"),
    ("### Thought\nx\n### Response\nA", "A"),
    ("analysiswe need x.assistantfinalA", "A"),
    ("<think/>A", "A"),
    ("<think />\nA", "A"),
    ("<｜begin▁of▁thinking｜>x<｜end▁of▁thinking｜>A", "A"),
    ("<role>ASSISTANT</role><think>x</think>A", "A"),
    ("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_THINKING|>x<|END_THINKING|>A", "A"),
    ("<|start|>assistant<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>A", "A"),
    ("<think>x</think>A<think>cut", "A"),
    ("<think>x</think>A<|im_end|>", "A"),
    ("<think>x</thinking>A", "A"),
    ("<think>a</think><result>4</result> and <result>5</result>", "<result>4</result> and <result>5</result>"),
    (
        "<think>R</think>\n\nThe model ends its thought with:\n</think>\nThen it replies.",
        "The model ends its thought with:\n</think>\nThen it replies.",
    ),
    ("Answer part one.\n<think>check</think>\nDone.", "Answer part one.\nDone."),
]
WHOLE = [
    "<analysis>only</analysis>",
    "The tag </think>, which ends",
    "`</think>` ends",
    "Use <think> and </think> there",
    "Thinking... is hard",
    "Analysis of variance",
    "analysis of x",
    "Reasoning: 2. Answer: 4",
    "<result>4</result>",
    '{"a": "</think>"}',
    "Here is my thought process: first we add 2 and 2, giving 4.",
    "Here are my reasoning steps:\n1. a",
    "[Thought] experiments are due to Einstein.",
    "[Reasoning]\nAll men are mortal.\n[Conclusion] x",
    "[Think] Pair. Share is",
    "[cot] is cotangent",
    "«Reason» by Kant",
    "{reasoning} is a placeholder.",
    "Thinking...\nRodin's statue.",
    "<unused94> is a reserved token of Gemma.",
    "<|channel|> is a token of the harmony format",
    "It ends with </think>",
    "The tag **</think>** closes.",
    "<pre></think></pre>",
    "Example:\n\n    <x>\n    </think>\n\nDone",
    "The end tag: </think> Afterwards it",
    "The closing tag is </think>\nand more",
    "模型会输出</think>,然后",
    "<details><summary>Reasoning</summary>x</details> shows it",
    "<think>.*?</think> is the regex",
]


@pytest.mark.parametrize(("text", "reply"), SPLIT)
def test_reasoning_is_split_off(text, reply):
    assert split_reasoning(text)[1] == reply


@pytest.mark.parametrize("text", WHOLE)
def test_a_reply_about_tags_stays_whole(text):
    assert split_reasoning(text) == ("", text)


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize(
    "part", ["<think>", "</think>", "<think>x</think>\n", "```\n", "`", "<|channel|>", "Thinking...\n", "[", "<"]
)
def test_long_hostile_texts_are_split_in_linear_time(part, size):
    reasoning, reply = split_reasoning(part * (size // len(part)))
    assert isinstance(reasoning, str) and isinstance(reply, str)
