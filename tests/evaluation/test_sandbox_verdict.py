"""Tests for the verdict of the sandbox: no program passes tests that its functions do not satisfy."""

import gc
from dataclasses import replace

import pytest

from glan_core.evaluation.benchmarks import code_eval
from glan_core.evaluation.sandbox import plain_values, tested_names
from glan_core.evaluation.sandbox.runner import LIMITS, run_code

QUICK = replace(LIMITS, cpu_seconds=1, seconds=1.5)
TESTS = "assert solve(3) == 4\nassert solve(10) == 11\n"
PASSED = plain_values.encode({"passed": ""})
REPLIES = [plain_values.encode(reply) for reply in ({"passed": ""}, {"ran": True}, {"value": 4}, {"names": {}})]
FRAMES = [len(data).to_bytes(plain_values.SIZE, "big") + data for data in REPLIES]
EVIL = """
class Evil:
    def yes(self, *_): return True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = yes
    def same(self, *_): return self
    __add__ = __radd__ = __sub__ = __rsub__ = __abs__ = __round__ = __call__ = __getitem__ = __getattr__ = same
    def __hash__(self): return 0
"""
WRITE = """
import os
def write(data):
    for number in range(3, 12):
        try: os.write(number, data)
        except OSError: pass
"""
CHEATS = {
    "an object that equals everything": f"{EVIL}\ndef solve(x): return Evil()",
    "its class": f"{EVIL}\ndef solve(x): return Evil",
    "a number that equals everything": "class N(int):\n    __eq__ = lambda *_: True\ndef solve(x): return N(7)",
    "a text that equals everything": "class N(str):\n    __eq__ = lambda *_: True\ndef solve(x): return N(7)",
    "a metaclass that equals everything": "class M(type):\n    __eq__ = lambda *_: True\nclass A(metaclass=M): pass\ndef solve(x): return A",
    "an object that lies about its class": "class N:\n    __class__ = int\n    __eq__ = lambda *_: True\ndef solve(x): return N()",
    "other built-ins": (
        "import builtins\nfor name in ('abs', 'all', 'any', 'len', 'isinstance', 'getattr', 'AssertionError', '__build_class__'):\n"
        "    setattr(builtins, name, lambda *_, **__: True)\ndef solve(x): return 0"
    ),
    "no assertions": "import sys, builtins\nbuiltins.__debug__x = False\nsys.flags = None\ndef solve(x): return 0",
    "leaving": "import sys\ndef solve(x): sys.exit(0)",
    "leaving for good": "import os\ndef solve(x): os._exit(0)",
    "leaving while a thread goes on": "import os, threading\nthreading.Timer(.01, os._exit, (0,)).start()\ndef solve(x):\n    while True: pass",
    "raising at the end": "import atexit\natexit.register(print)\ndef solve(x): raise SystemExit",
    "raising the end of an iteration": "def solve(x): raise StopIteration",
    "raising what tests raise": "def solve(x): raise AssertionError",
    "an interrupt": "def solve(x): raise KeyboardInterrupt",
    "the end of a generator": "def solve(x): raise GeneratorExit",
    "a wrong exception": "class E(BaseException): pass\ndef solve(x): raise E",
    "an exception that cannot be shown": "class E(Exception):\n    def __str__(self): raise self\ndef solve(x): raise E",
    "another main module": "import sys, types\nsys.modules['__main__'] = types.ModuleType('__main__')\ndef solve(x): return 0",
    "its own check": "def check(*_): pass\ncheck.__globals__['check'] = check\ndef solve(x): return 0",
    "a search in frames and memory": (
        "import gc, sys\ndef solve(x):\n    frame, seen = sys._getframe(), []\n    while frame:\n        seen += frame.f_locals.values()\n"
        "        frame = frame.f_back\n    for one in gc.get_objects():\n        if isinstance(one, dict) and 'passed' in one: one['passed'] = True\n"
        "        if isinstance(one, str) and 'assert solve' in one: return eval(one.split('==')[1])\n    return 0"
    ),
    "a changed server": (
        "import gc\nfrom glan_core.evaluation.sandbox import program_server as s, plain_values as p\n"
        "s.ProgramServer._answer = lambda *_: p.encode({'passed': '', 'value': True, 'ran': True})\n"
        "p.write_message = s.write_message = lambda pipe, data: (pipe.write(data), pipe.flush())\ndef solve(x): return 0"
    ),
    "true for every answer": (
        "from glan_core.evaluation.sandbox import program_server as s\ns.ProgramServer._answer = lambda self, _: self._encode({'value': True})\n"
        "def solve(x): return 0"
    ),
    "a hidden comparison": (
        "from glan_core.evaluation.sandbox import program_server as s\n"
        f"{EVIL}\ns.SPECIAL = frozenset()\ndef solve(x): return Evil()"
    ),
    "a report on every descriptor": (
        f"import os\nfor n in range(3, 1024):\n    for data in {FRAMES!r}:\n        try: os.write(n, data)\n        except OSError: pass\nos._exit(0)"
    ),
    "a report on every descriptor, later": (
        f"import os\ndef solve(x):\n    for n in range(1024):\n        for data in {FRAMES!r}:\n            try: os.write(n, data)\n"
        "            except OSError: pass\n    return 0"
    ),
    "answers in advance": f"import os\nos.write(6, {FRAMES[1] + FRAMES[3] + 2 * FRAMES[2]!r})\nos._exit(0)",
    "closed descriptors": "import os\nos.closerange(0, 1024)\ndef solve(x): return 0",
    "a lie about length": WRITE + "def solve(x): write(b'\\xff' * 4)",
    "half a reply": WRITE + "def solve(x):\n    write(b'\\0\\0\\0\\x09M')\n    os._exit(0)",
    "a slow drip": WRITE + "import time\ndef solve(x):\n    while time.sleep(.3) is None: write(b'\\0')",
    "a huge result": "def solve(x): return 'x' * (1 << 25)",
    "a huge number": "def solve(x): return 1 << (1 << 26)",
    "a deep result": "def solve(x):\n    a = []\n    for _ in range(100_000): a = [a]\n    return a",
    "a result in itself": "def solve(x):\n    a = []\n    a.append(a)\n    return a",
    "a result without end": "def solve(x):\n    while True: yield x + 1",
    "not a number": "def solve(x): return float('nan')",
    "nothing": "def solve(x): pass",
    "no function": "",
    "a swallowed test": "def solve(x): return 0\n'''",
    "a line that goes on": "def solve(x): return 0\nif False: \\",
}  # fmt: skip


@pytest.mark.parametrize("cheat", CHEATS)
def test_no_cheat_passes(cheat):
    assert not run_code(CHEATS[cheat], TESTS, limits=QUICK).passed


@pytest.mark.parametrize("tests", [
    "assert solve(3)", "assert not solve(3) == 5", "assert solve(3) != 5", "assert solve(3) in (4,)", "assert 4 in solve(3)", "assert solve(3) < 5",
    "assert abs(solve(3) - 4) < 1e-6", "assert round(solve(3), 2) == 4", "assert {solve(3): 1} == {4: 1}", "assert [solve(3)] == [4]",
    "assert sorted([solve(3), 1]) == [1, 4]", "assert set([solve(3)]) == {4}", "assert max(solve(3), 1) == 4", "assert f'{solve(3):d}' == '4'",
    "assert isinstance(4, solve(3))", "assert float(solve(3)) == 4", "assert solve(3).value == 4", "assert solve(3)[0] == 4",
    "assert solve(3)() == 4",
])  # fmt: skip
def test_an_object_of_the_program_decides_no_comparison(tests):
    """An object that agrees with everything passes only where any true value would; the rest is failed or not supported."""
    cheat, honest = (run_code(f"{EVIL}\ndef solve(x): return {value}", tests) for value in ("Evil()", "True"))
    assert not cheat.passed or honest.passed
    assert cheat.passed or cheat.unsupported or "Error" in cheat.why


def test_functions_of_the_tests_are_not_the_programs():
    """Built-ins, modules and functions of the standard library stay the real ones."""
    liar = "lambda *_, **__: True"
    for tests, program in {
        "assert set(solve(1)) == {1, 2}": f"set = {liar}",
        "assert isclose(solve(1), 2.5)": f"isclose = {liar}",
        "assert math.isclose(solve(1), 2.5)": f"class math:\n    isclose = {liar}",
        "assert np.allclose(solve(1), [2])": f"class np:\n    allclose = {liar}",
        "assert Counter(solve(1)) == Counter([1])": f"Counter = {liar}",
        "assert all(x == 2 for x in [*solve(1), 3])": f"all = {liar}",
        "assert all(map(lambda x: solve(x) == 9, [1]))": "def solve(x): raise StopIteration",
        "assert deepcopy(solve(1)) == [9]": f"deepcopy = {liar}",
    }.items():
        assert not run_code(f"def solve(x): return [7]\n{program}", tests).passed, tests
    assert run_code("from math import isclose\ndef solve(x): return 2.5", "assert isclose(solve(1), 2.5)").passed
    assert "NameError" in run_code("def solve(x): return 2.5", "assert isclose(solve(1), 2.5)").why, "as in one file"
    assert run_code("def sum(a, b): return a + b", "assert sum(10, 15) == 25").passed, (
        "MBPP tests a function named like a built-in one"
    )
    assert run_code("def median(x): return 2", "assert abs(median([1, 2, 3]) - 2) < 1e-6").passed
    assert run_code("def sum(a): return [a]", "assert set(sum(1)) == {1}").unsupported


def test_the_tests_use_helper_functions_of_the_prompt():
    """HumanEval/32 and 38 check results with a function of the prompt, which the program could define anew."""
    prompt = "import math\n\ndef poly(xs, x):\n    return sum(c * math.pow(x, i) for i, c in enumerate(xs))\n"
    prompt += '\ndef find_zero(xs):\n    """Find x."""\n'
    tests = "def check(candidate):\n"
    tests += "    for xs in ([1, 2], [-6, 11, -6, 1]):\n        assert math.fabs(poly(xs, candidate(xs[:]))) < 1e-4\ncheck(find_zero)"
    right = prompt + "    return -xs[0] / xs[1] if len(xs) == 2 else 1\n"
    assert run_code(right, tests, prompt).passed and run_code(right, tests).passed
    cheat = prompt + "    return 7\npoly = lambda *_: 0\n"
    assert not run_code(cheat, tests, prompt).passed
    assert not run_code("import math\n" + cheat, tests, prompt).passed
    assert tested_names.find_helpers(prompt)[1] == {"math", "poly"}
    assert tested_names.find_helpers("def f(:") == tested_names.find_helpers("(" * 9999) == ("", frozenset())


def test_tests_are_hidden_from_the_program():
    program = "import gc\ndef solve(x):\n"
    program += "    return [str(one) for one in gc.get_objects() if isinstance(one, (str, bytes)) and 'ZEBRA' in str(one)]"
    outcome = run_code(
        program + "\nclass A: pass", "secret = 'ZEB' + 'RA'\nassert solve(3) == [], solve(3)\nassert A() is not None"
    )
    assert outcome.passed, outcome.why
    assert gc.isenabled()


def test_tests_without_a_program_do_not_pass():
    for tests in ("", "\n# nothing", "pass", "assert 1 == 1", "x = 1\nassert x"):
        assert run_code("def solve(x): return 1", tests).unsupported, tests
    assert run_code("def solve(x): return 1", "assert (").unsupported
    assert run_code("def solve(x): return 1", "assert " + "(" * 5000).unsupported


@pytest.mark.parametrize(("program", "tests", "why"), [
    ("def solve(f): return f(1)", "assert solve(lambda x: x) == 1", "a value of type function"),
    ("def solve(x): return x", "x = object()\nassert solve(x) == x", "a value of type object"),
    ("class A:\n    def __eq__(self, other): return True\ndef solve(): return A()", "assert solve() == A()", "object of type A"),
    ("class A: pass\ndef solve(): return A()", "assert isinstance(solve(), A)", "isinstance"),
    ("class E(Exception): pass\ndef solve(): raise E", "try:\n    solve()\nexcept E:\n    pass", "an exception of the program"),
    ("class A: pass", "class B(A): pass", "inherit"),
    ("def solve(x): return x", "x = []\nassert solve(x) is x", "identity"),
    ("from collections import namedtuple\nA = namedtuple('A', 'x y')\ndef solve(): return A(1, 2)", "assert solve() == (1, 2) and solve().x", "'x'"),
    ("from collections import defaultdict\ndef solve(): return defaultdict(int, a=1)", "assert solve() == {'a': 1} and solve()['b'] == 0", "'b'"),
    ("def solve(): return [0] * (1 << 22)", "assert solve()", "more than 1,048,576 values"),
    ("def solve(): return 'x' * (1 << 25)", "assert solve()", "more than 16 MiB"),
])  # fmt: skip
def test_what_cannot_be_judged_is_reported(program, tests, why):
    outcome = run_code(program, tests)
    assert outcome.unsupported and not outcome.passed and outcome.why.startswith("not supported: ") and why in outcome.why


def test_the_metric_knows_prompts_and_what_could_not_be_judged():
    prompt = 'def twice(x):\n    return 2 * x\n\ndef half(x):\n    """Halve x."""\n'
    tests = "def check(candidate):\n    assert twice(candidate(4)) == 4\ncheck(half)"
    programs = [
        prompt + "    return x // 2\n",
        prompt + "    return 7\ntwice = lambda x: 4\n",
        prompt + "    return type('A', (), {'__mul__': 1, '__rmul__': 1})()",
    ]
    seen: list[int] = []
    with code_eval.on_each_run(lambda: seen.append(1), [prompt, "def"]):
        result = code_eval.SandboxedCodeEval().compute([tests] * 3, [[program] for program in programs], [1])
    assert result == ({"pass@1": 1 / 3}, {}) and len(seen) == 3
    assert [code_eval.outcomes[program, tests].unsupported for program in programs] == [False, False, True]
    with code_eval.on_each_run(lambda: None):
        assert code_eval.SandboxedCodeEval().compute([tests], [[programs[1]]], [1])[0] == {"pass@1": 1}, (
            "prompts are those of the block"
        )
