"""The response writer: packets put together again, whole, in order, nothing lost or doubled."""

import random
import struct
from binascii import crc_hqx
from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.formats import OutputFormat
from ...hw.isa.commands import HEADER_BYTES
from .common import Sink, Source, configuration, generator, join, start, until


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
    words = deque()  # (address, words) of the READs that are on their way
    if config.tensor_words:
        beats_in = Source(dut, "beats")
        dut.words__ready.value = 1

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
    sent = []
    for i in range(120):
        response = {
            "opcode": random.getrandbits(8),
            "tag": random.getrandbits(8),
            "status": random.getrandbits(16),
            "rows": random.choice((0, 0, 1, 2, random.randrange(3, 12))),
            "format": int(random.choice(list(OutputFormat))),
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
            coming.extend(rows)
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
    assert (rows_taken, rows_sent) == (total, total)
