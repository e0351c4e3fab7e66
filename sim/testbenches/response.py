"""Row reader and response writer: packets put together again, whole, in order, nothing lost or
doubled; and rows for tensor memory between them."""

import random
import struct
from binascii import crc_hqx
from collections import deque

import cocotb
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from ...hw.config import HEADER_BYTES, Config
from ...hw.control.response import ResponseWriter
from ...hw.formats import ROUNDED, OutputFormat
from ...hw.layouts.output import OUTPUT, ROW
from ...hw.layouts.stream import RESPONSE, beat
from ...hw.layouts.tensor import WORDS
from ...hw.lib.connect import connect_checked
from ...hw.output.row_reader import RowReader
from .common import Sink, Source, configuration, generator, join, start, until


class Answers(wiring.Component):
    """The device under test: both, as in the core."""

    def __init__(self, config: Config):
        self.config = config
        memory = {
            "words": Out(stream.Signature(WORDS(config))),
            "beats": In(stream.Signature(beat(config))),
            "wanted": In(stream.Signature(OUTPUT(config))),
            "memory": Out(ROW(config)),
            "run": Out(OUTPUT(config)),
            "sums_left": Out(1),
        }
        super().__init__(
            {
                "response": In(stream.Signature(RESPONSE(config))),
                "row_there": In(1),
                "columns": In(32).array(config.columns),
                "row_taken": Out(1),
                "flags": In(8),
                "o": Out(stream.Signature(beat(config))),
                "last_output": Out(1),
            }
            | (memory if config.tensor_words else {})
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = RowReader(self.config)
        m.submodules.writer = writer = ResponseWriter(self.config)
        connect_checked(m, rows.host, writer.row)
        connect_checked(m, wiring.flipped(self.response), writer.response)
        connect_checked(m, writer.o, wiring.flipped(self.o))
        m.d.comb += [
            rows.row_there.eq(self.row_there),
            self.row_taken.eq(rows.row_taken),
            writer.flags.eq(self.flags),
            self.last_output.eq(writer.last_output),
            *(to.eq(value) for to, value in zip(rows.columns, self.columns, strict=True)),
        ]
        if self.config.tensor_words:
            connect_checked(m, writer.words, wiring.flipped(self.words))
            connect_checked(m, wiring.flipped(self.beats), writer.beats)
            connect_checked(m, wiring.flipped(self.wanted), rows.wanted)
            connect_checked(m, rows.memory, wiring.flipped(self.memory))
            m.d.comb += [self.run.eq(rows.run), self.sums_left.eq(rows.sums_left)]
        else:
            connect_checked(m, writer.wanted, rows.wanted)
        return m


def packet(config, response: dict[str, int], flags: int, rows: list) -> list[int]:
    """The beats of a response, `last` above the data; `rows` of outputs, or words of memory."""
    head = struct.pack(
        "<BBHIH20x",
        response["opcode"],
        response["tag"],
        response["status"],
        response["rows"],
        flags,
    )
    head += struct.pack("<H", crc_hqx(head, 0xFFFF))
    width = config.stream_bytes
    output = OutputFormat(response["format"])
    lines = [head + bytes(-HEADER_BYTES % width)]
    for row in rows:
        if response.get("memory"):
            lines.append(row.to_bytes(width, "little"))
            continue
        line = join(row, 8 * output.bytes).to_bytes(output.bytes * config.columns, "little")
        lines.append(line + bytes(-len(line) % width))
    data = b"".join(lines)
    beats = [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]
    beats[-1] |= 1 << (8 * width)
    return beats


@cocotb.test()
async def packets(dut):
    config = configuration()
    generator()
    await start(dut, "flags", "row_there")
    responses = Source(dut, "response")
    sink = Sink(dut, "o", 0.4)
    seen_flags, rows_taken, rows_sent = [], 0, 0
    coming, there, pause = [], [], 0.4
    lasts = deque()  # of the rows that come, whether they are the last of their sums
    words = deque()  # (address, words) of the READs that are on their way
    stored = deque()  # rows for tensor memory: data, format, place, whether it is its RUN's last
    if config.tensor_words:
        beats_in, wanted = Source(dut, "beats"), Source(dut, "wanted", 0.1)
        dut.words__ready.value = 1

    head = 3 + ((1 << 18) * config.tile_rows - 1).bit_length()  # bits before a RUN's place

    def outputs(output: OutputFormat, rows: list, store: bool):
        """Tell the reader of a RUN's rows; some are for tensor memory."""
        place = random.getrandbits(200) if store else 0
        word = int(output) | len(rows) << 2 | store << head - 1 | place << head
        word &= (1 << len(dut.wanted__payload)) - 1
        wanted.queue.append(word)
        coming.extend(rows)
        lasts.extend(output is not OutputFormat.RAW or n % 4 == 3 for n in range(len(rows)))
        for number, row in enumerate(rows if store else ()):
            data = join(row, {0: 32, 1: 16, 2: 8, 3: 32}[output])
            stored.append((data, word & 3, word >> head, number == len(rows) - 1))

    async def memory_side():
        """Take rows for tensor memory; whether the next one is taken is known a cycle ahead."""
        go = 0
        while True:
            dut.memory__go.value = go
            dut.memory__go_next.value = go_next = random.random() >= sink.pause
            await RisingEdge(dut.clk)
            if go and int(dut.memory__valid.value):
                data, output, place, final = stored.popleft()
                bits = {0: 32, 1: 16, 2: 8, 3: 32}[output] * config.columns
                assert int(dut.memory__data.value) & (1 << bits) - 1 == data
                assert int(dut.memory__final.value) == final and int(dut.memory__last.value)
                run = int(dut.run.value)
                assert run & 3 == output and run >> head == place
            go = go_next

    def show():
        """The row that is next; once it is taken, what comes after it."""
        for c in range(config.columns):
            value = there[0][c] if there else random.getrandbits(32)
            getattr(dut, f"columns__{c}").value = value

    async def rows_arrive():
        while True:
            dut.row_there.value = arrives = bool(coming) and random.random() >= pause
            await RisingEdge(dut.clk)
            if int(dut.row_taken.value):
                there.pop(0)
            if config.tensor_words:
                left = int(dut.row_taken.value) and lasts.popleft()
                assert int(dut.sums_left.value) == left
            if arrives:
                there.append(coming.pop(0))
            show()

    async def watch():
        """The flags that a header must carry are those of the cycle that took the response."""
        nonlocal rows_taken, rows_sent
        while True:
            await RisingEdge(dut.clk)
            if int(dut.response__valid.value) and int(dut.response__ready.value):
                seen_flags.append(int(dut.flags.value))
            rows_taken += int(dut.row_taken.value)
            rows_sent += int(dut.last_output.value)
            if config.tensor_words and int(dut.words__valid.value):
                address, data = words.popleft()
                assert not beats_in.queue, "asked for before all that it asked for had come"
                bits = (config.tensor_words - 1).bit_length()
                assert int(dut.words__payload.value) == address | len(data) << bits
                for number, word in enumerate(data):
                    last = number == len(data) - 1
                    beats_in.queue.append(word | last << 8 * config.stream_bytes)
            dut.flags.value = random.getrandbits(8)

    cocotb.start_soon(rows_arrive())
    cocotb.start_soon(watch())
    if config.tensor_words:
        cocotb.start_soon(memory_side())
    sent, for_memory = [], 0
    for i in range(120):
        response = {
            "opcode": random.getrandbits(8),
            "tag": random.getrandbits(8),
            "status": random.getrandbits(16),
            "rows": random.choice((0, 0, 1, 2, random.randrange(3, 12))),
            "format": int(random.choice(ROUNDED)),
        }
        if config.tensor_words:
            memory = response["rows"] > 0 and random.random() < 0.4
            address = random.randrange(config.tensor_words)
            response |= {"memory": int(memory), "address": address}
        if response.get("memory"):
            rows = [random.getrandbits(8 * config.stream_bytes) for _ in range(response["rows"])]
            words.append((response["address"], rows))
        else:
            rows = [
                [random.getrandbits(32) for _ in range(config.columns)]
                for _ in range(response["rows"])
            ]
            if not config.tensor_words:
                coming.extend(rows)
            elif rows:
                outputs(OutputFormat(response["format"]), rows, False)
        if config.tensor_words and random.random() < 0.4:
            output = random.choice(list(OutputFormat))
            count = random.choice((1, 2, random.randrange(3, 12)))
            count *= 4 if output is OutputFormat.RAW else 1
            some = [[random.getrandbits(32) for _ in range(config.columns)] for _ in range(count)]
            outputs(output, some, True)
            for_memory += len(some)
        sent.append((response, rows))
        word, at = 0, 0
        for value, width in zip(response.values(), (8, 8, 16, 32, 2, 1, 32), strict=False):
            word |= value << at
            at += width
        responses.queue.append(word)
        if i % 20 == 0:
            # Long silences of either side, and none at all.
            pause, sink.pause = random.choice(((0.95, 0), (0, 0.95), (0, 0), (0.3, 0.3)))
            responses.pause = random.choice((0, 0.5))
            if config.tensor_words:
                beats_in.pause = random.choice((0, 0.5))
            await until(dut.clk, lambda: not responses.queue, 20_000, "responses")

    def beats():
        return sum(
            config.header_beats
            + r["rows"] * (r.get("memory") or config.row_beats(OutputFormat(r["format"])))
            for r, _ in sent
        )

    await until(dut.clk, lambda: len(sink.received) >= beats(), 60_000, "the last beat")
    await until(dut.clk, lambda: not stored, 2000, "the rows for tensor memory")
    for _ in range(50):
        await RisingEdge(dut.clk)
    expected = [
        beat
        for (response, rows), flags in zip(sent, seen_flags, strict=True)
        for beat in packet(config, response, flags, rows)
    ]
    assert len(sink.received) == len(expected)
    for number, (got, want) in enumerate(zip(sink.received, expected, strict=True)):
        assert got == want, f"beat {number}: {got:#x}, not {want:#x}"
    total = sum(response["rows"] for response, _ in sent if not response.get("memory"))
    assert (rows_taken, rows_sent) == (total + for_memory, total)
