"""The sequencer: takes commands off the host stream, checks them, and sees that each is answered.

    HEADER ─► CHECK ─► JUDGE ─► DECODE ─┬─► WAIT ─┬─► PAYLOAD ─┐
                                        │         ├─► channel  ├─► DISCARD ─► RESPOND ─► HEADER
                                        │         ├─► RUN      │  (to the packet's end)
                                        └─ error ─┴────────────┘

A malformed or impossible command changes nothing (of a payload that is refused, what was written
stays written), is answered with a status, and the next packet is taken as if nothing had been.
"""

from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..formats import OutputFormat
from ..isa.commands import (
    CHANNEL_ALL,
    HEADER_BYTES,
    HEADER_WORDS,
    Channel,
    Load,
    Opcode,
    Run,
    Status,
    Target,
)
from ..isa.maps import address_bits
from ..layouts import (
    HEADER,
    RELEASE,
    RELEASE_CHANNEL,
    RESPONSE,
    RUN,
    beat,
    channel_signature,
    connect_checked,
    write_signature,
)
from ..lib.crc import HeaderCrc
from ..lib.fifo import Fifo
from ..lib.pipeline import register, times
from .interlock import Interlock
from .payload import PayloadUnpacker

ANSWERS_AHEAD = 64
"""Commands that are done, or wait as RUNs, while a RUN before them still sends its rows."""


class Sequencer(wiring.Component):
    """Execute the command stream of `hw.isa.commands`.

    Latency: about 20 cycles from a header to what it asks for (its CRC is checked a halfword a
    cycle). Throughput: payloads one chunk a cycle. Stall rule: the stream waits while a LOAD or
    CHANNEL waits for its page, while the queue of RUNs is full, and while a SYNC waits.

    Members
    -------
    i : In stream of layouts.beat
    write, channel : Out, the buses to buffers and column outputs
    run : Out stream of layouts.RUN
    response : Out stream of layouts.RESPONSE, one a command, in order
    idle : In(1), no RUN is under way
    release : In({valid, pages}), a RUN has read its buffers
    release_channel : In({valid, page}), a finishing RUN's rows have left
    answered, errored : Out(1), pulses for the counters
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(beat(config))),
                "write": Out(write_signature(config)),
                "channel": Out(channel_signature(config)),
                "run": Out(stream.Signature(RUN(config))),
                "response": Out(stream.Signature(RESPONSE)),
                "idle": In(1),
                "release": In(RELEASE(config)),
                "release_channel": In(RELEASE_CHANNEL(config)),
                "answered": Out(1),
                "errored": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.crc = crc = HeaderCrc()
        m.submodules.unpacker = unpacker = PayloadUnpacker(config)
        m.submodules.interlock = interlock = Interlock(config, 2 * config.runs_ahead - 1)
        m.submodules.runs = runs = Fifo(RUN(config), config.queue(config.runs_ahead))
        m.submodules.responses = responses = Fifo(RESPONSE, config.queue(ANSWERS_AHEAD))
        connect_checked(m, runs.o, wiring.flipped(self.run))
        connect_checked(m, responses.o, wiring.flipped(self.response))
        connect_checked(m, unpacker.write, wiring.flipped(self.write))
        connect_checked(m, wiring.flipped(self.release), interlock.release)
        connect_checked(m, wiring.flipped(self.release_channel), interlock.release_channel)

        header = Signal(8 * HEADER_BYTES, reset_less=True)
        ended = Signal()
        status = Signal(Status)
        opcode, tag = header[:8], header[8:16]
        load, channel, asked = (_as(kind, header) for kind in (Load, Channel, Run))
        run = self._run_of(asked)
        every_column = channel.column == CHANNEL_ALL
        place = Signal(range(config.columns_per_epilogue))
        m.d.comb += [
            unpacker.target.eq(load.target),
            unpacker.address.eq(load.address),
            unpacker.count.eq(load.count),
            unpacker.i.payload.eq(self.i.payload),
            self.channel.all.eq(every_column),
            self.channel.column.eq(Mux(every_column, place, channel.column)),
            self.channel.channel.eq(channel.channel),
            self.channel.scale.eq(channel.scale),
            self.channel.exponent.eq(channel.exponent),
            self.channel.bias.eq(channel.bias),
            runs.i.payload.eq(run),
            responses.i.payload.opcode.eq(opcode),
            responses.i.payload.tag.eq(tag),
            responses.i.payload.status.eq(status),
            responses.i.payload.format.eq(run.mode.format),
        ]
        # Long before it is asked for: the product takes a cycle.
        rows = Signal.like(responses.i.payload.rows)
        m.d.comb += responses.i.payload.rows.eq(rows)
        m.d.sync += rows.eq(0)
        with m.If((opcode == Opcode.RUN) & (status == Status.OK) & run.mode.finish):
            m.d.sync += rows.eq(times(run.row_blocks, config.tile_rows))

        # What a command asks for, once its header is whole.
        problem = Signal(Status)
        self._judge(m, problem, (load, channel, asked), opcode, ended, crc.crc != header[-16:])
        # As the pages were a cycle ago. A page is taken long before the next command is judged.
        page_busy, channel_busy, full = Signal(), Signal(), Signal()
        top = {target: bits - 1 for target, bits in address_bits(config).items()}
        with m.Switch(load.target):
            for target, busy in (
                (Target.ACTIVATIONS, interlock.busy.activations),
                (Target.SCHEDULE, interlock.busy.schedule),
                (Target.INDICES, interlock.busy.weights),
                (Target.VALUES, interlock.busy.weights),
            ):
                with m.Case(target):
                    m.d.sync += page_busy.eq(busy.bit_select(load.address[top[target]], 1))
        m.d.sync += [
            channel_busy.eq(
                interlock.busy.channel.bit_select(self._channel_page(channel.channel), 1)
            ),
            full.eq(interlock.full),
        ]
        m.d.comb += [
            interlock.acquire.pages.activations.eq(run.activation_base[top[Target.ACTIVATIONS]]),
            interlock.acquire.pages.weights.eq(run.slot_base[top[Target.VALUES]]),
            interlock.acquire.pages.schedule.eq(run.schedule_base[top[Target.SCHEDULE]]),
            interlock.acquire.pages.channel.eq(run.mode.channel_page),
            interlock.acquire.channel.eq(run.mode.finish),
        ]

        beats = Signal(range(config.header_beats))
        halfwords = Signal(range(HEADER_WORDS))
        m.d.comb += crc.halfword.eq(header[:16])
        with m.FSM() as fsm:
            with m.State("HEADER"):
                m.d.comb += [self.i.ready.eq(1), crc.clear.eq(1)]
                m.d.sync += rows.eq(0)
                with m.If(self.i.valid):
                    kept = self.i.payload.data[: 8 * HEADER_BYTES]
                    m.d.sync += [
                        header.eq(Cat(header[len(kept) :], kept)),
                        ended.eq(self.i.payload.last),
                        beats.eq(beats + 1),
                        halfwords.eq(0),
                    ]
                    with m.If(beats == config.header_beats - 1):
                        m.d.sync += beats.eq(0)
                        m.next = "CHECK"
                    with m.Elif(self.i.payload.last):
                        # Too short to have a tag; what came of it is answered as it stands.
                        m.d.sync += [
                            beats.eq(0),
                            status.eq(Status.BAD_LENGTH),
                            header.eq(0),
                        ]
                        m.next = "RESPOND"
            with m.State("CHECK"):
                # A full turn of the header past the CRC leaves it as it was.
                m.d.sync += [
                    header.eq(Cat(header[16:], header[:16])),
                    halfwords.eq(halfwords + 1),
                ]
                m.d.comb += crc.valid.eq(halfwords != HEADER_WORDS - 1)
                with m.If(halfwords == HEADER_WORDS - 1):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                m.next = "DECODE"
            with m.State("DECODE"):
                m.d.sync += status.eq(problem)
                m.next = "WAIT"
                with m.If(problem != Status.OK):
                    m.next = "DISCARD"
            with m.State("WAIT"), m.Switch(opcode):
                with m.Case(Opcode.LOAD), m.If(~page_busy):
                    m.d.comb += unpacker.start.eq(1)
                    m.next = "PAYLOAD"
                with m.Case(Opcode.CHANNEL):
                    with m.If(~channel_busy):
                        # An epilogue's columns share a memory: one of them a cycle.
                        m.d.comb += self.channel.valid.eq(1)
                        m.d.sync += place.eq(place + every_column)
                        with m.If(~every_column | (place == config.columns_per_epilogue - 1)):
                            m.d.sync += place.eq(0)
                            m.next = "RESPOND"
                with m.Case(Opcode.RUN):
                    m.d.comb += [
                        runs.i.valid.eq(~full),
                        interlock.acquire.valid.eq(runs.i.valid & runs.i.ready),
                    ]
                    with m.If(interlock.acquire.valid):
                        m.next = "RESPOND"
                with m.Case(Opcode.SYNC), m.If(self.idle & ~runs.o.valid):
                    m.next = "RESPOND"
            with m.State("PAYLOAD"):
                m.d.comb += [
                    unpacker.i.valid.eq(self.i.valid),
                    self.i.ready.eq(unpacker.i.ready),
                ]
                with m.If(unpacker.done):
                    m.d.sync += ended.eq(unpacker.ended)
                    with m.If(unpacker.bad_length):
                        m.d.sync += status.eq(Status.BAD_LENGTH)
                    with m.Elif(unpacker.bad_schedule):
                        m.d.sync += status.eq(Status.BAD_SCHEDULE)
                    m.next = "DISCARD"
            with m.State("DISCARD"):
                m.d.comb += self.i.ready.eq(~ended)
                with m.If(self.i.valid & self.i.payload.last):
                    m.d.sync += ended.eq(1)
                with m.If(ended):
                    m.next = "RESPOND"
            with m.State("RESPOND"):
                m.d.comb += responses.i.valid.eq(1)
                with m.If(responses.i.ready):
                    m.d.comb += [
                        self.answered.eq(1),
                        self.errored.eq(status != Status.OK),
                    ]
                    m.next = "HEADER"
        self.inside = SimpleNamespace(
            fsm=fsm,
            header=header,
            ended=ended,
            status=status,
            beats=beats,
            halfwords=halfwords,
            place=place,
            page_busy=page_busy,
            channel_busy=channel_busy,
            full=full,
            interlock=interlock,
            unpacker=unpacker,
            runs=runs,
            responses=responses,
        )
        """What its proof has to speak of."""
        return m

    def _run_of(self, asked):
        """A RUN's header as layouts.RUN, which has as many bits of a page as there are."""
        layout = RUN(self.config)
        mode = (asked.finish, asked.relu, asked.output, asked.channel_page[: self._page_bits])
        where = (getattr(asked, name) for name in layout.members if name != "mode")
        return layout(Cat(*mode, *where))

    @property
    def _page_bits(self) -> int:
        """Width of a page of channel settings."""
        return (self.config.channel_pages - 1).bit_length()

    def _channel_page(self, channel):
        """The page of a channel that exists: its number divided by T, rounded down."""
        contexts, pages = self.config.interleave, self.config.channel_pages
        if contexts & (contexts - 1):
            return sum(channel >= page * contexts for page in range(1, pages))
        return channel[contexts.bit_length() - 1 :][: self._page_bits]

    def _judge(self, m: Module, problem, asked, opcode, ended, bad_check):
        """Set `problem`, a cycle late, to the first thing that is wrong with the command."""
        load, channel, run = asked
        found = register(
            m,
            "found",
            {
                "check": bad_check,
                "load": self._load_outside(m, load),
                "channel": self._channel_outside(channel),
                "run": self._run_outside(run),
                "field": self._run_wrong(run),
            },
        )
        with m.If(found["check"]):
            m.d.comb += problem.eq(Status.BAD_CHECK)
        # A later assignment is the graver problem.
        with m.Else(), m.Switch(opcode):
            with m.Case(Opcode.LOAD):
                with m.If(load.target > max(Target)):
                    m.d.comb += problem.eq(Status.BAD_TARGET)
                with m.If(found["load"]):
                    m.d.comb += problem.eq(Status.BAD_ADDRESS)
                with m.If(ended):
                    m.d.comb += problem.eq(Status.BAD_LENGTH)
            with m.Case(Opcode.CHANNEL):
                with m.If(found["channel"]):
                    m.d.comb += problem.eq(Status.BAD_ADDRESS)
                with m.If(~ended):
                    m.d.comb += problem.eq(Status.BAD_LENGTH)
            with m.Case(Opcode.RUN):
                with m.If(found["run"]):
                    m.d.comb += problem.eq(Status.BAD_ADDRESS)
                with m.If(found["field"]):
                    m.d.comb += problem.eq(Status.BAD_FIELD)
                with m.If(~ended):
                    m.d.comb += problem.eq(Status.BAD_LENGTH)
            with m.Case(Opcode.SYNC), m.If(~ended):
                m.d.comb += problem.eq(Status.BAD_LENGTH)
            with m.Default():
                m.d.comb += problem.eq(Status.BAD_OPCODE)

    def _load_outside(self, m: Module, load):
        """A LOAD reaches beyond its page; never for a target that there is not."""
        outside = Signal()
        with m.Switch(load.target):
            for target, bits in address_bits(self.config).items():
                with m.Case(target):
                    depth = 1 << (bits - 1)
                    m.d.comb += outside.eq(
                        (load.address >= 2 * depth)
                        | (load.count == 0)
                        | (load.address[: bits - 1] + load.count > depth)
                    )
        return outside

    def _channel_outside(self, channel):
        """There is no such channel, or column."""
        column = channel.column
        return ((column >= self.config.columns) & (column != CHANNEL_ALL)) | (
            channel.channel >= self.config.channels
        )

    def _run_outside(self, run):
        """A RUN begins outside a buffer, or its records leave their page."""
        base, depth = run.schedule_base, self.config.schedule_records
        return (
            (run.activation_base >= 2 * self.config.activation_groups)
            | (run.slot_base >= 2 * self.config.weight_slots)
            | (base >= 2 * depth)
            | (base[: depth.bit_length() - 1] + run.schedule_count > depth)
        )

    def _run_wrong(self, run):
        """A RUN wants a page or a format that there is not, or it has nothing to do."""
        return (
            (run.channel_page[self._page_bits :] != 0)
            | (run.output > max(OutputFormat))
            | (run.row_blocks == 0)
            | (run.schedule_count == 0)
            | (~run.finish & (run.row_blocks != 1))
        )


def _as(kind, bits):
    """A header's `bits` as the fields of a command of `kind`."""
    layout = HEADER(kind)
    return data.View(layout, bits[: layout.size])
