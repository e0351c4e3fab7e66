"""The sequencer: commands good and bad in; writes, column settings, RUNs and responses out.

Statuses are those of the golden model; what goes out on the buses is read off the packets. The
testbench plays the array: it takes RUNs, holds their pages for a while, and lets them go.
"""

import random
import struct
from binascii import crc_hqx

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.isa.codes import Opcode, Status, Target
from ...hw.isa.commands import ColumnSettings, Load, Sync
from ...hw.isa.descriptors import Fill
from ...hw.isa.host_stream import packet_of
from ...hw.isa.maps import address_bits
from . import traffic
from .common import configuration, generator, start, until
from .host_traffic import payload_bits
from .sequencer_bench import WORDS, Bench, run_in
from .sequencer_engines import Command


async def opened(dut, pause: float, hold: int):
    """A bench of the device after its reset, with nothing under way, and this run's numbers."""
    config, rng = configuration(), generator()
    await start(dut, "release__valid", "release_settings__valid")
    dut.idle.value = 1
    return Bench(dut, config, pause, hold), config, rng


@cocotb.test()
async def random_commands(dut):
    bench, config, rng = await opened(dut, 0.3, 60)
    for _ in range(6):
        bench.source.pause, bench.runs.pause, bench.responses.pause = random.choice(
            ((0, 0, 0), (0.3, 0.3, 0.3), (0, 0.9, 0), (0, 0, 0.95), (0.7, 0, 0))
        )
        bench.hold = random.choice((2, 60, 300))
        for _ in range(150):
            bench.send(traffic.command(config, rng))
        await bench.finish()
    assert {command.status for command in bench.commands} == set(Status)
    if config.tensor_words:
        # FILLs, ROWS and RUNs have waited, for several engines.
        waited, awaited = map(set, zip(*bench.states.seen, strict=True))
        assert waited == {0, 1, 2} and len(awaited) > 2


@cocotb.test()
async def a_queue_that_is_full(dut):
    """A command that finds no room says whose queue it waits for, until its engine goes on."""
    bench, config, _ = await opened(dut, 0, 2)
    if not config.tensor_words:
        return
    bench.movers[0].pause = 1
    for _ in range(12):
        bench.send(packet_of(config, Fill(Target.SCHEDULE, 0, config.stream_bytes, 0, 1)))
    for _ in range(400):
        await RisingEdge(dut.clk)
    assert bench.states.full[0] > 100
    bench.movers[0].pause = 0
    await bench.finish()
    assert not bench.states.full[1] and not bench.states.full[2]


@cocotb.test()
async def pages_under_a_run(dut):
    """A LOAD or SETTINGS waits for a page that a RUN holds, and for no other."""
    bench, config, _ = await opened(dut, 0, 2)
    sizes = payload_bits(config)

    def change(kind, page: int) -> Command:
        if kind == "settings":
            return bench.send(
                packet_of(config, ColumnSettings(0, page * config.interleave, 1, 0, 0))
            )
        depth = 1 << (address_bits(config)[kind] - 1)
        return bench.send(
            packet_of(config, Load(kind, page * depth, 1), bytes(-(-sizes[kind] // 8)))
        )

    for kind in (*Target, "settings"):
        pages = config.settings_pages if kind == "settings" else 2
        for page in range(pages):
            bench.held = True
            bench.send(run_in(config, page % 2, page))
            change(kind, (page + 1) % pages)
            answers = bench.answers
            await until(
                dut.clk,
                lambda n=answers: len(bench.responses.received) == n,
                300,
                f"a change of {kind}'s other page",
            )
            change(kind, page)
            for _ in range(200):
                await RisingEdge(dut.clk)
            # `_free` has failed by now if it was changed all the same.
            assert len(bench.responses.received) == answers
            bench.held = False
            await bench.finish()


@cocotb.test()
async def sync_waits(dut):
    """A SYNC is answered neither while a RUN is queued nor while one is under way."""
    bench, config, _ = await opened(dut, 0, 2)

    async def silence(waiting):
        for _ in range(200):
            await RisingEdge(dut.clk)
        assert len(bench.responses.received) == bench.answers - waiting

    for _ in range(3):
        bench.runs.pause, bench.held = 1, True
        bench.send(run_in(config, 0, 0))
        bench.send(packet_of(config, Sync()))
        # Without a queue the RUN itself waits.
        await silence(waiting=2 if config.compact else 1)
        bench.runs.pause = 0
        await silence(waiting=1)
        bench.held = False
        await bench.finish()


def head(config, opcode: int, *fields: int) -> bytes:
    """A command's header, whole beats of it."""
    body = struct.pack("<15H", opcode | 0x5A00, *fields, *[0] * (14 - len(fields)))
    return (body + struct.pack("<H", crc_hqx(body, 0xFFFF))).ljust(
        config.header_beats * config.stream_bytes, b"\0"
    )


def faulty(config) -> dict[str, tuple[bytes, Status]]:
    """Commands with two faults and more, and how each is answered: by the one that is named first
    here. The check; the opcode; the length of what has a payload, or rows or words in its answer;
    then, of a LOAD, that its target does not exist, where it writes, how long its payload is, what
    records that holds; of a RUN its fields, then its addresses. What follows is another command.
    """
    load, settings, run, sync, *_ = (int(opcode) for opcode in Opcode)
    nowhere, more = 0xFFF0, bytes(config.stream_bytes)
    # Fields of a RUN: mode, activation base, stride, row blocks, slot base, schedule base, count.
    good, mode = (1, 0, 0, 1, 0, 0, 1), 1 << 15
    records = min(2 * config.stream_bytes, config.schedule_records)
    bad_records = bytes([config.group + 1] * records)
    damaged = bytearray(head(config, 99, nowhere))
    damaged[4] ^= 1
    damaged_run = bytearray(head(config, run, mode, *good[1:]))
    damaged_run[9] ^= 4
    cases = {
        "check, opcode": (bytes(damaged), Status.BAD_CHECK),
        "check, opcode, length": (bytes(damaged) + more, Status.BAD_CHECK),
        "check, field": (bytes(damaged_run), Status.BAD_CHECK),
        "opcode, length": (head(config, 99) + more, Status.BAD_OPCODE),
        "LOAD: length, target": (head(config, load, 9, 0, 1), Status.BAD_LENGTH),
        "LOAD: length, address": (head(config, load, 0, nowhere, 1), Status.BAD_LENGTH),
        "LOAD: length, count": (head(config, load, 0, 0, 0), Status.BAD_LENGTH),
        "LOAD: target, address": (head(config, load, 9, nowhere, 1) + more, Status.BAD_TARGET),
        "LOAD: target, count": (head(config, load, 4, 0, 0) + more, Status.BAD_TARGET),
        "LOAD: address, payload": (head(config, load, 1, nowhere, 99) + more, Status.BAD_ADDRESS),
        "LOAD: long, records": (
            head(config, load, 1, 0, records) + bad_records + more,
            Status.BAD_LENGTH,
        ),
        "SETTINGS: column, next": (head(config, settings, 999, 0) + more, Status.BAD_ADDRESS),
        "SETTINGS: entry, next": (head(config, settings, 0, 999) + more, Status.BAD_ADDRESS),
        "SETTINGS: column, entry": (head(config, settings, 999, 999), Status.BAD_ADDRESS),
        "RUN: length, field": (head(config, run, mode | 1, *good[1:]) + more, Status.BAD_LENGTH),
        "RUN: field, next": (head(config, run, mode, *good[1:]) + more, Status.BAD_FIELD),
        "RUN: stores nothing, address": (
            head(config, run, 1 | 1 << 4, nowhere, *good[2:]) + more,
            Status.BAD_FIELD,
        ),
        "RUN: length, address": (
            head(config, run, 1, nowhere, *good[2:]) + more,
            Status.BAD_LENGTH,
        ),
        "RUN: mode, address": (head(config, run, mode, nowhere, *good[2:]), Status.BAD_FIELD),
        "RUN: nothing to do, records": (
            head(config, run, *good[:5], nowhere, 0),
            Status.BAD_FIELD,
        ),
        "RUN: no blocks, slots": (head(config, run, 1, 0, 0, 0, nowhere, 0, 1), Status.BAD_FIELD),
        "SYNC, less than a header": (
            head(config, sync) + more,
            Status.BAD_LENGTH if config.header_beats > 1 else Status.BAD_CHECK,
        ),
    }
    if size := config.tensor_words:
        write, read = int(Opcode.WRITE), int(Opcode.READ)
        outside = (size, 0, 1, 0)
        cases |= {
            "WRITE: length, address": (head(config, write, *outside), Status.BAD_LENGTH),
            "WRITE: address, payload": (
                head(config, write, size - 1, 0, 2, 0) + more,
                Status.BAD_ADDRESS,
            ),
            "WRITE: high address": (head(config, write, 0, 1, 1, 0) + more, Status.BAD_ADDRESS),
            "READ: length, address": (head(config, read, *outside) + more, Status.BAD_LENGTH),
            "READ: high count": (head(config, read, 0, 0, 1, 1), Status.BAD_ADDRESS),
            "READ: nothing": (head(config, read, 0, 0, 0, 0), Status.BAD_ADDRESS),
        }
    else:
        cases["no WRITE"] = (head(config, 5, 0, 0, 1, 0) + more, Status.BAD_OPCODE)
    if records > config.stream_bytes:
        short = head(config, load, 1, 0, records) + bad_records[: config.stream_bytes]
        cases["LOAD: short, records"] = (short, Status.BAD_LENGTH)
    return cases


@cocotb.test()
async def two_faults_in_one_command(dut):
    """The graver is answered, by the model too, and the command after it as if nothing had been."""
    bench, config, _ = await opened(dut, 0.1, 2)
    cases = faulty(config)
    for name, (packet, status) in random.sample(list(cases.items()), len(cases)):
        assert bench.send(packet).status is status, name
        assert bench.send(packet_of(config, Sync())).good
    await bench.finish()
    got = {payload >> 16 & 0xFFFF for payload in bench.responses.received}
    assert got == {0, *(int(status) for _, status in cases.values())}


@cocotb.test()
async def a_bad_record_among_good_ones(dut):
    """Wherever it is, the LOAD is refused; the next LOAD is judged by its own records."""
    bench, config, _ = await opened(dut, 0, 2)
    records = min(2 * config.stream_bytes, config.schedule_records)
    for bad in range(records):
        payload = bytearray([config.group] * records)
        for status in (Status.OK, Status.BAD_SCHEDULE, Status.OK):
            payload[bad] = config.group + (status is Status.BAD_SCHEDULE)
            packet = packet_of(config, Load(Target.SCHEDULE, 0, records), bytes(payload))
            assert bench.send(packet).status is status
    await bench.finish()


@cocotb.test()
async def more_rows_than_a_halfword_counts(dut):
    """The answer to the longest RUN counts all its rows."""
    bench, config, _ = await opened(dut, 0, 2)
    for blocks in (0xFFFF // config.tile_rows + 1, 0xFFFF):
        packet = head(config, Opcode.RUN, 1, 0, 0, blocks, 0, 0, 1)
        fields = dict(zip(WORDS[Opcode.RUN], (1, 0, 0, blocks, 0, 0, 1, *[0] * 5), strict=True))
        response = int(Opcode.RUN) | 0x5A << 8 | blocks * config.rows * config.interleave << 32
        pages = dict.fromkeys(("activations", "weights", "schedule", "settings"), 0)
        command = Command(packet, Opcode.RUN, Status.OK, response, fields, output=0, pages=pages)
        bench.offer(packet, command)
    await bench.finish()
