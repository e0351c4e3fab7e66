"""Modules that occur many times, converted to Verilog once.

Amaranth writes every instance of a module out again: a 32 x 32 array of processing elements would
be megabytes of identical text. With a `Library`, `instantiate` puts in an instance by name instead
and keeps the component, to be converted once, beside the design. Without one the component becomes
an ordinary submodule, which is what Amaranth's own simulator needs.
"""

import inspect
import warnings

from amaranth import ClockSignal, Const, Instance, Module, ResetSignal, Signal, Value
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

# Of equal components only the first is converted, and some are made only for their latency.
warnings.filterwarnings("ignore", category=UnusedElaboratable)


class Library:
    """The components that a design instantiates by name, each name with `prefix` before it."""

    def __init__(self, prefix: str = ""):
        self.prefix = prefix
        self.modules: dict[str, wiring.Component] = {}
        """Components by module name, in the order in which they were first needed."""
        self._names: dict[tuple, str] = {}

    def add(self, component: wiring.Component) -> str:
        """The name of the module for `component`; equal ones (class and parameters) share it.

        Raises `TypeError` if the component does not keep its parameters (see `parameters`).
        """
        key = (type(component), *parameters(component))
        if key not in self._names:
            kind = self.prefix + type(component).__name__
            twins = sum(name.startswith(kind) for name in self.modules)
            self._names[key] = name = f"{kind}_{twins}" if twins else kind
            self.modules[name] = component
        return self._names[key]


def parameters(component: wiring.Component) -> tuple:
    """What tells a component from others of its class: the arguments of its constructor.

    Every argument must be kept as an attribute of its name and be hashable; a `library` does not
    count, it changes no behaviour. Raises `TypeError` naming the argument that is not.
    """
    kind = type(component)
    values = []
    for name in inspect.signature(kind.__init__).parameters:
        if name in ("self", "library"):
            continue
        try:
            value = getattr(component, name)
            hash(value)
        except (AttributeError, TypeError) as reason:
            raise TypeError(
                f"{kind.__name__} cannot be shared: its argument {name!r} must be kept as a "
                f"hashable attribute of the same name ({reason})"
            ) from None
        values.append(value)
    return tuple(values)


def instantiate(
    m: Module,
    name: str,
    component: wiring.Component,
    library: Library | None,
    reset: bool = True,
):
    """Add `component` to `m` as `name`; returns an object with the component's ports.

    An instance is clocked and reset by the `sync` domain where it stands; without `reset` it only
    starts as it is configured, which spares thousands of registers the longest net there is.
    `ResetInserter` and `EnableInserter` do not reach into instances: around a design with a
    library use a clock domain of its own and `DomainRenamer`.
    """
    if library is None:
        m.submodules[name] = component
        return component
    ports = component.signature.create(path=(name,))
    connections = {}
    for path, member, value in component.signature.flatten(ports):
        direction = "i" if member.flow is In else "o"
        port = "__".join(str(part) for part in path)
        if isinstance(member.shape, data.Layout):
            value = _plain(ports, path, member.shape, f"{name}__{port}")
        connections[f"{direction}_{port}"] = Value.cast(value)
    m.submodules[name] = Instance(
        library.add(component),
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
