"""Modules that occur many times, converted to Verilog once.

Amaranth writes every instance of a module out again: a 32 x 32 array of processing elements would
be megabytes of identical text. With a `Library`, `instantiate` puts in an instance by name instead
and keeps the component, to be converted once, beside the design. Without one the component becomes
an ordinary submodule, which is what Amaranth's own simulator needs.
"""

import inspect

from amaranth import ClockSignal, Const, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from .verilog_names import port_name


class Library:
    """The components that a design instantiates by name, each name with `prefix` before it."""

    def __init__(self, prefix: str = ""):
        self.prefix = prefix
        self.modules: dict[str, wiring.Component] = {}
        """Components by module name, in the order in which they were first needed."""
        self._names: dict[tuple, str] = {}

    def add(self, kind: type[wiring.Component], *arguments) -> str:
        """The name of the module for ``kind(*arguments)``, which is made once.

        Raises `TypeError` if an argument is not hashable.
        """
        try:
            known = (kind, *arguments) in self._names
        except TypeError as reason:
            raise TypeError(f"{kind.__name__} cannot be shared: {reason}") from None
        if not known:
            stem = self.prefix + kind.__name__
            twins = sum(name.startswith(stem) for name in self.modules)
            self._names[kind, *arguments] = name = f"{stem}_{twins}" if twins else stem
            self.modules[name] = made(kind, arguments, self)
        return self._names[kind, *arguments]


def made(kind: type[wiring.Component], arguments: tuple, library: Library | None):
    """A component, with the library if it takes one."""
    takes = "library" in inspect.signature(kind).parameters
    return kind(*arguments, library=library) if takes else kind(*arguments)


def instantiate(
    m: Module,
    name: str,
    kind: type[wiring.Component],
    *arguments,
    library: Library | None,
    reset: bool = True,
):
    """Add ``kind(*arguments)`` to `m` as `name`; returns an object with the component's ports.

    An instance is clocked and reset by the `sync` domain where it stands; without `reset` it only
    starts as it is configured, which spares thousands of registers the longest net there is.
    `ResetInserter` and `EnableInserter` do not reach into instances: around a design with a
    library use a clock domain of its own and `DomainRenamer`.
    """
    if library is None:
        m.submodules[name] = component = made(kind, arguments, None)
        return component
    module = library.add(kind, *arguments)
    signature = library.modules[module].signature
    ports = signature.create(path=(name,))
    connections = {}
    for path, member, value in signature.flatten(ports):
        direction = "i" if member.flow is In else "o"
        port = port_name(signature, path)
        if isinstance(member.shape, data.Layout):
            value = _plain(ports, path, member.shape, f"{name}__{port}")
        connections[f"{direction}_{port}"] = Value.cast(value)
    m.submodules[name] = Instance(
        module,
        i_clk=ClockSignal(),
        i_rst=ResetSignal() if reset else Const(0),
        **connections,
    )
    return ports


def _plain(ports, path: tuple, layout: data.Layout, name: str) -> Signal:
    """Replace the member at `path` by a view of a signal of plain bits, and return that.

    Of a signal of the layout's shape Amaranth writes every field as a wire of its own.
    """
    *owners, last = path
    for part in owners:
        ports = ports[part] if isinstance(part, int) else getattr(ports, part)
    bits = Signal(layout.size, name=name)
    setattr(ports, last, data.View(layout, bits))
    return bits
