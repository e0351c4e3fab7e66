"""Where a module's syntax tree can be made wrong by one small step, and the text of each step.

A mutant is one node of the tree replaced; the rest of the module's text stays as it is, so that
line numbers and whatever reads the source agree with the original.

Source of the operators: DeMillo, Lipton, Sayward, "Hints on Test Data Selection" (1978), and
those of mutmut and cosmic-ray; what belongs to Amaranth (`m.If`, `Mux`, assignments) is added.
"""

import ast
from dataclasses import dataclass

COMPARISONS = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
BINARY = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.Mod: "+",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "|",
}
NAMES = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "floor": "ceil",
    "ceil": "floor",
    "rint": "floor",
    "any": "all",
    "all": "any",
    "argmax": "argmin",
    "argmin": "argmax",
    "zeros": "ones",
    "ones": "zeros",
}
"""Functions and methods that are swapped for their counterparts."""


@dataclass(frozen=True)
class Mutant:
    """One replacement in one module: `module` is a path such as ``hw/control/issuer.py``."""

    module: str
    place: str
    """Qualified name of the class or function around it; empty at the module's top."""
    line: int
    kind: str
    before: str
    after: str
    start: int
    """Bytes from `start` to `stop` of the module's UTF-8 text are replaced by `after`."""
    stop: int

    @property
    def key(self) -> str:
        """What it is, wherever its line has moved to."""
        return f"{self.module} | {self.place} | {self.kind} | {self.before} -> {self.after}"

    def applied(self, source: bytes) -> bytes:
        """The module's text with the replacement in it."""
        return source[: self.start] + self.after.encode() + source[self.stop :]


def mutants(module: str, source: bytes) -> list[Mutant]:
    """All mutants of a module's text. A few may not be Python: see `parses`."""
    finder = _Finder(module, source)
    finder.visit(ast.parse(source))
    return finder.found


def parses(source: bytes) -> bool:
    """Whether the text is Python at all."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


class _Finder(ast.NodeVisitor):
    """Collects mutants; messages, annotations, imports and decorators are left alone."""

    def __init__(self, module: str, source: bytes):
        self.module, self.source = module, source
        self.found: list[Mutant] = []
        self._place: list[str] = []
        lines = source.splitlines(keepends=True)
        self._offsets = [0]
        for line in lines:
            self._offsets.append(self._offsets[-1] + len(line))

    def _span(self, node: ast.AST) -> tuple[int, int]:
        start = self._offsets[node.lineno - 1] + node.col_offset
        return start, self._offsets[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.AST) -> str:
        start, stop = self._span(node)
        return self.source[start:stop].decode()

    def _add(self, node: ast.AST, kind: str, after: str) -> None:
        start, stop = self._span(node)
        before = self._text(node)
        place = ".".join(self._place)
        self.found.append(Mutant(self.module, place, node.lineno, kind, before, after, start, stop))

    # What holds other nodes.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in ("__repr__", "__str__"):
            return
        self._place.append(node.name)
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._body(node.body)
        self._place.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._place.append(node.name)
        self._body(node.body)
        self._place.pop()

    def _body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def _left_alone(self, node: ast.AST) -> None:
        pass

    visit_Import = visit_ImportFrom = visit_Global = _left_alone
    visit_Assert = visit_JoinedStr = _left_alone

    # Statements.

    def visit_Raise(self, node: ast.Raise) -> None:
        self._add(node, "check ignored", "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call) and not self._is_super(node.value):
            self._add(node, "statement left out", "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.value, ast.List) and len(node.value.elts) > 1:
            for element in node.value.elts:
                if not isinstance(element, ast.Starred):
                    self._add(element, "assignment left out", "*()")
        else:
            self._add(node, "assignment left out", "pass")
        self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        self._add(node.test, "condition negated", f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            call = item.context_expr
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in ("If", "Elif")
                and len(call.args) == 1
            ):
                condition = call.args[0]
                self._add(condition, "condition negated", f"({self._text(condition)}) == 0")
        self.generic_visit(node)

    # Expressions.

    @staticmethod
    def _is_super(call: ast.Call) -> bool:
        return isinstance(call.func, ast.Attribute) and ast.unparse(call.func).startswith("super()")

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name == "Mux" and len(node.args) == 3:
            test, yes, no = map(self._text, node.args)
            self._add(node, "choices swapped", f"Mux({test}, {no}, {yes})")
        if name in NAMES:
            called = self._text(node.func)
            self._add(node.func, "function swapped", called[: -len(name)] + NAMES[name])
        if self._is_super(node):
            return  # a component's signature: a wrong one does not elaborate
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1:
            left, right = self._text(node.left), self._text(node.comparators[0])
            new = COMPARISONS[type(node.ops[0])]
            self._add(node, "comparison changed", f"(({left}) {new} ({right}))")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        text = isinstance(node.left, ast.Constant | ast.JoinedStr) and not isinstance(
            getattr(node.left, "value", None), int | float
        )
        tables = isinstance(node.left, ast.Dict) or isinstance(node.right, ast.Dict)
        if not text and not tables and type(node.op) in BINARY:
            left, right = self._text(node.left), self._text(node.right)
            new = BINARY[type(node.op)]
            self._add(node, "operator changed", f"(({left}) {new} ({right}))")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        new = " or " if isinstance(node.op, ast.And) else " and "
        after = new.join(f"({self._text(value)})" for value in node.values)
        self._add(node, "operator changed", f"({after})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self._add(node, "sign or negation dropped", f"({self._text(node.operand)})")
        if not isinstance(node.operand, ast.Constant):
            self.visit(node.operand)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(node, "constant changed", str(not value))
        elif isinstance(value, int):
            self._add(node, "constant changed", str(0 if value == 1 else value + 1))
        elif isinstance(value, float):
            self._add(node, "constant changed", repr(value + 1))
