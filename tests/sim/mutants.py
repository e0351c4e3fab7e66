"""Gateware with faults built in that an input chooses: one build, simulated once for each fault."""

import inspect
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

CHOSEN = "chosen_mutant"
"""The name under which mutated code sees the choice."""


@dataclass(frozen=True)
class Mutant:
    """A fault: `old` texts of a component's method, each found once, become the `new` ones.

    In a new text `this` is the one-bit value that says whether this fault is chosen.
    """

    name: str
    killer: str
    """The test of the testbench that must find it."""
    component: type
    edits: tuple[tuple[str, str], ...]
    method: str = "elaborate"


def build_in(monkeypatch, mutants: Sequence[Mutant]) -> Signal:
    """Patch the mutants' components; returns what chooses among them: 0 is none, 1 the first."""
    chosen = Signal(8, name="mutant")
    for component, method in {(mutant.component, mutant.method) for mutant in mutants}:
        source = textwrap.dedent(inspect.getsource(getattr(component, method)))
        for number, mutant in enumerate(mutants, 1):
            here = (mutant.component, mutant.method) == (component, method)
            for old, new in mutant.edits if here else ():
                assert source.count(old) == 1, f"{mutant.name}: no longer to be found: {old}"
                source = source.replace(old, re.sub(r"\bthis\b", f"({CHOSEN} == {number})", new))
        names = vars(sys.modules[component.__module__]) | {CHOSEN: chosen, "Mux": Mux}
        exec(source, names)
        monkeypatch.setattr(component, method, names[method])
    return chosen


class Mutated(wiring.Component):
    """`component` with the port `mutant`, which is what `build_in` returned."""

    def __init__(self, component: wiring.Component, chosen: Signal):
        self.component = component
        members = dict(component.signature.members)
        super().__init__({**members, "mutant": In(len(chosen))})
        for name in members:
            setattr(self, name, getattr(component, name))
        self.mutant = chosen

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = self.component
        return m
