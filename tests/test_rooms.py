"""The arrows of the tree: a room knows only those before it, and no import goes in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ORDER = (
    ("hw.errors",),
    ("hw.formats", "sw.errors"),
    ("hw.config", "sw.lib"),
    ("hw.isa",),
    ("hw.lib",),
    ("hw.layouts",),
    ("hw.arith", "hw.bus", "sim.golden"),
    ("hw.array", "hw.buffers", "hw.link", "sw.compiler"),
    ("hw.output", "hw.tensor"),
    ("hw.copy", "hw.vector"),
    ("hw.control", "hw.prune"),
    ("hw.core",),
    ("hw.top",),
    ("hw.memory_top", "hw.serial_top", "hw.verilog"),
    ("hw.platforms", "sim.engines"),
    ("sw.transports",),
    ("sw.host",),
    ("sw.flow", "sw.nn"),
    ("sw.report",),
    ("sw.cli",),
    ("sim.testbenches", "sim.proofs", "sim.mutants", "sim.reproduce"),
    ("sim.bench",),
)
"""Rooms that may know all rooms of the lines above theirs."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(p): p for top in ("hw", "sw", "sim") for p in (ROOT / top).rglob("*.py")}


def imported(module: str) -> set[str]:
    """The project's modules that a module imports, wherever in it."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base = ".".join(base + (node.module.split(".") if node.module else []))
            found |= {
                f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names
            }
    return found & set(MODULES)


def level(module: str) -> int | None:
    """The line of `ORDER` that a module belongs to, by its longest name there."""
    names = {room: line for line, rooms in enumerate(ORDER) for room in rooms}
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (room := ".".join(parts[:length])) in names:
            return names[room]
    return None


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_module_has_a_room():
    tops = {"hw", "sw", "sim"}
    assert not [m for m in MODULES if level(m) is None and m not in tops]
    named = {name for rooms in ORDER for name in rooms}
    assert all(name in MODULES for name in named)


def test_arrows_run_one_way():
    wrong = [
        f"{module} knows {other}"
        for module in MODULES
        for other in imported(module)
        if room(module) != room(other) and other not in ("hw", "sw", "sim")
        if not level(other) < level(module)
    ]
    assert not wrong


def test_no_import_goes_in_a_circle():
    # Raises `CycleError` with the circle if there is one.
    TopologicalSorter({module: imported(module) for module in MODULES}).prepare()


def test_the_gateware_knows_neither_host_nor_simulation():
    assert not [m for m in MODULES if m.startswith("hw.") for o in imported(m) if o[:3] != "hw."]
