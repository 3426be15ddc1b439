"""What can be wrong in a module, one small thing at a time: the mutants of a source text.

Each operator is a row of OPERATORS: a kind of node, and what could stand in its place. Left out is what is no behaviour: annotations,
docstrings, sentences that people read (the figures in them are changed, the words are not), and lines for the log.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import CodeType
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Variants: TypeAlias = Iterator[ast.AST]

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "ROUND_FLOOR": "ROUND_CEILING", "ROUND_CEILING": "ROUND_FLOOR"}  # fmt: skip
UNWRAPPED = frozenset({"abs", "int", "sorted", "shield"})
"""Calls that are left out around what they are given."""
PROSE = frozenset({"remedy"})
"""Arguments that are sentences."""


@dataclass(frozen=True)
class Mutant:
    """One wrong version of a module. `scopes` are the classes and functions around the change, outermost first; `lines` its statement's."""

    path: str
    scopes: tuple[Scope, ...]
    line: int
    lines: range
    before: str
    after: str
    nth: int
    at_import: bool
    """It changes what happens when the module is imported, and not what a function does."""
    compiled: Callable[[], CodeType]

    @property
    def name(self) -> str:
        """What it is called in reports and in docs/proof.md; it does not change when lines move."""
        where = ".".join(scope.name for scope in self.scopes) or "module"
        again = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.path} {where}: {self.before} -> {self.after}{again}"


def mutants(path: Path, shown: str, enums: dict[str, list[str]]) -> list[Mutant]:
    """Every mutant of a file. `enums` are the members by the name of their enumeration, for putting one in another's place."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    maker = _Maker(tree, path, shown, enums | enumerations(tree))
    maker.walk_body(tree, "body", ())
    return maker.found


def enumerations(tree: ast.Module) -> dict[str, list[str]]:
    """The members of every enumeration that a module defines."""
    return {
        node.name: [t.id for s in node.body if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)]
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(b).endswith("Enum") for b in node.bases)
    }  # fmt: skip


class _Maker:
    def __init__(self, tree: ast.Module, path: Path, shown: str, enums: dict[str, list[str]]) -> None:
        self._tree, self._path, self._shown, self._enums = tree, path, shown, enums
        self._seen: dict[tuple[str, str, str], int] = {}
        self._lines, self._import_time = range(0), True
        self.found: list[Mutant] = []

    # --- statements -----------------------------------------------------------------------------------------------------

    def walk_body(self, owner: ast.AST, field: str, scopes: tuple[Scope, ...]) -> None:
        """The statements of a block."""
        body: list[ast.stmt] = getattr(owner, field)
        for index, statement in enumerate(body):
            if not _is_silent(statement):
                is_end = isinstance(owner, Function) and index == len(body) - 1
                self._statement(owner, field, index, scopes, is_end)

    def _statement(
        self, owner: ast.AST, field: str, index: int, scopes: tuple[Scope, ...], is_end: bool
    ) -> None:
        statement: ast.stmt = getattr(owner, field)[index]
        inner = getattr(statement, "body", None)
        last = inner[0].lineno - 1 if inner else statement.end_lineno or statement.lineno
        self._lines = range(statement.lineno, max(last, statement.lineno) + 1)
        self._import_time = not any(isinstance(s, Function) for s in scopes)
        for other in _other_statements(statement, scopes, is_end):
            self._put(owner, field, index, other, scopes)
        within = (*scopes, statement) if isinstance(statement, Scope) else scopes
        for name, value in ast.iter_fields(statement):
            if name in {"body", "orelse", "finalbody"}:
                continue
            if name == "handlers":
                for handler in value:
                    self._handler(handler, within)
            elif name not in {"decorator_list", "bases", "keywords", "annotation", "returns", "targets", "target"}:  # fmt: skip
                self._expressions(statement, name, value, scopes)
        for name in ("body", "orelse", "finalbody"):
            if getattr(statement, name, None):
                self.walk_body(statement, name, within)

    def _handler(self, handler: ast.ExceptHandler, scopes: tuple[Scope, ...]) -> None:
        self._lines = range(handler.lineno, handler.body[0].lineno + 1)
        if handler.type is not None:
            self._expressions(handler, "type", handler.type, scopes)
        if not isinstance(handler.body[0], ast.Raise):
            self._put(handler, "body", 0, ast.Raise(), scopes)
        self.walk_body(handler, "body", scopes)

    # --- expressions ----------------------------------------------------------------------------------------------------

    def _expressions(self, owner: ast.AST, field: str, value: object, scopes: tuple[Scope, ...]) -> None:
        if isinstance(value, list):
            for index, one in enumerate(value):
                if isinstance(one, ast.AST):
                    self._expression(owner, field, index, one, scopes)
        elif isinstance(value, ast.AST):
            self._expression(owner, field, None, value, scopes)

    def _expression(
        self, owner: ast.AST, field: str, index: int | None, node: ast.AST, scopes: tuple[Scope, ...]
    ) -> None:
        if _is_prose(owner, index, node) or (isinstance(node, ast.arg)):
            return
        for kind, make in OPERATORS:
            if isinstance(node, kind):
                for other in make(node):
                    if not (isinstance(other, ast.Tuple) and _is_fixed(owner, field)):
                        self._put(owner, field, index, other, scopes)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            members = self._enums.get(node.value.id, [])
            if node.attr in members and len(members) > 1:
                other_name = members[(members.index(node.attr) + 1) % len(members)]
                self._put(owner, field, index, ast.Attribute(node.value, other_name, ast.Load()), scopes)
        for name, value in ast.iter_fields(node):
            if name not in {"ctx", "target", "format_spec"} and not (isinstance(node, ast.Subscript) and name == "slice" and _is_type(node)):  # fmt: skip
                self._expressions(node, name, value, scopes)

    def _put(
        self, owner: ast.AST, field: str, index: int | None, new: ast.AST, scopes: tuple[Scope, ...]
    ) -> None:
        held = getattr(owner, field)
        old = held if index is None else held[index]
        before, after = _text(old), _text(new)
        if before == after:
            return
        ast.copy_location(new, old)
        ast.fix_missing_locations(new)

        def compiled() -> CodeType:
            self._set(owner, field, index, new)
            try:
                return compile(self._tree, str(self._path), "exec", dont_inherit=True)
            finally:
                self._set(owner, field, index, old)

        key = (".".join(s.name for s in scopes), before, after)
        nth = self._seen[key] = self._seen.get(key, 0) + 1
        line = getattr(old, "lineno", self._lines.start)
        self.found.append(
            Mutant(self._shown, scopes, line, self._lines, before, after, nth, self._import_time, compiled)
        )

    @staticmethod
    def _set(owner: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
        if index is None:
            setattr(owner, field, node)
        else:
            getattr(owner, field)[index] = node


def _text(node: ast.AST) -> str:
    """The node as source, of a statement with a block only its head."""
    if isinstance(node, ast.Pass):
        return "nothing"
    if isinstance(node, ast.comprehension):
        return ast.unparse(node).strip()
    return ast.unparse(node).split(":\n")[0].replace("\n", " ")


def _is_silent(statement: ast.stmt) -> bool:
    """Docstrings, imports, lists of exported names, names for types, and lines for the log."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal():
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "log")]) | ast.Assign(value=ast.Subscript(value=ast.Name(id="Callable"))):  # fmt: skip
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            return True
    return False


def _is_prose(owner: ast.AST, index: int | None, node: ast.AST) -> bool:
    """Words for people: a string with a space, a piece of an f-string, what a denial says besides its code."""
    if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "Denial":
        return isinstance(node, ast.Constant) and index != 0
    if isinstance(node, ast.keyword):
        return node.arg in PROSE and not isinstance(node.value, ast.IfExp)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " " in node.value or isinstance(owner, ast.JoinedStr)
    return False


def _is_fixed(owner: ast.AST, field: str) -> bool:
    """Whether a tuple's length is fixed by what takes it, so that one element less is no program any more."""
    match owner:
        case ast.Return():
            return True
        case ast.Assign(targets=[ast.Tuple()]) if field == "value":
            return True
    return False


def _is_type(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"dict", "list", "tuple", "set", "Callable"}


# --- what can be wrong ---------------------------------------------------------------------------------------------------


def _other_statements(statement: ast.stmt, scopes: tuple[Scope, ...], is_end: bool) -> Iterator[ast.stmt]:
    match statement:
        case ast.Expr() | ast.Raise() | ast.Continue() | ast.AugAssign():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) if scopes[-1].name != "__init__":
            yield ast.Pass()
        case ast.Return(value=None | ast.Constant(value=None)) if not is_end:
            yield ast.Pass()
        case ast.Return(value=ast.expr() as value) if not (
            isinstance(value, ast.Constant) and value.value is None
        ):
            yield ast.Return(ast.Constant(None))
    match statement:
        case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield ast.AugAssign(statement.target, ARITHMETIC[type(op)](), statement.value)
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.If():
            yield ast.If(ast.Constant(True), statement.body, statement.orelse)
            yield ast.If(ast.Constant(False), statement.body, statement.orelse)
        case ast.While():
            yield ast.While(ast.Constant(False), statement.body, statement.orelse)
        case ast.With() | ast.AsyncWith() if all(item.optional_vars is None for item in statement.items):
            yield ast.If(ast.Constant(True), statement.body, [])


def _comparisons(node: ast.Compare) -> Variants:
    for index, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield ast.Compare(node.left, ops, node.comparators)


def _bools(node: ast.BoolOp) -> Variants:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for index in range(len(node.values)):
        rest = [*node.values[:index], *node.values[index + 1 :]]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _arithmetic(node: ast.BinOp) -> Variants:
    by_sign = (
        ast.unparse(node.right).rpartition(".")[2] == "sign"
    )  # one or minus one: to divide by it is to multiply
    if type(node.op) in ARITHMETIC and not by_sign:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)


def _unary(node: ast.UnaryOp) -> Variants:
    if isinstance(node.op, ast.Not | ast.USub):
        yield node.operand


def _constants(node: ast.Constant) -> Variants:
    match node.value:
        case bool():
            yield ast.Constant(not node.value)
        case int() | float():
            yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
        case str():
            try:
                figure = Decimal(node.value)
            except InvalidOperation:
                yield ast.Constant(f"XX{node.value}XX")
            else:
                yield from (ast.Constant(f"{figure + 1}"), ast.Constant(f"{figure - 1}"))


def _names(node: ast.Name) -> Variants:
    if node.id in NAMES:
        yield ast.Name(NAMES[node.id], ast.Load())


def _calls(node: ast.Call) -> Variants:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in UNWRAPPED and len(node.args) == 1:
        yield node.args[0]
    ordered = name not in {"min", "max"}
    if ordered and len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args):
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in PROSE:
            yield ast.Call(node.func, node.args, [*node.keywords[:index], *node.keywords[index + 1 :]])


def _choices(node: ast.IfExp) -> Variants:
    yield from (node.body, node.orelse)


def _filters(node: ast.comprehension) -> Variants:
    for index in range(len(node.ifs)):
        rest = [*node.ifs[:index], *node.ifs[index + 1 :]]
        yield ast.comprehension(node.target, node.iter, rest, node.is_async)


def _rows(node: ast.Tuple | ast.List | ast.Set) -> Variants:
    for index in range(len(node.elts)):
        rest = [*node.elts[:index], *node.elts[index + 1 :]]
        if isinstance(node, ast.Set):
            if rest:
                yield ast.Set(rest)
        else:
            yield type(node)(rest, ast.Load())


def _entries(node: ast.Dict) -> Variants:
    for index in range(len(node.keys)):
        keys, values = list(node.keys), list(node.values)
        del keys[index], values[index]
        yield ast.Dict(keys, values)


OPERATORS: tuple[tuple[type[ast.AST] | tuple[type[ast.AST], ...], Callable[..., Variants]], ...] = (
    (ast.Compare, _comparisons),
    (ast.BoolOp, _bools),
    (ast.BinOp, _arithmetic),
    (ast.UnaryOp, _unary),
    (ast.Constant, _constants),
    (ast.Name, _names),
    (ast.Call, _calls),
    (ast.IfExp, _choices),
    (ast.comprehension, _filters),
    ((ast.Tuple, ast.List, ast.Set), _rows),
    (ast.Dict, _entries),
)
