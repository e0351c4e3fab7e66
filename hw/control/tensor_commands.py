"""What commands want of tensor memory and of external memory: WRITE, READ, FILL, DENSE, ROWS,
IMAGE, VECTOR, PRUNE, COPY, RUNs that store and their SIDE operands; and the engines' queues."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.bursts import WRITE_BEAT
from ..config import HEADER_BYTES, Config
from ..copy.host_words import HostWords
from ..formats import ROUNDED, OutputFormat
from ..isa.codes import Opcode
from ..isa.commands import Read, Run, Side, Write
from ..isa.descriptors import (
    FILL_BIASES,
    FILL_SETTINGS,
    Copy,
    Dense,
    Fill,
    Image,
    Prune,
    Rows,
    Vector,
)
from ..isa.engines import PLACES, WAITS_BITS, Engine
from ..isa.header import BEHIND_WAITS, WAITS_AT
from ..layouts.array import RUN
from ..layouts.engines import COPY, PRUNE, STATES, VECTOR_WORK
from ..layouts.output import OUTPUT, PLACE, SIDE, WINDOWS
from ..layouts.stream import FIELDS, beat
from ..layouts.tensor import FILL, LIMITS, WALK, WRITE_PORT
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from ..lib.pipeline import times
from ..tensor.beats import BeatWriter
from .dispatcher import Dispatcher
from .judge import view
from .side import addend_bits, first_places, moved, place_of

RUNS_INSIDE = 16
"""RUNs that have left their queue, and whose rows have not all left."""


class TensorCommands(wiring.Component):
    """Begin a good command when its turn has come; and queue RUNs, which wait as FILLs and ROWS do.

    Latency: none from `begin` to `begun`; `header` must be there a cycle before. Stall rule: FILL,
    DENSE, ROWS, IMAGE, VECTOR, PRUNE, RUN and COPY wait while their queue is full, a WRITE while
    anything before it has tensor memory to read or to write, a READ while anything has to write.
    Those of external memory go to the copy engine's queue.

    Members
    -------
    header : In(256), the command's
    begin, begun : In(1), Out(1), as valid and ready: nothing happens before both
    i : In stream of layouts.beat, a WRITE's payload after its beginning
    memory : Out(layouts.WRITE_PORT)
    done, ended, bad_length : Out(1), of a WRITE (`tensor.beats.BeatWriter`)
    answered, read : In(1), a READ's answer is on its way; its last word has been asked for
    limits : Out(layouts.LIMITS), of the last IMAGE
    runs : In stream of layouts.RUN, with the header's `waits`
    fill, row, run : Out streams of layouts.FILL, WALK, RUN
    vector : Out stream of layouts.VECTOR_WORK, with a vector unit
    output : Out stream of layouts.OUTPUT, of each RUN that finishes
    side : Out stream of layouts.SIDE, of each RUN that has side operands and has begun
    sides : Out(layouts.FIELDS(Side)), the last SIDE command
    finished : In(1) for each engine, pulses
    working : Out(1), as it was a cycle ago: something is in a queue or at work
    filling : Out(1), likewise: a FILL or ROWS is
    setting : Out(1), likewise: a FILL is, which may set columns
    states : Out(layouts.STATES), of the dispatcher

    With external memory also

    copy : Out stream of layouts.COPY
    given : Out stream of bursts.WRITE_BEAT, words for external memory
    """

    def __init__(self, config: Config, answers: int):
        self.config = config
        self.dispatcher = Dispatcher(config)
        self.writer = BeatWriter(config)
        # Wide, but short: block RAM would be slower, and hardly smaller.
        self.outputs = Fifo(OUTPUT(config), config.runs_ahead + RUNS_INSIDE, block_ram=1 << 16)
        self.sides_ahead = Fifo(SIDE(config), config.runs_ahead + RUNS_INSIDE, block_ram=1 << 16)
        self.begun_sides = Signal(range(config.runs_ahead + RUNS_INSIDE + 1))
        """RUNs with side operands that have begun, and whose operands are still to be read."""
        self.reads = Signal(range(2 * answers))
        """READs that have not read: no more than `answers` wait, but for some on their way."""
        vectors = {"vector": Out(stream.Signature(VECTOR_WORK(config)))}
        self.host_words = HostWords(config) if config.external_bits else None
        external = {
            "copy": Out(stream.Signature(COPY(config))),
            "given": Out(stream.Signature(WRITE_BEAT(config))),
        }
        super().__init__(
            {
                "header": In(8 * HEADER_BYTES),
                "begin": In(1),
                "begun": Out(1),
                "i": In(stream.Signature(beat(config))),
                "memory": Out(WRITE_PORT(config)),
                "done": Out(1),
                "ended": Out(1),
                "bad_length": Out(1),
                "answered": In(1),
                "read": In(1),
                "limits": Out(LIMITS),
                "runs": In(stream.Signature(RUN(config))),
                "fill": Out(stream.Signature(FILL(config))),
                "row": Out(stream.Signature(WALK(config))),
                "run": Out(stream.Signature(RUN(config))),
                "output": Out(stream.Signature(OUTPUT(config))),
                "side": Out(stream.Signature(SIDE(config))),
                "sides": Out(FIELDS(Side)),
                "finished": In(PLACES),
                "working": Out(1),
                "filling": Out(1),
                "setting": Out(1),
                "states": Out(STATES),
            }
            | (vectors if config.vector_lanes else {})
            | (external if config.external_bits else {})
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dispatcher = dispatcher = self.dispatcher
        m.submodules.writer = writer = self.writer
        write, read, fill, image = (view(kind, self.header) for kind in (Write, Read, Fill, Image))
        rows, is_image = view(Rows, self.header), self.header[:8] == Opcode.IMAGE
        m.submodules.outputs = outputs = self.outputs
        connect_checked(m, outputs.o, wiring.flipped(self.output))
        for name in ("fill", "row", "run"):
            connect_checked(m, getattr(dispatcher, name), wiring.flipped(getattr(self, name)))
        self._runs(m)
        connect_checked(m, wiring.flipped(self.i), writer.i)
        connect_checked(m, writer.port, wiring.flipped(self.memory))
        wanted, walk = dispatcher.fills.payload, dispatcher.rows.payload
        m.d.comb += [
            writer.words.address.eq(write.address),
            writer.words.count.eq(write.count),
            *(getattr(self, name).eq(getattr(writer, name)) for name in ("done", "ended")),
            self.bad_length.eq(writer.bad_length),
            dispatcher.waits.eq(self.header[WAITS_AT:][:WAITS_BITS]),
            dispatcher.none.eq(is_image),
            dispatcher.finished.eq(self.finished),
            *(wanted[name].eq(fill[name]) for name in ("target", "address", "count")),
            wanted.words.address.eq(fill.source),
            wanted.words.count.eq(fill.words),
            wanted.indices.address.eq(fill.indices),
            wanted.indices.count.eq(fill.index_words),
            wanted.settings.eq(fill.target == FILL_SETTINGS),
            *([wanted.biases.eq(fill.target == FILL_BIASES)] if self.config.training else []),
            walk.is_image.eq(is_image),
            self.states.eq(dispatcher.states),
            self.working.eq(dispatcher.working.any()),
            self.setting.eq(dispatcher.working[Engine.FILL]),
            self.filling.eq(dispatcher.working[Engine.FILL] | dispatcher.working[Engine.ROWS]),
        ]
        with m.If(is_image):
            m.d.comb += _same(walk.fields.image, image, FIELDS(Image))
            with m.If(self.begin & self.begun):
                m.d.sync += _same(self.limits, image, LIMITS)
        with m.Else():
            m.d.comb += _same(walk.fields.rows, rows, FIELDS(Rows))
        queues = [
            (Opcode.FILL, dispatcher.fills),
            (Opcode.ROWS, dispatcher.rows),
            (Opcode.IMAGE, dispatcher.rows),
        ]
        if self.config.training:
            queues.append((Opcode.DENSE, self._dense(m)))
        if self.config.vector_lanes:
            vectors = self._vectors(m)
            queues.append((Opcode.VECTOR, vectors))
            if self.config.prunes:
                queues.append((Opcode.PRUNE, vectors))
        writing = dispatcher.working[Engine.STORE] | dispatcher.working[Engine.VECTOR]
        if self.config.external_bits:
            writing |= dispatcher.working[Engine.COPY]
        m.d.sync += self.reads.eq(self.reads + self.answered - self.read)
        with m.Switch(self.header[:8]):
            for opcode, queue in queues:
                with m.Case(opcode):
                    m.d.comb += [queue.valid.eq(self.begin), self.begun.eq(queue.ready)]
            with m.Case(Opcode.WRITE):
                m.d.comb += [
                    self.begun.eq((self.reads == 0) & ~self.filling & ~writing),
                    writer.start.eq(self.begin & self.begun),
                ]
            with m.Case(Opcode.READ):
                m.d.comb += self.begun.eq(~writing)
            with m.Case(Opcode.SIDE):
                m.d.comb += self.begun.eq(1)
                with m.If(self.begin):
                    m.d.sync += _same(self.sides, view(Side, self.header), FIELDS(Side))
        if self.config.external_bits:
            self._copies(m, write, read)
        return m

    def _dense(self, m: Module):
        """A DENSE's way to the queue of FILLs, which is returned."""
        dense, queue = view(Dense, self.header), self.dispatcher.fills
        wanted = queue.payload
        blocks = self.config.columns // self.config.group
        m.d.comb += [
            wanted.pitch.eq(dense.pitch),
            wanted.groups.eq(Mux(dense.groups > blocks, blocks, dense.groups)),
        ]
        with m.If(self.header[:8] == Opcode.DENSE):
            m.d.comb += [
                wanted.dense.eq(1),
                wanted.settings.eq(0),
                *(wanted[name].eq(dense[name]) for name in ("address", "count")),
                wanted.words.address.eq(dense.source),
                wanted.words.count.eq(dense.words),
            ]
        return queue

    def _vectors(self, m: Module):
        """A VECTOR's way to its queue, which is returned, and a PRUNE's."""
        vector, queue = view(Vector, self.header), self.dispatcher.vectors
        connect_checked(m, self.dispatcher.vector, wiring.flipped(self.vector))
        wanted = queue.payload.fields.vector if self.config.prunes else queue.payload
        names = ("program", "instructions", "spans", "rows")
        m.d.comb += [wanted[name].eq(vector[name]) for name in names]
        for number, words in enumerate(wanted.streams):
            m.d.comb += [
                words.address.eq(vector[f"base_{number}"]),
                words.count.eq(vector[f"words_{number}"]),
            ]
        if self.config.prunes:
            m.d.comb += queue.payload.guarded.eq(self.header[BEHIND_WAITS])
            with m.If(self.header[:8] == Opcode.PRUNE):
                self._prune(m, queue.payload)
        return queue

    def _prune(self, m: Module, work):
        """The fields of a PRUNE."""
        prune, wanted = view(Prune, self.header), work.fields.prune
        split = {"words": ("source", "words"), "region": ("address", "room")}
        others = {*split, "held"}
        m.d.comb += [
            work.prunes.eq(1),
            work.guarded.eq(0),
            wanted.held.eq(self.header[BEHIND_WAITS]),
            *(wanted[n].eq(prune[n]) for n in PRUNE(self.config).members if n not in others),
        ]
        for name, (first, count) in split.items():
            m.d.comb += [
                wanted[name].address.eq(prune[first]),
                wanted[name].count.eq(prune[count]),
            ]

    def _copies(self, m: Module, write, read):
        """COPYs to the copy engine, and WRITEs and READs of external memory as such."""
        config, words, dispatcher = self.config, self.host_words, self.dispatcher
        m.submodules.host_words = words
        connect_checked(m, dispatcher.copy, wiring.flipped(self.copy))
        connect_checked(m, words.o, wiring.flipped(self.given))
        copy, queue = view(Copy, self.header), dispatcher.copies
        shift = config.stream_bytes.bit_length() - 1
        begins, asked = Signal(), queue.payload
        m.d.comb += [
            words.count.eq(write.count),
            words.i.payload.eq(self.i.payload),
            queue.valid.eq(begins),
            *(asked[name].eq(copy[name]) for name in COPY(config).members if name != "host"),
        ]
        for opcode, command in ((Opcode.WRITE, write), (Opcode.READ, read)):
            with m.If((self.header[:8] == opcode) & command.external):
                m.d.comb += [
                    asked.outward.eq(opcode == Opcode.WRITE),
                    asked.whole.eq(1),
                    asked.host.eq(1),
                    asked.line.eq(0),
                    asked.external.eq(command.address << shift),
                    asked.row_bytes.eq(command.count << shift),
                    asked.rows.eq(1),
                    begins.eq(self.begin),
                    self.begun.eq(queue.ready),
                ]
        with m.If((self.header[:8] == Opcode.WRITE) & write.external):
            # The words of the one before it have all been given.
            m.d.comb += [
                begins.eq(self.begin & words.free),
                self.begun.eq(queue.ready & words.free),
                words.start.eq(self.begin & self.begun),
                self.writer.start.eq(0),
                words.i.valid.eq(self.i.valid),
                self.i.ready.eq(words.i.ready),
                *(
                    getattr(self, name).eq(getattr(words, name))
                    for name in ("done", "ended", "bad_length")
                ),
            ]
        with m.If(self.header[:8] == Opcode.COPY):
            m.d.comb += [begins.eq(self.begin), self.begun.eq(queue.ready)]

    def _runs(self, m: Module):
        """A RUN goes to its queue; where its rows go, and what is read beside, to others."""
        config, dispatcher, outputs = self.config, self.dispatcher, self.outputs
        m.submodules.sides_ahead = sides = self.sides_ahead
        run = view(Run, self.header)
        group = run.offset >> config.group_bytes.bit_length() - 1
        room = run.groups - group
        place = Signal(PLACE(config))
        m.d.sync += [
            place.windows.eq(self._windows(run.destination, group, room, run.words, run.pitch)),
            place.pad.eq(run.pad),
            place.room.eq(Mux(room > config.store_groups, config.store_groups, room)),
            place.position.eq(run.offset >> config.store_bytes.bit_length() - 1),
            place.plane.eq(self.sides.output_plane),
        ]
        has_side = run.addend | run.mask
        free = (outputs.i.ready | ~run.finish) & (sides.i.ready | ~has_side)
        taken = self.runs.valid & dispatcher.runs.ready & free
        rows = times(run.row_blocks, config.tile_rows)
        is_raw = run.output == OutputFormat.RAW
        m.d.comb += [
            dispatcher.runs.valid.eq(self.runs.valid & free),
            dispatcher.runs.payload.eq(self.runs.payload),
            *(self._hold(dispatcher.runs.payload.hold) if config.training else ()),
            dispatcher.stores.eq(run.store),
            self.runs.ready.eq(dispatcher.runs.ready & free),
            outputs.i.valid.eq(taken & run.finish),
            outputs.i.payload.format.eq(run.output),
            outputs.i.payload.rows.eq(Mux(is_raw, rows * OutputFormat.RAW.limbs, rows)),
            outputs.i.payload.store.eq(run.store),
            outputs.i.payload.place.eq(place),
            sides.i.valid.eq(taken & has_side),
            sides.i.payload.eq(self._sides(m, run)),
        ]
        # What a RUN reads beside is in memory when it begins, and not before.
        begins = dispatcher.run.valid & dispatcher.run.ready
        mode = dispatcher.run.payload.mode
        begun = self.begun_sides != 0
        m.d.comb += [
            self.side.valid.eq(sides.o.valid & begun),
            self.side.payload.eq(sides.o.payload),
            sides.o.ready.eq(self.side.ready & begun),
        ]
        m.d.sync += self.begun_sides.eq(
            self.begun_sides
            + (begins & (mode.addend | mode.mask))
            - (self.side.valid & self.side.ready)
        )

    def _hold(self, hold) -> list:
        """What a RUN does with the indices that elements hold."""
        return [
            hold.held.eq(self.header[BEHIND_WAITS]),
            hold.takes.eq(self.header[BEHIND_WAITS + 1]),
            hold.base.eq(self.sides.held),
            hold.step.eq(self.sides.held_step),
        ]

    def _sides(self, m: Module, run) -> Signal:
        """What the RUN reads beside, as layouts.SIDE, a cycle later."""
        config, sides = self.config, self.sides
        side = Signal(SIDE(config))
        first, _ = first_places(config, m, run)
        m.d.sync += [
            side.windows.eq(times(run.row_blocks, config.rows // config.lanes)),
            side.addend.eq(run.addend),
            side.raw.eq(run.raw_addend),
            side.mask.eq(run.mask),
            side.format.eq(run.output),
            side.plane.eq(sides.addend_plane),
        ]
        addend = (sides.addend_offset, sides.addend_words, sides.addend_pitch, sides.addend_groups)
        mask = (sides.mask_offset, run.words, run.pitch, run.groups)
        mask_bits = Signal(6)
        with m.Switch(run.output):
            for output in ROUNDED:
                with m.Case(output):
                    m.d.comb += mask_bits.eq(output.result_bits)
        for operand, (offset, words, pitch, groups), bits in (
            (side.addends, addend, addend_bits(config, run)),
            (side.masks, mask, mask_bits),
        ):
            group, position = place_of(config, first, bits)
            room = groups - group
            base = moved(config, run, offset)
            m.d.sync += [
                operand.windows.eq(self._windows(base, group, room, words, pitch)),
                operand.room.eq(Mux(room > config.side_groups, config.side_groups, room)),
                operand.position.eq(position),
            ]
        return side

    def _windows(self, base, group, room, words, pitch):
        """The windows of a RUN in the words from `base` on, as layouts.WINDOWS: of each, those
        groups from `group` on for which there is `room`."""
        layout = WINDOWS(self.config)
        fields = {
            "start": (base + group) + times(pitch, self.config.rows // self.config.lanes - 1),
            "limit": base + (words - room),
            "pitch": pitch,
        }
        return layout(Cat(fields[name][: field.width] for name, field in layout))


def _same(to, of, layout: data.StructLayout) -> list:
    """Those fields of a command that a layout has."""
    return [to[name].eq(of[name]) for name in layout.members]
