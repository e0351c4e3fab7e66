"""Interfaces joined member by member, if they mean the same."""

from amaranth import Module, Mux, Shape, ShapeCastable, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In


def connect_checked(m: Module, source, *sinks):
    """`wiring.connect` of one interface with others whose members must have equal shapes.

    Amaranth lets a signed member drive an unsigned one of the same width, or a structure drive
    another; both are mistakes here. Raises `TypeError`.
    """
    for sink in sinks:
        for (path, member, _), (sink_path, sink_member, _) in zip(
            sorted(source.signature.flatten(source), key=lambda entry: entry[0]),
            sorted(sink.signature.flatten(sink), key=lambda entry: entry[0]),
            strict=True,
        ):
            if path != sink_path or not _same(member.shape, sink_member.shape):
                raise TypeError(
                    f"cannot connect {path}: {member.shape!r} with "
                    f"{sink_path}: {sink_member.shape!r}"
                )
    wiring.connect(m, source, *sinks)


def connect_ports(m: Module, outer, inner):
    """Join those members of `outer`, an interface of a component, that `inner` has, with it: a part
    of the component that has a part of its bus."""
    for (name,), member, value in inner.signature.flatten(inner):
        mine = getattr(outer, name)
        m.d.comb += value.eq(mine) if member.flow is In else mine.eq(value)


def either(m: Module, bus, writes, first, second):
    """Drive all of `bus` with what `first` writes, if it `writes`, else with what `second` does."""
    for name in first.signature.members:
        one, two = Value.cast(getattr(first, name)), Value.cast(getattr(second, name))
        m.d.comb += Value.cast(getattr(bus, name)).eq(Mux(writes, one, two))


def _same(a, b) -> bool:
    if isinstance(a, ShapeCastable) or isinstance(b, ShapeCastable):
        return a == b
    return Shape.cast(a) == Shape.cast(b)
