"""Tested names: which names in the tests of a benchmark stand for the program, and which must not come from it.

A program that defines `set`, `isclose` or `math` must not replace the ones that its tests compare with. So built-in functions,
modules and well-known functions of the standard library are the real ones as long as the tests use any other name that they do
not define. The function under test may be named like one of them (MBPP has `sum`), which is then the only such name.
"""

import ast
import builtins
import sys
from dataclasses import dataclass, field
from symtable import SymbolTable, symtable

LIBRARY = {  # well-known names of the standard library, by module
    "math": "ceil comb copysign cos degrees dist exp fabs factorial floor fsum gcd hypot isclose isfinite isinf isnan isqrt lcm log log10 "
    "log2 perm pi pow prod radians sin sqrt tan trunc",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "copy": "copy deepcopy",
    "datetime": "date datetime timedelta",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "cmp_to_key partial reduce",
    "itertools": "accumulate chain combinations combinations_with_replacement count cycle groupby islice permutations product repeat "
    "starmap takewhile zip_longest",
    "operator": "attrgetter eq itemgetter methodcaller",
    "statistics": "mean median mode stdev",
}
LIBRARY_NAMES = {name: module for module, names in LIBRARY.items() for name in names.split()}
UNCLEAR = "the tests call {names}, and it cannot be told which of them is the program's"
UNUSED = "the tests use nothing of the program"
IDENTITY = "the tests compare objects by identity"
CAUGHT, INHERITED = "the tests catch an exception of the program", "the tests inherit from a class of the program"
ALIASES = {"np": "numpy", "numpy": "numpy", "pd": "pandas", "pandas": "pandas"}


@dataclass(frozen=True, slots=True)
class TestedNames:
    """Names that the tests use and do not define.

    Attributes:
        program: Names of the program.
        modules: Modules by name; real ones, if the program has the name too.
        library: Modules of names from the standard library; real ones, if the program has the name too.
        unsupported: Why the tests cannot be run in a process other than the program's, or ''.
    """

    __test__ = False  # no tests for pytest

    program: frozenset[str]
    modules: dict[str, str] = field(default_factory=dict)
    library: dict[str, str] = field(default_factory=dict)
    unsupported: str = ""


def find_names(tests: str, known: frozenset[str] = frozenset()) -> TestedNames:
    """Find the names that the tests need from elsewhere.

    Args:
        tests: Source of the tests.
        known: Names that are defined before the tests, by the benchmark itself.

    Raises:
        ValueError: If the tests are no Python.
    """
    try:
        tree = ast.parse(tests)
        table = symtable(tests, "<tests>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the tests cannot be parsed: {error}") from None
    names = _free_names(table) - known
    bases = {node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
    modules = {name: ALIASES.get(name, name) for name in names & bases if name in sys.stdlib_module_names or name in ALIASES}
    names -= modules.keys()
    library = {name: LIBRARY_NAMES[name] for name in names if name in LIBRARY_NAMES}
    built_in = frozenset(name for name in names if hasattr(builtins, name) or name in _MODULE_NAMES)
    program = names - library.keys() - built_in
    unsupported = _unsupported(tree, program)
    if not program:
        candidates = frozenset(library) or (built_in & _called(tree))
        program = candidates if len(candidates) == 1 else program
        if not program:
            unsupported = UNCLEAR.format(names=" and ".join(sorted(candidates))) if candidates else UNUSED
    library = {name: module for name, module in library.items() if name not in program}
    return TestedNames(frozenset(program), modules, library, unsupported)


def _called(tree: ast.AST) -> set[str]:
    """Return the names that are called, or passed to a function that is not built in, such as HumanEval's `check`."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
            if not hasattr(builtins, node.func.id):
                found |= {argument.id for argument in node.args if isinstance(argument, ast.Name)}
    return found


def find_helpers(prompt: str) -> tuple[str, frozenset[str]]:
    """Return the part of a prompt that the tests may use as it is, and the names that it defines.

    HumanEval's prompts define helper functions and import modules above the function to be completed. It is the last one of the
    prompt, has no body yet, and stays out, as does a prompt that is no Python.
    """
    try:
        tree = ast.parse(prompt)
        if tree.body and isinstance(tree.body[-1], ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            tree.body.pop()
        source = ast.unparse(tree)
        table = symtable(source, "<prompt>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "", frozenset()
    return source, frozenset(_bound(table))


_MODULE_NAMES = ("__name__", "__file__", "__doc__", "__builtins__")


def _bound(table: SymbolTable) -> set[str]:
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}


def _free_names(table: SymbolTable) -> frozenset[str]:
    """Return the names that code reads from its module's namespace, and that the module does not define."""
    bound, used, tables = _bound(table), set[str](), [table]
    while tables:
        one = tables.pop()
        tables += one.get_children()
        for symbol in one.get_symbols():
            if one is table or symbol.is_global():
                (used if symbol.is_referenced() else set()).add(symbol.get_name())
                if one is not table and symbol.is_assigned():
                    bound.add(symbol.get_name())
    return frozenset(used - bound)


def _unsupported(tree: ast.AST, program: frozenset[str]) -> str:
    """Return what the tests do that needs the objects of the program themselves, or ''."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for nth, operator in enumerate(node.ops):
                if isinstance(operator, ast.Is | ast.IsNot) and not any(map(_constant, sides[nth : nth + 2])):
                    return IDENTITY
        if isinstance(node, ast.ExceptHandler) and node.type and _names(node.type) & program:
            return CAUGHT
        if isinstance(node, ast.ClassDef) and any(_names(base) & program for base in node.bases):
            return INHERITED
    return ""


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and hasattr(builtins, node.id))
