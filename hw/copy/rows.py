"""Where a COPY's rows lie, in both memories."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.descriptors import COPY_BYTES
from ..layouts.engines import COPY


def COPY_ROW(config: Config) -> data.StructLayout:
    """A row of a COPY: `row_bytes` bytes from `address` on in external memory; in tensor memory the
    groups of `lane` from `word` on, or whole words. One that is `outside` is not copied; `end` is
    the last of its COPY."""
    return data.StructLayout(
        {
            "address": config.external_bits,
            "row_bytes": COPY_BYTES,
            "word": range(config.tensor_words),
            "lane": range(config.lanes),
            "whole": 1,
            "host": 1,
            "outside": 1,
            "end": 1,
        }
    )


class CopyRows(wiring.Component):
    """Take COPYs apart.

    Latency: 2 cycles. Throughput: a row a cycle, but for 1 cycle a COPY. Stall rule: waits for
    `rows` alone.

    Members
    -------
    copies : In stream of layouts.COPY
    rows : Out stream of COPY_ROW
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "copies": In(stream.Signature(COPY(config))),
                "rows": Out(stream.Signature(COPY_ROW(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, row = self.config, self.rows.payload
        copy, active = Signal(COPY(config), reset_less=True), Signal()
        # The first bytes of this row and of its line; the first word of its window.
        here, line = (_place(config.external_bits, name) for name in ("here", "line"))
        window = _place((config.tensor_words - 1).bit_length(), "window")
        lane = Signal(range(config.lanes))
        rows_in_line = Signal(14, reset_less=True)
        makes, end = Signal(), copy.rows == 1
        m.d.comb += [
            makes.eq(active & (~self.rows.valid | self.rows.ready)),
            self.copies.ready.eq(~active),
        ]
        in_external = _after(here, copy.row_bytes - 1)
        in_tensor = _after(window, words_of(config, copy) - 1)
        with m.If(self.rows.ready):
            m.d.sync += self.rows.valid.eq(0)
        with m.If(makes):
            m.d.sync += [
                self.rows.valid.eq(1),
                row.address.eq(here.at),
                row.row_bytes.eq(copy.row_bytes),
                row.word.eq(window.at),
                row.lane.eq(lane),
                row.whole.eq(copy.whole),
                row.host.eq(copy.host),
                row.outside.eq(in_external["beyond"] | (in_tensor["beyond"] & ~copy.host)),
                row.end.eq(end),
                copy.rows.eq(copy.rows - 1),
                active.eq(~end),
            ]
            with m.If(rows_in_line == copy.line):
                m.d.sync += rows_in_line.eq(1)
                for place in (here, line):
                    m.d.sync += _set(place, _after(line, copy.line_stride))
            with m.Else():
                m.d.sync += rows_in_line.eq(rows_in_line + (copy.line != 0))
                m.d.sync += _set(here, _after(here, copy.stride))
            ends_window = copy.whole | (lane == config.lanes - 1)
            m.d.sync += lane.eq(Mux(ends_window, 0, lane + 1))
            with m.If(ends_window):
                m.d.sync += _set(window, _after(window, copy.pitch))
        with m.If(self.copies.valid & self.copies.ready):
            asked = self.copies.payload
            m.d.sync += [
                active.eq(1),
                copy.eq(asked),
                lane.eq(0),
                rows_in_line.eq(1),
                *_set(here, {"at": asked.external, "beyond": 0}),
                *_set(line, {"at": asked.external, "beyond": 0}),
                *_set(window, {"at": asked.tensor, "beyond": 0}),
            ]
        return m


def words_of(config: Config, row):
    """Words that a row reaches into in tensor memory: one for each group, or whole ones."""
    return Mux(
        row.whole,
        ceiling(row.row_bytes, config.stream_bytes),
        ceiling(row.row_bytes, config.group_bytes),
    )


def ceiling(value, divisor: int):
    """`value` divided by a power of two, rounded up."""
    return (value + (divisor - 1)) >> divisor.bit_length() - 1


def _place(bits: int, name: str) -> Signal:
    """A place in a memory, or that it is beyond the end. Places only grow, so one that is beyond
    stays there, and where it is does not count any more."""
    return Signal(data.StructLayout({"at": bits, "beyond": 1}), name=name, reset_less=True)


def _after(place: Signal, step) -> dict:
    """The place `step` further."""
    at = place.at + step
    return {"at": at, "beyond": place.beyond | (at >> len(place.at)).any()}


def _set(place: Signal, values: dict) -> list:
    return [place[name].eq(value) for name, value in values.items()]
