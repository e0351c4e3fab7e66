"""A microprogram on its way from tensor memory into the vector unit."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers.bank import Bank
from ..config import Config
from ..isa.vector import (
    AXES,
    FIELDS,
    INSTRUCTION_BYTES,
    MOST_INSTRUCTIONS,
    MOST_ROWS,
    MOVES_BIT,
    SERVES_ALL,
    STREAMS,
    Op,
    sizes,
)
from ..isa.vector import SETUP as OF_SETUP
from ..layouts.tensor import READ_PORT, WORDS
from ..lib.connect import connect_checked
from ..tensor.beats import BeatReader
from .addresses import SETUP
from .walk import SHAPE

INSTRUCTION = data.StructLayout(FIELDS)


class Program(wiring.Component):
    """Fetch a program, keep its instructions, and carry out those that set it up.

    Latency: 5 cycles to its first instruction. Throughput: an instruction a cycle and no more than
    a word a cycle. Stall rule: waits for the memory.

    Members
    -------
    words : In stream of layouts.WORDS, where a program lies
    instructions : In, how many it has; constant while it is fetched
    spans : In(16), of a row
    port : Out(layouts.READ_PORT)
    fetched : Out(1), pulses when all of it has come; from the next cycle on the others are right
    bad : Out(1), there is an instruction that nobody knows
    length : Out, how many instructions are kept
    shape : Out(walk.SHAPE)
    setup : Out(addresses.SETUP) for each stream
    address : In, of the instruction that comes as `instruction` a cycle later, and stays
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "words": In(stream.Signature(WORDS(config))),
                "instructions": In(range(MOST_INSTRUCTIONS + 1)),
                "spans": In(16),
                "port": Out(READ_PORT(config)),
                "fetched": Out(1),
                "bad": Out(1),
                "length": Out(range(MOST_INSTRUCTIONS + 1)),
                "shape": Out(SHAPE),
                "setup": Out(data.ArrayLayout(SETUP(), STREAMS)),
                "address": In(range(MOST_INSTRUCTIONS)),
                "instruction": Out(INSTRUCTION),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.bank = memory = Bank(8 * INSTRUCTION_BYTES, MOST_INSTRUCTIONS)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        m.d.comb += [
            reader.words.payload.eq(self.words.payload),
            reader.words.valid.eq(self.words.valid),
            self.words.ready.eq(reader.words.ready),
            memory.read_en.eq(1),
            memory.read_address.eq(self.address),
            self.instruction.eq(memory.read_data),
        ]
        # An instruction a cycle, from one of a word's places after another.
        places = config.stream_bytes // INSTRUCTION_BYTES
        place, count = Signal(range(places)), Signal(range(MOST_INSTRUCTIONS + 1))
        came, there, last = Signal(INSTRUCTION, reset_less=True), Signal(), Signal()
        m.d.comb += [
            last.eq(count + 1 == self.instructions),
            reader.o.ready.eq((place == places - 1) | last),
        ]
        m.d.sync += [there.eq(reader.o.valid), self.fetched.eq(reader.o.valid & last)]
        with m.If(reader.o.valid):
            m.d.sync += [
                came.eq(reader.o.payload.data.word_select(place, 8 * INSTRUCTION_BYTES)),
                place.eq(Mux(reader.o.ready, 0, place + 1)),
                count.eq(Mux(last, 0, count + 1)),
            ]
        self._set_up(m, there, came)
        ours = Cat(came.op == op for op in OF_SETUP).any()
        keep = there & ~ours
        m.d.comb += [
            memory.write_en.eq(keep),
            memory.write_address.eq(self.length),
            memory.write_data.eq(came),
        ]
        with m.If(keep):
            m.d.sync += self.length.eq(self.length + 1)
        with m.If(there & self._unknown(came)):
            m.d.sync += self.bad.eq(1)
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += [self.length.eq(0), self.bad.eq(0)]
        return m

    def _unknown(self, came):
        """There is no such operation, axis, exchange or size, or not with a stream's operand."""
        known = Cat(came.op == op for op in Op).any()
        axes = Mux(came.op == Op.STEP, AXES, self.config.group.bit_length())
        size = Cat(came.value[:16] == size for size in sizes(self.config)).any()
        streams = came.from_stream + came.to_stream > ~came.op[MOVES_BIT]
        return ~known | streams | (came.exchange >= axes) | ((came.op == Op.SIZE) & ~size)

    def _set_up(self, m: Module, there, came):
        """What an instruction says of the way through the rows."""
        first = (sizes(self.config)[0] - 1).bit_length()
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += [
                self.shape.last_column.eq(MOST_ROWS - 1),
                self.shape.last_line.eq(MOST_ROWS - 1),
            ]
            for setup in self.setup:
                m.d.sync += [setup.eq(0), setup.size.eq(first)]
                m.d.sync += [step.eq(1) for step in setup.steps]
        m.d.sync += self.shape.last_span.eq(self.spans - 1)
        with m.If(there & (came.op == Op.COLUMNS)):
            m.d.sync += self.shape.last_column.eq(came.value - 1)
        with m.If(there & (came.op == Op.LINES)):
            m.d.sync += self.shape.last_line.eq(came.value - 1)
        for number, setup in enumerate(self.setup):
            with m.If(there & (came.stream == number)), m.Switch(came.op):
                with m.Case(Op.PITCH):
                    m.d.sync += setup.pitch.eq(came.value)
                with m.Case(Op.SIZE):
                    m.d.sync += [
                        setup.size.eq(came.value[1:3]),
                        setup.serves_all.eq(came.value[SERVES_ALL.bit_length() - 1]),
                    ]
                with m.Case(Op.STEP):
                    for axis, step in enumerate(setup.steps):
                        with m.If(came.exchange == axis):
                            m.d.sync += step.eq(came.value)
