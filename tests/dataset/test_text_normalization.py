"""Tests for text normalization: scripts, marks, emoji, invisible characters, and equal results of the quick ways."""

import re
import unicodedata

import pytest

from glan_core.dataset import text_normalization
from glan_core.dataset.benchmark_files import BenchmarkItem
from glan_core.dataset.duplicate_finder import find_duplicates
from glan_core.dataset.glan_test_store import GlanTestItem
from glan_core.dataset.held_out_filter import HeldOutFilter
from glan_core.dataset.ngram_index import NgramIndex
from glan_core.dataset.text_normalization import joined_characters, placed_words, word_count, words, words_and_signs

# Pairs of different questions; many differ only in combining marks, vowel signs or symbols.
DIFFERENT = {
    "Hindi vowel signs": ("कल किस दिन है?", "काल कस दन है?"),
    "Hindi conjuncts": ("क्षय क्या है?", "कषय क्या है?"),
    "Thai vowels": ("ปู่กินอะไร", "ป่ากินอะไร"),
    "Thai tone marks": ("คำว่า ขาว แปลว่าอะไร", "คำว่า ข้าว แปลว่าอะไร"),
    "Tamil": ("கல் என்றால் என்ன?", "கால் என்றால் என்ன?"),
    "Bengali": ("দিন কী?", "দান কী?"),
    "Arabic harakat": ("ما معنى كَتَبَ", "ما معنى كُتُب"),
    "Arabic words": ("ما هي عاصمة مصر؟", "ما هي عاصمة قطر؟"),
    "Hebrew points": ("מה זה סֵפֶר", "מה זה סַפָּר"),
    "Khmer": ("តើទឹកគឺជាអ្វី", "តើទូកគឺជាអ្វី"),
    "Lao": ("ນໍ້າແມ່ນຫຍັງ", "ນາແມ່ນຫຍັງ"),
    "Burmese": ("ရေဆိုတာဘာလဲ", "ရာဆိုတာဘာလဲ"),
    "Tibetan": ("ཆུ་ཞེས་པ་ཅི་ཡིན", "ཆོ་ཞེས་པ་ཅི་ཡིན"),
    "Chinese": ("什么是质数?", "什么是合数?"),
    "Japanese voicing": ("かきとは何ですか", "かぎとは何ですか"),
    "Korean": ("물은 무엇입니까?", "불은 무엇입니까?"),
    "faces": ("What does 🙂 mean?", "What does 🙁 mean?"),
    "skin tones": ("Describe 👍🏽.", "Describe 👍🏿."),
    "joined emoji": ("Who is 👩‍🔬?", "Who is 👩‍🚀?"),
    "flags": ("Which country is 🇩🇪?", "Which country is 🇫🇷?"),
    "tagged flags": ("Which nation is 🏴󠁧󠁢󠁥󠁮󠁧󠁿?", "Which nation is 🏴󠁧󠁢󠁳󠁣󠁴󠁿?"),
    "keycaps": ("Press 1️⃣ now", "Press 2️⃣ now"),
    "chess": ("How does ♔ move?", "How does ♘ move?"),
    "Latin accents": ("Qué es la sabana?", "Qué es la sábana?"),
    "Vietnamese tones": ("ma là gì", "má là gì"),
}
# Pairs that are the same question in another encoding.
SAME = {
    "NFC and NFD": ("Qu’est-ce qu’un élève à Noël ?", unicodedata.normalize("NFD", "Qu’est-ce qu’un élève à Noël ?")),
    "NFD Korean": ("물은 무엇입니까?", unicodedata.normalize("NFD", "물은 무엇입니까?")),
    "NFD Hindi": ("क़लम क्या है?", unicodedata.normalize("NFD", "क़लम क्या है?")),
    "NFD Vietnamese": ("Tiếng Việt là gì", unicodedata.normalize("NFD", "Tiếng Việt là gì")),
    "full width": ("What is 12 + 7 in ABC?", "Ｗｈａｔ　ｉｓ　１２　＋　７　ｉｎ　ＡＢＣ？"),
    "half-width katakana": ("ガスとは", "ｶﾞｽとは"),
    "ligatures": ("define a final office", "deﬁne a ﬁnal oﬃce"),
    "soft hyphens": ("What is photosynthesis?", "What is pho\u00adto\u00adsynthesis?"),
    "zero-width characters": ("What is photosynthesis?", "\ufeffWhat is photo\u200bsynthesis\u2060?"),
    "presentation of an emoji": ("I ❤ maths, why?", "I ❤️ maths, why?"),
    "Persian joiner": ("چه می‌خواهم بگویم", "چه میخواهم بگویم"),
    "dash and bullets": ("● What is a prime — and why?", "What is a prime - and why"),
    "case with marks": ("İSTANBUL nerede?", "i̇stanbul nerede?"),
}


def how(one: str, other: str) -> list[str]:
    return [found.how for found in find_duplicates([[(1, one), (2, other)]])]


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_questions_are_different_words(name):
    one, other = DIFFERENT[name]
    assert words(one) != words(other) and words_and_signs(one) != words_and_signs(other)
    assert how(one, other) != ["exact"]


@pytest.mark.parametrize("name", SAME)
def test_the_same_question_in_another_encoding_is_an_exact_duplicate(name):
    one, other = SAME[name]
    assert words(one) == words(other)
    assert how(one, other) == ["exact"]


@pytest.mark.parametrize(
    "text", [*(text for pair in (*DIFFERENT.values(), *SAME.values()) for text in pair), "x\u0301\u200dy 🙂\u0301"]
)
def test_placed_words_are_the_words_and_stand_where_they_stand(text):
    placed = placed_words(text)
    assert placed.words == words(text)
    spans = placed.spans
    assert all(0 <= start < end <= len(text) for start, end in spans) and spans == sorted(spans)
    assert not any(unicodedata.combining(text[start]) for start, _ in spans)  # no word begins within a character


@pytest.mark.parametrize(("one", "other", "near"), [
    ("法国的首都是哪里?", "德国的首都是哪里?", False), ("什么是质数?举三个例子。", "什么是合数?举三个例子。", False),
    ("ประเทศไทยมีเมืองหลวงชื่ออะไร", "ประเทศลาวมีเมืองหลวงชื่ออะไร", False),
    ("请详细解释光合作用如何在叶绿体中储存太阳光的能量,说明水和二氧化碳各起什么作用,并举两个例子。",
     "请详细解释光合作用如何在叶绿体中储存太阳光的能量,说明水和二氧化碳各起什么作用,并举三个例子。", True),
    ("จงอธิบายอย่างละเอียดว่าพืชเก็บพลังงานแสงจากดวงอาทิตย์ไว้ในน้ำตาลได้อย่างไร", "จงอธิบายโดยละเอียดว่าพืชเก็บพลังงานแสงจากดวงอาทิตย์ไว้ในน้ำตาลได้อย่างไร", True),
])  # fmt: skip
def test_near_duplicates_of_scripts_without_spaces(one, other, near):
    assert how(one, other) == ["near"] * near
    held = HeldOutFilter([(GlanTestItem(id="1", question=one), 0.7)])
    assert bool(held.hits(other, ())) is near


@pytest.mark.parametrize(("text", "expected"), [
    ("what is it", ["what", "is", "it"]), ("什么是质数 ok 你好", ["什么是", "么是质", "是质数", "ok", "你好"]),
])  # fmt: skip
def test_adjacent_characters_are_joined(text, expected):
    joined = joined_characters(words(text))
    assert joined == expected
    assert joined_characters(words("กินข้าวแล้ว")) == ["กินข้าว", "นข้าวแ", "ข้าวแล้", "าวแล้ว"]


@pytest.mark.parametrize(("text", "expected"), [
    ("हिन्दी में क्षत्रिय", ["हिन्दी", "में", "क्षत्रिय"]), ("தமிழ்மொழி எது", ["தமிழ்மொழி", "எது"]), ("ปี 2567", ["ปี", "2567"]),
    ("你好ABC世界", ["你", "好", "abc", "世", "界"]), ("👨‍👩‍👧 and 👍🏽!", ["👨‍👩‍👧", "and", "👍🏽"]),
    ("3,5 Ελλάδα 1,204.5 м²", ["3", "5", "ελλάδα", "1204.5", "м2"]),
    ("© 30°C ■ item → end", ["30", "c", "item", "end"]), ("\u0301 \u200d ", []), ("it’s Noël’s", ["its", "noëls"]),
])  # fmt: skip
def test_words_of_scripts(text, expected):
    assert words(text) == expected


def test_the_quick_way_for_european_texts_gives_the_same_words():
    """Every character that the quick way accepts, alone and between letters, digits and signs."""
    accepted = [
        c for c in map(chr, range(0x80, 0x3000)) if text_normalization._EUROPEAN.fullmatch(text_normalization.normalize(c))
    ]
    assert len(accepted) > 1500
    for c in accepted:
        text = text_normalization.normalize(f"a{c}b {c} 1{c}2 x {c}3 {c}{c}")
        for quick, full in ((text_normalization._EUROPEAN_WORD, text_normalization.WORD),
                            (text_normalization._EUROPEAN_WORD_OR_SIGN, text_normalization.WORD_OR_SIGN)):  # fmt: skip
            assert quick.findall(text) == full.findall(text), f"U+{ord(c):04X}"


def test_a_word_of_every_letter_of_every_script_is_kept():
    letters = [c for c in map(chr, range(0x110000)) if unicodedata.category(c)[0] == "L"]
    lost = [c for c in letters if not words(f"{c} ")]
    blank = "\u115f\u1160\u3164\uffa0"  # fillers of Korean syllables
    assert [c for c in lost if c not in blank and any(map(str.isalpha, text_normalization.normalize(c)))] == []


def test_three_characters_of_a_south_east_asian_script_count_as_a_word():
    assert word_count(["what", "is", "it"]) == 3 and word_count(["你", "好"]) == 2
    assert word_count(words("กินข้าว")) == pytest.approx(len(words("กินข้าว")) / 3)


def test_ascii_text_takes_no_unicode_rules(monkeypatch):
    monkeypatch.setattr(text_normalization, "WORD", re.compile("never"))
    monkeypatch.setattr(text_normalization, "WORD_OR_SIGN", re.compile("never"))
    text = "Explain why x = 2 and don't round 1,204.5."
    assert words(text) == placed_words(text).words == ["explain", "why", "x", "2", "and", "dont", "round", "1204.5"]
    assert words_and_signs(text) == ["explain", "why", "x", "=", "2", "and", "dont", "round", "1204.5"]


THAI = "จงอธิบายว่าพืชสีเขียวเก็บพลังงานแสงจากดวงอาทิตย์ไว้ในน้ำตาลได้อย่างไร"
HINDI = "प्रकाश संश्लेषण की प्रक्रिया में पौधे सूर्य के प्रकाश की ऊर्जा को कैसे संग्रहीत करते हैं"


@pytest.mark.parametrize("asked", [THAI, HINDI, "光合作用如何把太阳光的能量储存在糖里"])
def test_a_benchmark_question_of_any_script_is_found_in_a_text_but_not_its_beginning_in_another(asked):
    index = NgramIndex([BenchmarkItem("b", "test", "1", asked)])
    assert [match.share for match in index.matches([f"** {unicodedata.normalize('NFD', asked)} ** 🙂"])[0]] == [1.0]
    assert index.matches([" ".join(reversed(words(asked)))]) == [[]]


def test_a_run_of_13_thai_characters_is_no_evidence():
    asked = THAI + "และเพราะเหตุใดกระบวนการนี้จึงสำคัญต่อสิ่งมีชีวิตอื่นบนโลกของเรา"
    index = NgramIndex([BenchmarkItem("b", "test", "1", asked)])
    assert index.matches([THAI[:18] + " ขอบคุณ"]) == [[]]  # 'Explain how green plants'
    assert index.matches([THAI + " ขอบคุณ"])[0][0].share > 0.5
    vowels = HINDI.replace("े", "ो").replace("ी", "ा")
    assert NgramIndex([BenchmarkItem("b", "test", "1", HINDI)]).matches([vowels]) == [[]]
