# ruff: noqa: E501 - formulas and problems are easier to read in one piece
"""Computed exercises of the scripted teacher: problems with varying numbers and their worked solutions.

An exercise belongs to a concept of the textbook. Its numbers are drawn with the question; the answer reads them from the text of
the question and computes the solution exactly, with SymPy.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from sympy import Rational, binomial, factorial, latex, sqrt

from glan_core.teachers.scripted.textbook import Entry

Numbers = dict[str, int]


@dataclass(frozen=True)
class Exercise:
    """A problem with numbers.

    Attributes:
        concept: Name of the concept.
        text: The problem, with its numbers in braces.
        draw: Draws the numbers.
        solve: Returns the worked solution as Markdown.
    """

    concept: str
    text: str
    draw: Callable[[random.Random], Numbers]
    solve: Callable[[Numbers], str]

    @cached_property
    def pattern(self) -> re.Pattern:
        """Matches the problem in a question."""
        pattern, seen = "", set()
        for nth, part in enumerate(re.split(r"\{(\w+)\}", self.text)):
            if nth % 2 == 0:
                pattern += re.escape(part)
            else:
                pattern += f"(?P={part})" if part in seen else f"(?P<{part}>[0-9]+)"
                seen.add(part)
        return re.compile(pattern)

    @cached_property
    def beginning(self) -> str:
        """The text before the first number, which every question with this problem contains."""
        return self.text.partition("{")[0]


def exercise_text(entry: Entry, draw: random.Random) -> str:
    """Return a problem on a concept with fresh numbers, '' if there is none."""
    found = _BY_CONCEPT.get(entry.concept.name.lower())
    return found.text.format(**found.draw(draw)) if found else ""


def find_exercise(question: str) -> tuple[Exercise, re.Match] | None:
    """Return the exercise in a question and its place, None if there is none."""
    for exercise in EXERCISES:
        if exercise.beginning in question and (found := exercise.pattern.search(question)):
            return exercise, found
    return None


def solve(question: str) -> str:
    """Return the worked solution of the problem in a question, '' if there is none."""
    if not (found := find_exercise(question)):
        return ""
    exercise, place = found
    return exercise.solve({name: int(value) for name, value in place.groupdict().items()})


def _value(number: Rational, digits: int = 2) -> str:
    """Return a number as it is written in a solution: exactly if it is short, else rounded."""
    number = Rational(number)
    if number.is_integer:
        return f"{int(number):,}".replace(",", "{,}")
    exact = number.q in (2, 4, 5, 8, 10, 20, 25, 40, 50, 100)
    return f"{float(number):.{digits}f}".rstrip("0").rstrip(".") if exact else f"{float(number):.{digits}f}"


def _is(number: Rational, digits: int = 2) -> str:
    """Return a number with the sign for equal if it is exact in so many digits, else with the one for approximately equal."""
    rounded = Rational(str(round(float(number), digits)))
    return f"{'=' if rounded == Rational(number) else chr(92) + 'approx'} {_value(number, digits)}"


def _permutation(n: Numbers) -> str:
    total = factorial(n["n"]) / factorial(n["n"] - n["k"])
    factors = r" \cdot ".join(str(n["n"] - i) for i in range(n["k"]))
    return f"The order matters, so the number of ways is ${factors} = {_value(total)}$."


def _combination(n: Numbers) -> str:
    total = binomial(n["n"], n["k"])
    return (
        rf"The order does not matter, so the number of ways is $\binom{{{n['n']}}}{{{n['k']}}} = \frac{{{n['n']}!}}{{{n['k']}!\,{n['n'] - n['k']}!}} = "
        rf"{_value(total)}$."
    )


def _binomial(n: Numbers) -> str:
    p = Rational(n["p"], 100)
    value = binomial(n["n"], n["k"]) * p ** n["k"] * (1 - p) ** (n["n"] - n["k"])
    return (
        rf"The number of defective parts is binomial, so the probability is $\binom{{{n['n']}}}{{{n['k']}}} \cdot {float(p):g}^{{{n['k']}}} \cdot "
        rf"{float(1 - p):g}^{{{n['n'] - n['k']}}} {_is(value, 4)}$."
    )


def _bayes(n: Numbers) -> str:
    base, hit, false = (Rational(n[name], 100) for name in ("base", "hit", "false"))
    positive = base * hit + (1 - base) * false
    return (
        rf"A positive result has probability ${float(base):g} \cdot {float(hit):g} + {float(1 - base):g} \cdot {float(false):g} = {float(positive):g}$. "
        rf"By Bayes' theorem the probability of the disease given a positive result is $\frac{{{float(base * hit):g}}}{{{float(positive):g}}} "
        rf"{_is(base * hit / positive, 3)}$."
    )


def _expected(n: Numbers) -> str:
    value = Rational(n["win"], n["n"]) - n["stake"]
    side = "in favor of the player" if value > 0 else "fair" if value == 0 else "against the player"
    return (
        rf"The prize has the expected value $\frac{{1}}{{{n['n']}}} \cdot {n['win']} {_is(Rational(n['win'], n['n']))}$ dollars. After the stake of "
        rf"{n['stake']} dollars the expected gain is ${_value(value)}$ dollars per game, so the game is {side}."
    )


def _handshakes(n: Numbers) -> str:
    total = n["a"] * n["d"] + n["b"] * n["e"]
    if total % 2:
        return (
            f"The degrees would sum to ${n['a']} \\cdot {n['d']} + {n['b']} \\cdot {n['e']} = {total}$. The sum must be twice the number of edges, and "
            f"{total} is odd, so such a graph does not exist."
        )
    return f"The degrees sum to ${n['a']} \\cdot {n['d']} + {n['b']} \\cdot {n['e']} = {total}$, twice the number of edges, so there are {total // 2} edges."


def _trees(n: Numbers) -> str:
    return rf"By Cayley's formula there are ${n['n']}^{{{n['n'] - 2}}} = {_value(Rational(n['n'] ** (n['n'] - 2)))}$ labeled trees."


def _euler(n: Numbers) -> str:
    faces = n["e"] - n["v"] + 2
    return f"From $V - E + F = 2$ follows $F = 2 - {n['v']} + {n['e']} = {faces}$, the outer region included."


def _acceleration(n: Numbers) -> str:
    a = Rational(n["v"], n["t"])
    return (
        rf"The acceleration is $a = \frac{{{n['v']}}}{{{n['t']}}} {_is(a)}\ \mathrm{{m/s^2}}$. From rest the car covers $s = \frac{{1}}{{2}} a t^2 = "
        rf"\frac{{1}}{{2}} \cdot {n['v']} \cdot {n['t']} {_is(Rational(n['v'] * n['t'], 2))}\ \mathrm{{m}}$."
    )


def _second_law(n: Numbers) -> str:
    a = Rational(n["pull"] - n["drag"], n["m"])
    return (
        rf"The net force is ${n['pull']} - {n['drag']} = {n['pull'] - n['drag']}\ \mathrm{{N}}$, so $a = \frac{{F}}{{m}} = "
        rf"\frac{{{n['pull'] - n['drag']}}}{{{n['m']}}} {_is(a)}\ \mathrm{{m/s^2}}$."
    )


def _kinetic(n: Numbers) -> str:
    one, two = (Rational(n["m"] * n[v] ** 2, 2) for v in ("u", "v"))
    return (
        rf"With $E = \frac{{1}}{{2}} m v^2$ the energy rises from ${_value(one)}\ \mathrm{{J}}$ to ${_value(two)}\ \mathrm{{J}}$, that is by "
        rf"${_value(two - one)}\ \mathrm{{J}}$, which is the net work done on the cart."
    )


def _momentum(n: Numbers) -> str:
    v = Rational(n["m"] * n["u"], n["m"] + n["k"])
    return (
        rf"Momentum before and after is the same: ${n['m']} \cdot {n['u']} = ({n['m']} + {n['k']}) \cdot v$, hence $v = "
        rf"\frac{{{n['m'] * n['u']}}}{{{n['m'] + n['k']}}} {_is(v)}\ \mathrm{{m/s}}$."
    )


def _ohm(n: Numbers) -> str:
    i = Rational(n["u"], n["r"])
    return (
        rf"By Ohm's law $I = \frac{{U}}{{R}} = \frac{{{n['u']}}}{{{n['r']}}} {_is(i)}\ \mathrm{{A}}$. The power is $P = U I = \frac{{{n['u']}^2}}{{{n['r']}}} "
        rf"{_is(Rational(n['u'] ** 2, n['r']))}\ \mathrm{{W}}$."
    )


def _resistance(n: Numbers) -> str:
    parallel = Rational(n["a"] * n["b"], n["a"] + n["b"])
    total = parallel + n["c"]
    return (
        rf"In parallel the two have $\frac{{{n['a']} \cdot {n['b']}}}{{{n['a']} + {n['b']}}} {_is(parallel)}\ \Omega$. With {n['c']} ohms in series the "
        rf"equivalent resistance is ${_value(parallel)} + {n['c']} {_is(total)}\ \Omega$."
    )


def _heat(n: Numbers) -> str:
    joules = n["m"] * 4186 * n["dt"]
    return (
        rf"The heat is $Q = m c \Delta T = {n['m']} \cdot 4186 \cdot {n['dt']} = {_value(Rational(joules))}\ \mathrm{{J}}$, about "
        rf"${float(joules) / 1000:.0f}\ \mathrm{{kJ}}$."
    )


def _gas(n: Numbers) -> str:
    p = Rational(n["p"] * n["a"], n["b"])
    return (
        rf"At constant temperature $p V$ is constant: $p_2 = \frac{{{n['p']} \cdot {n['a']}}}{{{n['b']}}} {_is(p)}\ \mathrm{{kPa}}$. The smaller volume has "
        "the higher pressure, because the same molecules hit a smaller wall."
    )


def _binary(n: Numbers) -> str:
    most = n["n"].bit_length()
    return f"Every comparison halves the range, and $2^{{{most - 1}}} \\le {n['n']} < 2^{{{most}}}$, so at most {most} comparisons are needed."


def _merge(n: Numbers) -> str:
    levels = n["k"]
    size = 2**levels
    return (
        f"${size} = 2^{{{levels}}}$, so there are {levels} levels of merging, and each level moves all {size} elements: ${size} \\cdot {levels} = "
        f"{_value(Rational(size * levels))}$ moves."
    )


def _heap(n: Numbers) -> str:
    i = n["i"]
    return (
        f"With the root at index 0 the children of index {i} are at $2 \\cdot {i} + 1 = {2 * i + 1}$ and $2 \\cdot {i} + 2 = {2 * i + 2}$, and its parent is "
        f"at $\\lfloor ({i} - 1) / 2 \\rfloor = {(i - 1) // 2}$."
    )


def _load(n: Numbers) -> str:
    load = Rational(n["n"], n["m"])
    return (
        rf"The load factor is $\frac{{{n['n']}}}{{{n['m']}}} {_is(load)}$. If keys spread evenly, that is the mean length of a chain, so an unsuccessful "
        rf"search looks at about {_value(load)} entries."
    )


def _elasticity(n: Numbers) -> str:
    change = Rational(n["q2"] - n["q1"], 1) / Rational(n["q1"] + n["q2"], 2)
    price = Rational(n["p2"] - n["p1"], 1) / Rational(n["p1"] + n["p2"], 2)
    e = abs(change / price)
    kind = "elastic" if e > 1 else "inelastic" if e < 1 else "unit elastic"
    before, after = n["p1"] * n["q1"], n["p2"] * n["q2"]
    what = "falls" if after < before else "rises" if after > before else "stays the same"
    return (
        rf"By the midpoint method quantity changes by ${float(100 * change):.1f}\%$ and price by ${float(100 * price):.1f}\%$, so the elasticity is "
        rf"${float(e):.2f}$ in absolute value: demand is {kind} here. Revenue {what}, from {before:,} to {after:,} dollars."
    )


def _opportunity(n: Numbers) -> str:
    cost = Rational(n["a"], n["b"])
    return (
        rf"An hour spent on {n['b']} loaves is an hour not spent on {n['a']} cakes, so one loaf costs $\frac{{{n['a']}}}{{{n['b']}}} {_is(cost)}$ cakes, and one "
        rf"cake costs $\frac{{{n['b']}}}{{{n['a']}}} {_is(1 / cost)}$ loaves."
    )


def _surplus(n: Numbers) -> str:
    height, area = n["top"] - n["p"], Rational((n["top"] - n["p"]) * n["q"], 2)
    return (
        rf"The surplus is the triangle between the demand curve and the price: $\frac{{1}}{{2}} \cdot ({n['top']} - {n['p']}) \cdot {n['q']} = "
        rf"\frac{{1}}{{2}} \cdot {height} \cdot {n['q']} {_is(area)}$ dollars."
    )


def _equilibrium(n: Numbers) -> str:
    price = Rational(n["a"] - n["c"], n["b"] + n["d"])
    quantity = n["a"] - n["b"] * price
    return (
        rf"In equilibrium ${n['a']} - {n['b']}P = {n['c']} + {n['d']}P$, so $P = \frac{{{n['a'] - n['c']}}}{{{n['b'] + n['d']}}} {_is(price)}$ dollars, and $Q = "
        rf"{n['a']} - {n['b']}P {_is(quantity)}$ units."
    )


def _seeding(n: Numbers) -> str:
    grams = Rational(n["plants"] * n["tkw"], 1000) / Rational(n["emerge"], 100)
    return (
        rf"Per square meter ${n['plants']} / {n['emerge'] / 100:g} \approx {float(Rational(n['plants'] * 100, n['emerge'])):.0f}$ seeds are needed, which weigh "
        rf"${float(grams):.1f}\ \mathrm{{g}}$. One $\mathrm{{g/m^2}}$ is $10\ \mathrm{{kg/ha}}$, so the seeding rate is "
        rf"${float(10 * grams):.0f}\ \mathrm{{kg/ha}}$."
    )


def _degree_days(n: Numbers) -> str:
    mean = Rational(n["low"] + n["high"], 2)
    gdd = max(Rational(0), mean - 10)
    return (
        rf"The mean temperature is $({n['low']} + {n['high']}) / 2 = {_value(mean)}\ ^\circ\mathrm{{C}}$. Above the base of $10\ ^\circ\mathrm{{C}}$ the day adds "
        rf"${_value(gdd)}$ degree days, and {n['days']} such days add ${_value(gdd * n['days'])}$."
    )


def _irrigation(n: Numbers) -> str:
    net = Rational(n["root"] * (n["fc"] - n["now"]), 10)
    gross = net / Rational(n["eff"], 100)
    return (
        rf"The root zone lacks ${n['fc']} - {n['now']} = {n['fc'] - n['now']}\%$ of its {n['root']} cm by volume, a net depth of ${_value(net)}\ \mathrm{{mm}}$ "
        rf"$(= {n['root'] * 10}\ \mathrm{{mm}} \cdot {(n['fc'] - n['now']) / 100:g})$. At an application efficiency of {n['eff']}% the gross depth is "
        rf"${float(gross):.1f}\ \mathrm{{mm}}$."
    )


def _shrink(n: Numbers) -> str:
    dry = Rational(n["mass"] * (100 - n["wet"]), 100)
    final = dry / Rational(100 - n["dry"], 100)
    return (
        rf"The dry matter is ${n['mass']} \cdot {(100 - n['wet']) / 100:g} = {_value(dry)}\ \mathrm{{t}}$ and does not change. At {n['dry']}% moisture it is "
        rf"${(100 - n['dry'])}\%$ of the grain, which then weighs ${float(final):.2f}\ \mathrm{{t}}$: a loss of ${float(n['mass'] - final):.2f}\ \mathrm{{t}}$."
    )


def _oscillation(n: Numbers) -> str:
    period = 2 * 3.141592653589793 * float(sqrt(Rational(n["m"], n["k"])))
    return (
        rf"The period is $T = 2\pi\sqrt{{m/k}} = 2\pi\sqrt{{{latex(Rational(n['m'], n['k']))}}} \approx {period:.2f}\ \mathrm{{s}}$; it does not depend on the "
        "amplitude."
    )


def _between(**ranges: tuple[int, int]) -> Callable[[random.Random], Numbers]:
    """Return a function that draws each number from its range, ends included."""
    return lambda draw: {name: draw.randint(*ends) for name, ends in ranges.items()}


def _with(
    first: Callable[[random.Random], Numbers], then: Callable[[random.Random, Numbers], Numbers]
) -> Callable[[random.Random], Numbers]:
    """Return a function that draws further numbers that depend on the first ones."""

    def draw(rng: random.Random) -> Numbers:
        numbers = first(rng)
        return numbers | then(rng, numbers)

    return draw


EXERCISES = (
    Exercise("Permutation", "In how many ways can {k} of {n} runners take the first {k} places of a race, if no two arrive together?",
             _with(_between(n=(6, 14)), lambda d, n: {"k": d.randint(2, 4)}), _permutation),
    Exercise("Combination", "In how many ways can a committee of {k} people be chosen from {n} candidates?",
             _with(_between(n=(7, 16)), lambda d, n: {"k": d.randint(2, 5)}), _combination),
    Exercise("Binomial distribution", "A machine makes defective parts with a probability of {p} percent, independently of one another. What is the "
             "probability that {n} parts contain exactly {k} defective ones?", _between(p=(2, 30), n=(5, 15), k=(0, 3)), _binomial),
    Exercise("Bayes' theorem", "A disease affects {base} percent of a population. A test is positive for {hit} percent of the ill and for {false} percent of the "
             "healthy. How likely is it that a person with a positive result is ill?", _between(base=(1, 10), hit=(80, 99), false=(2, 15)), _bayes),
    Exercise("Expected value", "A game costs {stake} dollars and pays {win} dollars with probability 1/{n}, otherwise nothing. What is the expected gain per "
             "game?", _between(stake=(1, 5), win=(10, 60), n=(4, 20)), _expected),
    Exercise("Handshaking lemma", "Is there a graph without loops and parallel edges that has {a} vertices of degree {d} and {b} of degree {e}, and if so, how "
             "many edges does it have?", _between(a=(4, 9), d=(2, 3), b=(4, 9), e=(3, 4)), _handshakes),
    Exercise("Cayley's formula", "How many different trees can be drawn on {n} labeled vertices?", _between(n=(4, 9)), _trees),
    Exercise("Euler's formula", "A connected graph with {v} vertices and {e} edges is drawn without crossings. Into how many regions does the drawing divide the plane?",
             _with(_between(v=(6, 15)), lambda d, n: {"e": n["v"] + d.randint(0, n["v"] - 2)}), _euler),
    Exercise("Uniform acceleration", "A car accelerates uniformly from rest to {v} m/s in {t} s. What are its acceleration and the distance it covers?",
             _between(v=(10, 35), t=(4, 14)), _acceleration),
    Exercise("Newton's second law", "A sled of {m} kg is pulled with {pull} N against a friction of {drag} N. How large is its acceleration?",
             _with(_between(m=(10, 80), drag=(5, 40)), lambda d, n: {"pull": n["drag"] + d.randint(10, 160)}), _second_law),
    Exercise("Kinetic energy", "A cart of {m} kg speeds up from {u} m/s to {v} m/s. By how much does its energy of motion change?",
             _with(_between(m=(2, 40), u=(1, 8)), lambda d, n: {"v": n["u"] + d.randint(1, 9)}), _kinetic),
    Exercise("Linear momentum", "A wagon of {m} kg rolls at {u} m/s into a resting wagon of {k} kg, and they stay coupled. How fast do they move afterward?",
             _between(m=(200, 900), u=(2, 9), k=(200, 900)), _momentum),
    Exercise("Ohm's law", "A heater with a resistance of {r} ohms is connected to {u} V. What current flows, and what power does it take up?",
             _between(r=(8, 60), u=(12, 240)), _ohm),
    Exercise("Equivalent resistance", "Two resistors of {a} ohms and {b} ohms are connected in parallel, and a third of {c} ohms in series with them. What single "
             "resistor could replace all three?", _between(a=(10, 60), b=(10, 60), c=(5, 40)), _resistance),
    Exercise("Specific heat capacity", "How much heat is needed to warm {m} kg of water by {dt} K, if a kilogram takes 4186 J per kelvin?",
             _between(m=(1, 12), dt=(5, 80)), _heat),
    Exercise("Ideal gas law", "A gas at {p} kPa is compressed at constant temperature from {a} liters to {b} liters. What is its pressure then?",
             _with(_between(p=(80, 150), b=(2, 9)), lambda d, n: {"a": n["b"] + d.randint(1, 12)}), _gas),
    Exercise("Simple harmonic motion", "A mass of {m} kg hangs on a spring with a stiffness of {k} N/m. How long does one oscillation take?",
             _between(m=(1, 8), k=(20, 200)), _oscillation),
    Exercise("Binary search", "A sorted array has {n} elements. How many elements must be compared at most to find a given one, or to know that it is missing?",
             _between(n=(20, 5000)), _binary),
    Exercise("Merge sort", "An array of 2 to the power {k} elements is sorted by repeated merging of halves. How many moves of elements do the merges take?",
             _between(k=(3, 10)), _merge),
    Exercise("Binary heap", "A priority queue is stored in an array whose first index is 0. Where are the children and the parent of the element at index {i}?",
             _between(i=(1, 60)), _heap),
    Exercise("Separate chaining", "A table with {m} buckets holds {n} keys, each in the list of its bucket. How long is a list on average, and what does this mean "
             "for a search without success?", _between(m=(50, 200), n=(40, 400)), _load),
    Exercise("Price elasticity of demand", "When a price rises from {p1} to {p2} dollars, sales fall from {q1} to {q2} units. How strongly does demand respond, and "
             "what happens to revenue?", _with(_between(p1=(4, 20), q1=(200, 600)),
             lambda d, n: {"p2": n["p1"] + d.randint(1, 5), "q2": n["q1"] - d.randint(15, 150)}), _elasticity),
    Exercise("Opportunity cost", "In one hour a bakery can make {a} cakes or {b} loaves of bread. What does a loaf cost in cakes, and a cake in loaves?",
             _between(a=(4, 12), b=(15, 40)), _opportunity),
    Exercise("Consumer surplus", "Demand falls in a straight line from a price of {top} dollars, at which nothing is sold. At the market price of {p} dollars {q} units are "
             "sold. What do buyers gain in all?", _with(_between(p=(5, 30), q=(20, 300)), lambda d, n: {"top": n["p"] + d.randint(4, 40)}), _surplus),
    Exercise("Market equilibrium", "Buyers demand {a} - {b}P units at a price of P dollars, and sellers offer {c} + {d}P units. At which price is the market cleared?",
             _with(_between(b=(2, 6), c=(5, 30), d=(1, 6)), lambda d, n: {"a": n["c"] + (n["b"] + n["d"]) * d.randint(3, 20)}), _equilibrium),
    Exercise("Seeding rate", "A stand of {plants} plants per square meter is wanted. A thousand seeds weigh {tkw} g, and {emerge} percent of the seeds emerge. How many "
             "kilograms are sown per hectare?", _between(plants=(180, 320), tkw=(38, 52), emerge=(75, 92)), _seeding),
    Exercise("Growing degree days", "On each of {days} days the temperature ranges from {low} to {high} degrees Celsius. How much development does a crop with a base "
             "temperature of 10 degrees Celsius gain?", _between(days=(5, 20), low=(8, 16), high=(20, 30)), _degree_days),
    Exercise("Net irrigation depth", "A root zone of {root} cm holds {fc} percent water by volume at its full point and {now} percent now. How many millimeters must be "
             "added, and how many pumped if {eff} percent of the water reaches the roots?",
             _with(_between(root=(40, 100), fc=(24, 36), eff=(65, 90)), lambda d, n: {"now": n["fc"] - d.randint(4, 10)}), _irrigation),
    Exercise("Moisture shrink", "A trailer brings {mass} t of grain at {wet} percent moisture, which is dried to {dry} percent. What does it weigh then?",
             _between(mass=(10, 40), wet=(18, 26), dry=(13, 15)), _shrink),
)  # fmt: skip
_BY_CONCEPT = {exercise.concept.lower(): exercise for exercise in EXERCISES}
