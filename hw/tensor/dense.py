"""Dense weights out of a tensor: slot s is row s, and its indices follow from its place.

    DENSE ─► windows, groups ─► a diagonal ─► read port ─► turned ─► write bus
      └────► slot after slot ─► index ──────────────────────────► indices' bus

A lane of a window has one row, and a bank takes one slot in a cycle. So what is read in a cycle is
a diagonal: lane i reads group j + i of its row, for columns of its own.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.codes import Target
from ..isa.maps import chunks
from ..layouts.array import write_signature
from ..layouts.tensor import DENSE, READ_PORT, SKEWED
from ..lib.pipeline import delay
from .memory import TensorMemory


def groups_of(config: Config, count: Value) -> Value:
    """Of so many slots, the last one whole."""
    return (count + (config.group - 1)) >> config.group.bit_length() - 1


class DiagonalReader(wiring.Component):
    """Read rows of a tensor and write them to the banks of values.

    Latency: 4 cycles from a DENSE to its first chunk. Throughput: gcd(`lanes`, C / M) groups a
    cycle, and a cycle more for each DENSE. Stall rule: waits for the memory alone.

    Members
    -------
    rows : In stream of layouts.DENSE
    port : Out(layouts.READ_PORT)
    write : Out, the write bus
    skewed : Out(layouts.SKEWED), how the chunk is written
    finished : Out(1), with the last chunk of a DENSE
    fault : Out(1), a group would have been read that is not in the DENSE's words; it is zeros
    """

    def __init__(self, config: Config):
        self.config = config
        lanes, together = config.lanes, config.dense_groups
        self.blocks = config.columns // config.group
        """Groups of a row that all columns take."""
        self.step = data.StructLayout(
            {
                "addresses": data.ArrayLayout(range(config.tensor_words), lanes),
                "needed": lanes,
                "outside": 1,
                "part": range(lanes // together),
                "turn": range(together),
                "chunk": range(self.blocks // together),
                "address": 16,
                "end": 1,
            }
        )
        """What is read in a cycle: of `part`, lanes that lie beside each other."""
        super().__init__(
            {
                "rows": In(stream.Signature(DENSE(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "skewed": Out(SKEWED(config)),
                "finished": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        port = self.port
        step, valid = Signal(self.step, reset_less=True), Signal()
        taken, go = Signal(), Signal()
        m.d.comb += [
            port.valid.eq(valid),
            port.address.eq(step.addresses),
            taken.eq(valid & port.ready),
            go.eq(~valid | port.ready),
            self.fault.eq(taken & step.outside),
        ]
        self._walk(m, go, valid, step)
        token = Signal(data.StructLayout({"valid": 1, "step": self.step}))
        m.d.comb += [token.valid.eq(taken), token.step.eq(step)]
        here = delay(m, "fetched", token, TensorMemory.LATENCY)
        self._give(m, here.valid, here.step)
        return m

    def _walk(self, m: Module, go, valid, step):
        """The step to come: of each window the parts, of each of these the groups, and of as many
        groups as are read at once each turn."""
        config, together = self.config, self.config.dense_groups
        rows, active = Signal(DENSE(config), reset_less=True), Signal()
        part, chunk, turn = (Signal.like(step[name]) for name in ("part", "chunk", "turn"))
        row, offset = Signal(range(config.weight_slots)), Signal(range(config.tensor_words + 1))
        beyond, left = Signal(), Signal(range(config.weight_slots // config.lanes + 1))
        """Of the window: its first row's number, and its first word, which may lie beyond all; and
        how many windows there still are."""
        lasts = []
        for counter, count in (
            (turn, together),
            (chunk, self.blocks // together),
            (part, config.lanes // together),
        ):
            lasts.append(counter == count - 1)
        last, window_ends = Signal(), Signal()
        m.d.comb += [
            window_ends.eq(Cat(lasts).all()),
            last.eq(window_ends & (left == 1)),
            # What the memory says is not passed on: a cycle is lost instead.
            self.rows.ready.eq(~active),
        ]
        with m.If(go):
            m.d.sync += valid.eq(active)
            m.d.sync += self._asked(step, rows, (part, chunk, turn), row, offset, beyond)
            m.d.sync += step.end.eq(last)
        with m.If(go & active):
            # The turns are the fastest, windows the slowest.
            m.d.sync += turn.eq(Mux(lasts[0], 0, turn + 1))
            with m.If(lasts[0]):
                m.d.sync += chunk.eq(Mux(lasts[1], 0, chunk + 1))
                with m.If(lasts[1]):
                    m.d.sync += part.eq(Mux(lasts[2], 0, part + 1))
            with m.If(window_ends):
                after = Signal(17)
                m.d.comb += after.eq(offset + rows.pitch)
                m.d.sync += [
                    row.eq(row + config.lanes),
                    left.eq(left - 1),
                    offset.eq(after),
                    beyond.eq(beyond | (after >= rows.words.count)),
                    active.eq(~last),
                ]
        with m.If(self.rows.ready & self.rows.valid):
            asked = self.rows.payload
            m.d.sync += [active.eq(1), rows.eq(asked), row.eq(0), offset.eq(0), beyond.eq(0)]
            # Slots come in whole groups.
            windows = config.group // config.lanes
            m.d.sync += left.eq(groups_of(config, asked.count) << windows.bit_length() - 1)

    def _asked(self, step, rows, place, row, offset, beyond):
        """Where each lane reads, and whether it does."""
        config, together = self.config, self.config.dense_groups
        part, chunk, turn = place
        needed, outside, statements = [], [], []
        for lane in range(config.lanes):
            of_part, among = divmod(lane, together)
            group = chunk * together + (turn + among)[: len(turn)]
            at = offset + group
            wanted = (part == of_part) & (group < rows.groups) & (row + lane < rows.count)
            inside = ~beyond & (at < rows.words.count)
            needed.append(wanted & inside)
            outside.append(wanted & ~inside)
            # What is not needed is read where it may be.
            first = rows.words.address
            statements.append(step.addresses[lane].eq(Mux(wanted & inside, first + at, first)))
        return [
            *statements,
            step.needed.eq(Cat(needed)),
            step.outside.eq(Cat(outside).any()),
            step.part.eq(part),
            step.chunk.eq(chunk),
            step.turn.eq(turn),
            step.address.eq(rows.address + row + part * together),
        ]

    def _give(self, m: Module, valid, step):
        """What was read, each group to its columns."""
        config, together = self.config, self.config.dense_groups
        size = 8 * config.group_bytes
        groups = [
            Mux(step.needed[lane], self.port.data.word_select(lane, size), 0)
            for lane in range(config.lanes)
        ]
        chunk = Signal(together * size)
        parts = Array(
            Cat(groups[part * together + (n - turn) % together] for n in range(together))
            for part in range(config.lanes // together)
            for turn in range(together)
        )
        m.d.comb += chunk.eq(parts[Cat(step.turn, step.part)])
        m.d.comb += [
            self.write.valid.eq(valid),
            self.write.target.eq(Target.VALUES),
            self.write.address.eq(step.address),
            self.write.chunk.eq(step.chunk),
            self.write.data.eq(chunk),
            self.skewed.skewed.eq(valid),
            self.skewed.turn.eq(step.turn),
            self.finished.eq(valid & step.end),
        ]


class PlaceWriter(wiring.Component):
    """Write indices of dense weights: of each slot its place in its group, for all columns.

    Latency: 1 cycle. Throughput: a chunk a cycle, also from one DENSE to the next. Stall rule:
    none.

    Members
    -------
    rows : In stream of layouts.DENSE
    write : Out, the write bus
    finished : Out(1), with the last chunk of a DENSE
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(DENSE(config))),
                "write": Out(write_signature(config)),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, kind = self.config, chunks(self.config)[Target.INDICES]
        active, address = Signal(), Signal(range(2 * config.weight_slots))
        groups = Signal(range(config.weight_slots // config.group + 1))
        chunk, last = Signal(range(kind.per_word)), Signal()
        bits = (config.group - 1).bit_length()
        place, whole = address[:bits], Signal()
        m.d.comb += [
            whole.eq(chunk == kind.per_word - 1),
            last.eq(whole & place.all() & (groups == 1)),
            self.rows.ready.eq(~active | last),
            self.write.valid.eq(active),
            self.write.target.eq(Target.INDICES),
            self.write.address.eq(address),
            self.write.chunk.eq(chunk),
            self.write.data.eq(Cat(*[place, Const(0, kind.unit_bits - bits)] * kind.size)),
            self.finished.eq(active & last),
        ]
        with m.If(active):
            m.d.sync += chunk.eq(Mux(whole, 0, chunk + 1))
            with m.If(whole):
                m.d.sync += [address.eq(address + 1), groups.eq(groups - place.all())]
        with m.If(self.rows.ready):
            m.d.sync += active.eq(self.rows.valid)
        with m.If(self.rows.ready & self.rows.valid):
            m.d.sync += [
                address.eq(self.rows.payload.address),
                groups.eq(groups_of(config, self.rows.payload.count)),
            ]
        return m
