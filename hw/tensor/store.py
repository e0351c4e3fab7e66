"""The store: rows of results from the row reader into tensor memory.

    row ─► shift to its place ─┬─► [lane 0's row] ─► a group a cycle ─┐
                               ├─► [lane 1's row] ─► a group a cycle ─┼─► write port
                               └─► …                                 ─┘

Rows are dealt to the lanes in turn, as a tensor has them, and each lane has an address of its own:
as many rows are under way as there are lanes. A row of RAW sums comes as one row for each limb,
least significant first, and each goes to a plane of its own.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..formats import OutputFormat
from ..layouts.output import OUTPUT, ROW
from ..layouts.tensor import WRITE_PORT
from ..lib.pipeline import delay
from .windows import Windows


class Store(wiring.Component):
    """Write each row where its RUN says, from a tile's last row to its first.

    Latency: 1 cycle from a row to its first group. Throughput: a row a cycle, if no row reaches
    into more groups than there are lanes; else a lane is busy for as many cycles as its row has
    groups, and of RAW sums one lane is at a time. Stall rule: takes a row once its lane has written
    the one before; waits for nothing.

    Members
    -------
    row : In(layouts.ROW), whole
    run : In(layouts.OUTPUT), the RUN whose row it is
    port : Out(layouts.WRITE_PORT)
    finished : Out(1), all rows of a RUN have been written
    writing : Out(1), something is written in this cycle
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "row": In(ROW(config)),
                "run": In(OUTPUT(config)),
                "port": Out(WRITE_PORT(config)),
                "finished": Out(1),
                "writing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, place = self.config, self.run.place
        lanes, limbs = config.lanes, OutputFormat.RAW.limbs
        m.submodules.windows = windows = Windows(config)
        taken, lane = Signal(), Signal(range(lanes), init=lanes - 1)
        lane_next = Signal.like(lane)
        limb, plane = Signal(range(limbs)), Signal(range(config.tensor_words))
        """Of a RAW row, and how far its plane lies behind the first."""
        is_raw, whole = self.run.format == OutputFormat.RAW, Signal()
        m.d.comb += [
            whole.eq(taken & (~is_raw | (limb == limbs - 1))),
            windows.place.eq(place.windows),
            windows.next.eq(whole & (lane == 0)),
            windows.final.eq(self.row.final),
        ]
        with m.If(taken & is_raw):
            m.d.sync += [limb.eq(limb + 1), plane.eq(Mux(whole, 0, plane + place.plane))]
        row = self._placed(m) | {
            "address": (windows.address + plane)[: len(windows.address)],
            "room": Mux(windows.outside, 0, place.room),
        }
        free, free_next = Signal(lanes), Signal(lanes)
        for number in range(lanes):
            begin = taken & (lane == number)
            left = self._lane(m, number, begin, row)
            m.d.comb += [
                free[number].eq(left == 0),
                free_next[number].eq(Mux(begin, row["groups"] == 1, left <= 1)),
            ]
        m.d.comb += [
            lane_next.eq(Mux(whole, Mux(lane == 0, lanes - 1, lane - 1), lane)),
            self.row.go.eq(free.bit_select(lane, 1)),
            self.row.go_next.eq(free_next.bit_select(lane_next, 1)),
            taken.eq(self.row.valid & self.row.go),
            self.writing.eq(self.port.enable.any()),
        ]
        m.d.sync += lane.eq(lane_next)
        ended = Signal()
        m.d.comb += ended.eq(taken & self.row.final)
        # By then the longest row has been written, and so has any row before it.
        m.d.comb += self.finished.eq(delay(m, "ended", ended, self.config.store_groups))
        return m

    def _placed(self, m: Module) -> dict[str, Signal]:
        """The row where it lies in its groups, zeros behind it, which of their units it fills, and
        how many groups it reaches into."""
        config, place = self.config, self.run.place
        unit, units = 8 * config.store_bytes, config.group_bytes // config.store_bytes
        whole = Signal(config.store_groups * units * unit)
        filled, mask = Signal(config.store_groups * units), Signal(config.store_groups * units)
        row = self.row.data[: 32 * config.columns]
        groups = Signal(range(config.store_groups + 1))
        with m.Switch(self.run.format):
            for output in OutputFormat:
                count = config.columns * output.result_bits // (8 * config.store_bytes)
                with m.Case(output):
                    m.d.comb += [
                        mask.eq(Const((1 << count) - 1, len(mask))),
                        groups.eq((place.position + (count + units - 1)) // units),
                    ]
        with m.Switch(place.position):
            for position in range(units):
                with m.Case(position):
                    m.d.comb += [
                        whole.eq(row << position * unit),
                        filled.eq((mask | place.pad.replicate(len(mask))) << position),
                    ]
        return {"data": whole, "filled": filled, "groups": groups}

    def _lane(self, m: Module, number: int, begin, row: dict):
        """A lane's row on its way into its bank, a group a cycle; returns how many groups will be
        left in the next cycle if no row begins."""
        size, units = 8 * self.config.group_bytes, len(row["filled"]) // self.config.store_groups
        now = {
            name: Signal.like(value, name=f"{name}_{number}", reset_less=name != "groups")
            for name, value in row.items()
        }
        each = self.config.store_bytes // self.config.write_bytes
        enables = now["filled"][:units]
        if each > 1:
            enables = Cat(unit.replicate(each) for unit in enables)
        working = Signal(name=f"working_{number}")
        left = Signal.like(now["groups"], name=f"left_{number}")
        m.d.comb += [
            working.eq(now["groups"] != 0),
            left.eq(Mux(working, now["groups"] - 1, 0)),
            self.port.enable.word_select(number, units * each).eq(
                Mux(working & (now["room"] != 0), enables, 0)
            ),
            self.port.address[number].eq(now["address"]),
            self.port.data.word_select(number, size).eq(now["data"][:size]),
        ]
        m.d.sync += [
            now["data"].eq(now["data"][size:]),
            now["filled"].eq(now["filled"][units:]),
            now["address"].eq(now["address"] + 1),
            now["groups"].eq(left),
            now["room"].eq(Mux(now["room"] == 0, 0, now["room"] - 1)),
        ]
        with m.If(begin):
            m.d.sync += [now[name].eq(value) for name, value in row.items()]
        return left
