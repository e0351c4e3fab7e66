"""Modules that occur many times, converted to Verilog once.

Amaranth writes every instance of a module out again: a 32 x 32 array of processing elements would be
megabytes of identical text. With a `Library`, `instantiate` puts in an instance by name instead and
keeps the component, to be converted once, beside the design. Without one the component becomes an
ordinary submodule, which is what Amaranth's own simulator needs.
"""

from amaranth import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring

from .config import Config


class Library:
    """The components that a design instantiates by name."""

    def __init__(self):
        self.modules: dict[str, wiring.Component] = {}
        """Components by module name, in the order in which they were first needed."""
        self._names: dict[tuple, str] = {}

    def add(self, component: wiring.Component) -> str:
        """The name of the module for `component`; equal ones (class and parameters) share it."""
        key = (type(component), _parameters(component))
        if key not in self._names:
            kind = type(component).__name__
            twins = sum(name.startswith(kind) for name in self.modules)
            self._names[key] = name = f"{kind}_{twins}" if twins else kind
            self.modules[name] = component
        return self._names[key]


def instantiate(m: Module, name: str, component: wiring.Component, library: Library | None):
    """Add `component` to `m` as `name`; returns an object with the component's ports.

    A component in a library is told apart by its class and the values in `parameters` (a tuple
    that the component defines), or its `config`.
    """
    if library is None:
        m.submodules[name] = component
        return component
    ports = component.signature.create(path=(name,))
    connections = {}
    for path, member, value in component.signature.flatten(ports):
        direction = "i" if member.flow is wiring.In else "o"
        port = "__".join(str(part) for part in path)
        connections[f"{direction}_{port}"] = Value.cast(value)
    m.submodules[name] = Instance(
        library.add(component), i_clk=ClockSignal(), i_rst=ResetSignal(), **connections
    )
    return ports


def _parameters(component: wiring.Component) -> tuple:
    config: Config = component.config
    return (config, *getattr(component, "parameters", ()))
