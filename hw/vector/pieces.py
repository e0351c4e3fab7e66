"""A span in its register: it comes in parts of one size and goes in pieces of another."""

from amaranth import Module, Signal, Value


def parts(
    m: Module, piece: Value, pieces: int, bits: int, size: int, needed: Signal, ended: Signal
) -> None:
    """Of parts of `size` bits, which a `piece` of `bits` bits has something of, and the last of."""
    with m.Switch(piece):
        for n in range(pieces):
            begin, end = n * bits, (n + 1) * bits
            with m.Case(n):
                m.d.comb += [
                    needed.eq(sum(1 << part for part in range(begin // size, -(-end // size)))),
                    ended.eq(sum(1 << part for part in range(begin // size, end // size))),
                ]
