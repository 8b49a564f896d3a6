"""Tests for programs and tests in the style of MBPP, and for the plain values that travel between their processes."""

import math
import random
import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import pytest

from glan_core.evaluation.sandbox import plain_values
from glan_core.evaluation.sandbox.plain_values import Malformed, NotPlain, decode, encode
from glan_core.evaluation.sandbox.runner import run_code

MBPP = {  # right programs in the style of MBPP's, with tests as there
    "tuples": (
        "def similar(a, b):\n  res = tuple(set(a) & set(b))\n  return (res)",
        "assert set(similar((3, 4, 5, 6),(5, 7, 4, 10))) == set((4, 5))",
    ),
    "booleans": (
        "def is_not_prime(n):\n    return any(n % i == 0 for i in range(2, n))",
        "assert is_not_prime(2) == False\nassert is_not_prime(10) == True",
    ),
    "heaps": (
        "import heapq as hq\ndef largest(nums, n):\n  return hq.nlargest(n, nums)",
        "assert largest( [25, 35, 22, 85],2)==[85, 35] ",
    ),
    "carriage returns": ("def square(n):\r\n  return n * n\r\n", "assert square(3) == 9\r\nassert square(-2) == 4"),
    "regular expressions": (
        "import re\ndef text_match(text):\n    return 'Found a match!' if re.search('ab{2}', text) else 'Not matched!'",
        "assert text_match('ac')==('Not matched!')\nassert text_match('abb')==('Found a match!')",
    ),
    "counts": (
        "from collections import Counter\ndef count(s): return Counter(s)",
        "assert count('aab') == {'a': 2, 'b': 1}\nassert count('b')['z'] == 0",
    ),
    "default values": (
        "from collections import defaultdict\ndef group(l):\n    d = defaultdict(list)\n    for k, v in l: d[k].append(v)\n    return d",
        "assert group([(1, 2), (1, 3)]) == {1: [2, 3]}",
    ),
    "ordered dictionaries": (
        "from collections import OrderedDict\ndef order(d): return OrderedDict(sorted(d.items()))",
        "assert list(order({2: 1, 1: 2})) == [1, 2]\nassert order({2: 1}) == {2: 1}",
    ),
    "named tuples": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef point(): return P(1, 2)",
        "assert point() == (1, 2)",
    ),
    "floats": ("import math\ndef area(r): return math.pi * r * r", "assert math.isclose(area(10), 314.159265, rel_tol=0.001)"),
    "imported names": ("from math import isclose\ndef half(x): return x / 2", "assert isclose(half(3), 1.5)"),
    "not a number": (
        "def nan(): return [float('nan'), float('-inf'), -0.0]",
        "assert nan()[0] != nan()[0] and nan()[1] < -1e308 and str(nan()[2]) == '-0.0'",
    ),
    "large numbers": (
        "def power(n): return 2 ** n",
        "assert power(40_000) == 1 << 40_000 and power(64) == 18446744073709551616",
    ),
    "negative numbers": (
        "def negative(n): return -n",
        "assert negative(128) == -128 and negative(2 ** 63) == -9223372036854775808 and negative(0) == 0",
    ),
    "complex numbers": (
        "import cmath\ndef convert(n): return cmath.polar(n)",
        "assert convert(1) == (1.0, 0.0)\nassert convert(1j)[0] == 1",
    ),
    "nested lists": (
        "def transpose(m): return [list(r) for r in zip(*m)]",
        "assert transpose([[1, 2], [3, 4]]) == [[1, 3], [2, 4]]",
    ),
    "lists of tuples": ("def pair(a): return [(x, x * 2) for x in a]", "assert pair([1, 2]) == [(1, 2), (2, 4)]"),
    "sets": (
        "def union(a, b): return a | b",
        "assert union({1}, {2}) == {1, 2}\nassert union(frozenset([1]), {2}) == frozenset({1, 2})",
    ),
    "dictionaries with keys of all kinds": (
        "def swap(d): return {v: k for k, v in d.items()}",
        "assert swap({1: (1, 2), 'a': None}) == {(1, 2): 1, None: 'a'}",
    ),
    "an iterator": (
        "def double(a): return map(lambda x: 2 * x, a)",
        "assert list(double([1, 2])) == [2, 4]\nassert not double([1]) == [2]",
    ),
    "a generator": (
        "def count(n):\n    while True:\n        yield n\n        n += 1",
        "assert [n for n, _ in zip(count(3), range(2))] == [3, 4]",
    ),
    "a generator of the tests": (
        "def total(a): return sum(a)",
        "assert total(x for x in range(4)) == 6 and total(iter([1])) == 1",
    ),
    "ranges": (
        "def numbers(n): return range(n)",
        "assert list(numbers(3)) == [0, 1, 2] and numbers(3) == range(3) and numbers(3) != [0, 1, 2]",
    ),
    "views": (
        "def keys(d): return d.keys(), d.values(), d.items()",
        "k, v, i = keys({1: 2})\nassert k == {1} and list(v) == [2] and (1, 2) in i",
    ),
    "texts": ("def join(a): return ' '.join(a)", "assert join(['é', '中', '\\ud800', '\\0']) == 'é 中 \\ud800 \\0'"),
    "bytes": (
        "def encode(s): return s.encode(), bytearray(s.encode())",
        "assert encode('é') == (b'\\xc3\\xa9', bytearray(b'\\xc3\\xa9'))",
    ),
    "types as arguments": (
        "def remove(a, kind): return [x for x in a if not isinstance(x, kind)]",
        "assert remove((4, 5.5, 'a'), int) == [5.5, 'a']",
    ),
    "functions as arguments": (
        "def apply(f, a): return [f(x) for x in a]",
        "import math\nassert apply(abs, [-1]) == [1] and apply(math.sqrt, [4]) == [2]",
    ),
    "types as results": ("def kind(x): return type(x)", "assert kind(1) == int and kind(()) is tuple"),
    "nothing": ("def none(): return None", "assert none() is None and none() == None"),
    "fractions and decimals": (
        "from fractions import Fraction\nfrom decimal import Decimal\ndef half(): return Fraction(1, 2), Decimal('0.50')",
        "assert half()[0] == 0.5 and str(half()[1]) == '0.50'",
    ),
    "dates": (
        "import datetime\ndef day(y): return datetime.date(y, 1, 1)",
        "import datetime\nassert day(2020) == datetime.date(2020, 1, 1)",
    ),
    "optional arguments": (
        "def add(a, b=2, *, c=3, **d): return a + b + c + len(d)",
        "assert add(1) == 6 and add(1, c=1, self=9, function=8) == 6",
    ),
    "classes": (
        "class Pair(object):\n\tdef __init__(self, a, b):\n\t\tself.a = a\n\t\tself.b = b\n"
        "def max_chain_length(arr, n):\n    best = [1] * n\n    for i in range(1, n):\n        for j in range(i):\n"
        "            if arr[i].a > arr[j].b: best[i] = max(best[i], best[j] + 1)\n    return max(best)",
        "assert max_chain_length([Pair(5, 24), Pair(15, 25),Pair(27, 40), Pair(50, 60)], 4) == 3\nassert Pair(1, 2).b == 2",
    ),
    "trees": (
        "class Node:\n    def __init__(self, data):\n        self.data, self.left, self.right = data, None, None\n"
        "def height(node): return 0 if node is None else 1 + max(height(node.left), height(node.right))\nroot = Node(1)",
        "root.left = Node(2)\nroot.left.right = Node(3)\nassert height(root) == 3\nassert root.left.right.data == 3 and root.right is None",
    ),
    "methods": (
        "class Stack:\n    def __init__(self): self.a = []\n    def push(self, x): self.a.append(x)\n    def __len__(self): return len(self.a)",
        "s = Stack()\ns.push(1)\ns.push(2)\nassert len(s) == 2 and s.a == [1, 2]",
    ),
    "objects": (
        "class A: pass\na = A()\ndef same(x): return [x, a]",
        "assert same(a)[0] == a and same(A())[1] == a and same(A())[0] != a",
    ),
    "constants": ("LIMIT = 3\ndef below(n): return n < LIMIT", "assert below(LIMIT - 1) and LIMIT == 3"),
    "exceptions": (
        "class Wrong(ValueError): pass\ndef check(x):\n    if x < 0: raise Wrong('negative')\n    return {}[x]",
        "try:\n    check(-1)\nexcept ValueError as e:\n    assert str(e) == 'negative'\nelse:\n    raise SystemExit\n"
        "try:\n    check(3)\nexcept KeyError as e:\n    assert e.args == (3,)",
    ),
    "changed arguments": (
        "def sort(a, d, s):\n    a.sort()\n    d['n'] = len(a)\n    s.discard(1)",
        "a, d, s = [3, 1], {}, {1, 2}\nassert sort(a, d, s=s) is None\nassert a == [1, 3] and d == {'n': 2} and s == {2}",
    ),
    "recursion": (
        "import sys\nsys.setrecursionlimit(10_000)\ndef down(n): return 0 if n == 0 else 1 + down(n - 1)",
        "assert down(5000) == 5000",
    ),
    "files": (
        "def save(t):\n    with open('a.txt', 'w') as f: f.write(t)\n    return open('a.txt').read()",
        "assert save('text') == 'text'",
    ),
    "tests with functions of their own": (
        "def inc(x): return x + 1",
        "def check(f):\n    for n in range(50):\n        assert f(n) == n + 1\ncheck(inc)",
    ),
    "a set that is no list": ("def unique(a): return set(a)", "assert unique([1, 1]) == {1}\nassert unique([1]) != [1]"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", MBPP)
def test_right_programs_pass_and_stubs_fail(name):
    program, tests = MBPP[name]
    outcome = run_code(program, tests)
    assert outcome.passed, outcome.why
    stub = "class Stub:\n    def __getattr__(self, _): return None\n    def __call__(self, *_, **__): return None\n"
    stub += "".join(
        f"{name} = Stub()\n" for pair in re.findall(r"(?m)^(?:def|class) (\w+)|^(\w+) =", program) for name in pair if name
    )
    assert not run_code(stub, tests).passed or name in ("changed arguments", "nothing")


def test_tests_that_fail_say_why():
    assert run_code("def f(x): return x", "assert f(1) == 2, f(1)").why == "AssertionError: 1"
    assert run_code("def g(x): return x", "assert f(1) == 2").why == "NameError: name 'f' is not defined"
    assert run_code("def f(x): return x / 0", "assert f(1) == 2").why == "ZeroDivisionError: division by zero"
    assert run_code("def f(x): return x +", "assert f(1) == 2").why.startswith("SyntaxError: invalid syntax")
    assert run_code("def f(x): return map(str, x)", "assert f([1]) == ['1']").why == "AssertionError", "a map is no list"
    assert run_code("def f(x): return x\nf(undefined)", "assert f(1) == 1").why == "NameError: name 'undefined' is not defined"
    assert "longer" in run_code("#" * (1 << 25), "assert f(1) == 1").why
    assert run_code("\0", "assert f(1) == 1").why and run_code("\ud800", "assert f(1) == 1").why


class Color(IntEnum):
    RED = 1


VALUES = [
    None, True, False, 0, 1, -1, 127, 128, -128, -129, 255, 256, 2**63, -(2**63), 2**5000, 0.1, -0.0, 1e308, math.inf, -math.inf,
    "", "a", "é中\0\n", "\ud800", "\ud800\udc00", "\U00010000", b"", b"\xff", bytearray(b"a"), [], [1, [2, [3]]], (), (1,), ((), []),
    set(), {1, "a", (2,)}, frozenset({1}), {}, {"a": 1, 2: {3: 4}, None: [], (1, 2): ()}, 1 + 2j, range(3), range(10, 0, -3),
    slice(1, 2), Ellipsis, NotImplemented, int, ValueError, deque([1, 2], 3), Counter("aab"), OrderedDict(b=1, a=2),
    Fraction(1, 3), Decimal("1.10"), Decimal("Infinity"), date(2020, 2, 29), 
    datetime(2020, 1, 2, 3, 4, 5, 6), time(1, 2, 3, 4), timedelta(1, 2, 3),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{VALUES.index(value)}")
def test_values_arrive_as_they_were_sent(value):
    found = decode(encode(value))
    assert found == value and type(found) is type(value) and repr(found) == repr(value)
    assert decode(encode([value, (value, {"k": value})])) == [value, (value, {"k": value})]


def test_values_that_are_nearly_plain():
    def flat(kind, content):
        assert kind == "flat"
        return content

    nan = decode(encode(math.nan))
    assert nan != nan
    for value, sent in (
        (Color.RED, ["Color", 1]), (namedtuple("P", "x y")(1, 2), ["P", (1, 2)]), (defaultdict(int, a=1), ["defaultdict", {"a": 1}]),
        (type("S", (str,), {"__str__": lambda _: "x"})("abc"), ["S", "abc"]),
        (type("L", (list,), {"__iter__": lambda _: iter([9])})([1]), ["L", [1]]),
    ):  # fmt: skip
        assert decode(encode(value), flat) == sent
    views = decode(encode([{1: 2}.keys(), {1: 2}.values(), {1: 2}.items()]))
    assert views[0] == {1} and list(views[1]) == [2] and (1, 2) in views[2]
    deep: list = []
    for _ in range(plain_values.MOST_DEPTH + 1):
        deep = [deep]
    for value, why in (
        (deep, "deep"),
        (object(), "object"),
        ([0] * (plain_values.MOST_VALUES + 2), "values"),
        ("a" * (1 << 25), "MiB"),
        (len, "function"),
    ):
        with pytest.raises(NotPlain, match=why):
            encode(value)


def test_bytes_that_are_no_message_are_refused():
    """Whatever the bytes, reading ends with a value or with one kind of error, and creates no objects of other types."""
    good = encode([1, "é", {"a": (2.5, {3})}, Counter("a"), int, Decimal(1), b"x"])
    chance = random.Random(0)
    read = 0
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = (
                chance.choice(b"LUEZMOISDBYNTFAP\0\1\xff") if chance.random() < 0.7 else chance.randrange(256)
            )
        try:
            decode(bytes(data[: chance.randint(len(data) // 2, len(data))]) if chance.random() < 0.3 else bytes(data))
        except Malformed:
            continue
        read += 1
    assert 0 < read < 4000
    for kind, content in (
        ("os.system", ["true"]), ("builtins.eval", ["1"]), ("builtins.complex", ["x"]), ("builtins.range", [1, 2, 0]),
        ("type", "print"), ("type", "__name__"),
        ("collections.deque", [1, 2, 3]), ("fractions.Fraction", [1, 0]), ("decimal.Decimal", ["x"]), ("datetime.date", [0, 0, 0]), ("unknown", None),
        ([], None), ("builtins.dict_keys", [[[]]]),
    ):  # fmt: skip
        with pytest.raises(Malformed):
            decode(b"O" + encode(kind) + encode(content))
    for data in (
        b"",
        b"X",
        b"L\0\0\0\1" * 1000,
        b"L\xff\xff\xff\xff",
        b"NN",
        b"E\0\0\0\1L\0\0\0\0",
        b"S\0\0\0\1\xff",
        b"I\0\0\0\1",
    ):
        with pytest.raises(Malformed):
            decode(data)
