"""Schedule reader and issuer together: RUNs in, the read requests of every slot out, in order."""

import random

import cocotb
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import FallingEdge

from ...hw.config import Config
from ...hw.control.issuer import Issuer
from ...hw.control.metadata import MetadataReader
from ...hw.isa.codes import Target
from ...hw.isa.maps import address_bits
from ...hw.layouts.array import HOLD, HOLDING, MODE, RUN, write_signature
from ...hw.lib.connect import connect_checked
from .common import configuration, generator, start


class ReaderAndIssuer(wiring.Component):
    """The device under test: what lies between the sequencer and the feeders."""

    def __init__(self, config: Config):
        self.config = config
        bits = address_bits(config)
        holds = {
            "holding": HOLDING,
            "index_address": bits[Target.INDICES],
            "mute": 1,
        }
        super().__init__(
            {
                "write": In(write_signature(config)),
                "run": In(stream.Signature(RUN(config))),
                "row_taken": In(1),
                "activation_address": Out(bits[Target.ACTIVATIONS]),
                "load": Out(1),
                "slot_address": Out(bits[Target.VALUES]),
                "valid": Out(1),
                "last": Out(1),
                "end": Out(1),
                "stall_drain": Out(1),
                "stall_output": Out(1),
                **({name: Out(shape) for name, shape in holds.items()} if config.training else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = MetadataReader(self.config)
        m.submodules.issuer = issuer = Issuer(self.config)
        connect_checked(m, wiring.flipped(self.write), reader.write)
        connect_checked(m, wiring.flipped(self.run), reader.run)
        connect_checked(m, reader.records, issuer.records)
        m.d.comb += issuer.row_taken.eq(self.row_taken)
        for name, member in self.signature.members.items():
            if member.flow is Out:
                m.d.comb += getattr(self, name).eq(getattr(issuer, name))
        return m


def requests(config, run, records):
    """The slots of a RUN: (activation address, load, slot address or None, last, what it does with
    the indices that elements hold)."""
    size, taken = config.weight_slots, 0
    for block in range(run["row_blocks"]):
        group, slot = 0, 0
        for i, (count, skip) in enumerate(records):
            group += skip
            final = i == len(records) - 1
            # A tile without weights still ends; a RUN that does not finish it shows nothing.
            rounds = count or int(final and run["finish"])
            for n in range(rounds):
                for t in range(config.interleave):
                    base = run["activation_base"] + block * run["activation_stride"]
                    page = base & config.activation_groups
                    weights = run["slot_base"] // size * size
                    index = here = weights + (run["slot_base"] + slot) % size
                    offered = bool(count and run["takes"] and taken < config.rows)
                    if run["takes"]:
                        index = weights + (run["base"] + taken * run["step"]) % size
                    ends = final and n == rounds - 1 and block == run["row_blocks"] - 1
                    holds = {
                        "held": run["held"],
                        "offered": offered,
                        "swap": ends and run["takes"],
                        "mute": run["takes"] and not run["held"],
                        "index_address": index if not run["takes"] or offered else None,
                    }
                    yield (
                        page | (base + group) % config.activation_groups,
                        n == 0 and t == 0,
                        here if count else None,
                        bool(final and n == rounds - 1 and run["finish"]),
                        holds,
                    )
                    slot += 1 if count else 0
                    taken += offered
            group += 1


@cocotb.test()
async def slots_in_order(dut):
    config, _ = configuration(), generator()
    await start(dut, "run__valid", "write__valid", "row_taken")

    expected = []
    schedule = config.schedule_records
    tables = {}
    for page in range(2):
        base = page * schedule
        for i in range(schedule):
            count = random.choice((0, 0, 1, 2, config.group, random.randrange(config.group + 1)))
            skip = random.choice((0, 0, 1, (1 << (8 - config.count_bits)) - 1))
            tables[base + i] = (count, skip)
            dut.write__valid.value = 1
            dut.write__target.value = int(Target.SCHEDULE)
            dut.write__address.value = base + i
            dut.write__data.value = count | skip << config.count_bits
            await FallingEdge(dut.clk)
    dut.write__valid.value = 0

    runs = []
    for _ in range(60):
        finish = random.random() < 0.7
        count = random.randrange(1, 6)
        base = random.randrange(2 * schedule)
        base = min(base, base // schedule * schedule + schedule - count)
        stride = random.randrange(min(20, config.activation_groups // 2))
        blocks = random.randrange(1, 4) if finish else 1
        page = random.randrange(2) * config.activation_groups
        run = {
            "finish": finish,
            "activation_base": page
            + random.randrange(config.activation_groups - stride * (blocks - 1)),
            "activation_stride": stride,
            "row_blocks": blocks,
            "slot_base": random.randrange(2 * config.weight_slots),
            "schedule_base": base,
            "schedule_count": count,
            "held": config.training and random.random() < 0.5,
            "takes": config.training and random.random() < 0.5,
            "base": random.randrange(config.weight_slots),
            "step": random.randrange(32),
        }
        runs.append(run)
        expected += requests(config, run, [tables[base + i] for i in range(count)])

    async def send():
        for run in runs:
            while random.random() < 0.3:
                await FallingEdge(dut.clk)
            mode = int(run["finish"])
            word, at = mode, MODE(config).size
            for name in list(run)[1:7]:
                word |= run[name] << at
                at += 16
            for name, field in HOLD(config) if config.training else ():
                word |= int(run[name]) << at
                at += field.width
            dut.run__payload.value = word
            dut.run__valid.value = 1
            while not int(dut.run__ready.value):
                await FallingEdge(dut.clk)
            await FallingEdge(dut.clk)
            dut.run__valid.value = 0

    cocotb.start_soon(send())
    cycle, ends, swaps, stored, last_tile = 0, 0, 0, 0, None
    queue = list(reversed(expected))
    while queue:
        # The host takes rows whenever it likes: the issuer must not start what will not fit.
        take = stored > 0 and random.random() < 0.5
        dut.row_taken.value = take
        valid, last = int(dut.valid.value), int(dut.last.value)
        if valid or last:
            activation, load, slot, is_last, holds = queue.pop()
            assert int(dut.load.value) == load
            if load:
                assert int(dut.activation_address.value) == activation
            assert valid == (slot is not None)
            if valid:
                assert int(dut.slot_address.value) == slot
            assert last == is_last
            if config.training:
                _check_holding(dut, holds)
            if is_last and (last_tile is None or cycle - last_tile >= config.interleave):
                assert last_tile is None or cycle - last_tile >= config.tile_rows
                last_tile = cycle
                stored += config.tile_rows
                assert stored <= config.output_depth
        ends += int(dut.end.value)
        swaps += int(dut.holding.value) >> 2 if config.training else 0
        stored -= take
        cycle += 1
        await FallingEdge(dut.clk)
        assert cycle < 200_000, "the issuer stopped"
    assert ends == len(runs)
    assert swaps == sum(run["takes"] for run in runs)


def _check_holding(dut, wanted: dict):
    """What a slot does with the indices that elements hold."""
    bits = int(dut.holding.value)
    got = {name: bits >> n & 1 for n, name in enumerate(HOLDING.members)} | {
        "mute": int(dut.mute.value)
    }
    assert got == {name: wanted[name] for name in got}
    if int(dut.valid.value) and wanted["index_address"] is not None:
        assert int(dut.index_address.value) == wanted["index_address"]


@cocotb.test()
async def after_reset(dut):
    """Accumulators are cleared; for training elements swap, then each row takes what a bubble has,
    and then they hold it."""
    config, _ = configuration(), generator()
    await start(dut, "run__valid", "write__valid", "row_taken")
    slots = config.rows + 2 if config.training else config.interleave
    for cycle in range(slots + 20):
        flushes = cycle < slots
        assert (int(dut.last.value), int(dut.valid.value)) == (flushes, 0)
        if config.training:
            holding, edge = HOLDING.from_bits(int(dut.holding.value)), cycle in (0, slots - 1)
            assert (holding.offered, holding.swap) == (flushes and not edge, flushes and edge)
            # What an element holds counts with a weight, and afterwards there is none.
            assert not (flushes and holding.held)
        await FallingEdge(dut.clk)


@cocotb.test()
async def waiting_has_its_cause(dut):
    """A tile waits for the drain chain while the host takes every row, and for room once it takes
    none; one row too few taken is not enough."""
    config, _ = configuration(), generator()
    await start(dut, "run__valid", "write__valid", "row_taken")
    # A record of one weight: a tile lasts a round, its rows take longer to drain.
    dut.write__valid.value, dut.write__target.value = 1, int(Target.SCHEDULE)
    dut.write__address.value, dut.write__data.value = 0, 1
    await FallingEdge(dut.clk)
    dut.write__valid.value = 0
    # Tiles without end: each RUN is of 65,535, and another one waits behind it.
    mode = MODE(config).size
    dut.run__payload.value = 1 | 0xFFFF << (mode + 32) | 1 << (mode + 80)
    dut.run__valid.value = 1
    stored, round_ = 0, config.interleave

    async def cycles(count: int, take) -> dict[str, int]:
        """What was seen in so many cycles, while `take` says whether a row is taken."""
        nonlocal stored
        seen = {"drain": 0, "output": 0, "tiles": 0}
        for _ in range(count):
            dut.row_taken.value = taken = bool(stored and take())
            seen["drain"] += int(dut.stall_drain.value)
            seen["output"] += int(dut.stall_output.value)
            assert not (int(dut.stall_drain.value) and int(dut.stall_output.value))
            started = int(dut.last.value) and int(dut.load.value)
            seen["tiles"] += started
            stored += config.tile_rows * started - taken
            await FallingEdge(dut.clk)
        return seen

    await cycles(20 + round_, lambda: True)  # the flush, and the first record
    seen = await cycles(100 * config.tile_rows, lambda: True)
    if not config.compact:
        # The host keeps up, so every tile ends as soon as the chain is free of the one before.
        assert abs(seen["tiles"] - 100) <= 1 and not seen["output"]
        waited = seen["tiles"] * (config.tile_rows // round_ - 1)
        assert abs(seen["drain"] - waited) <= config.tile_rows
    assert seen["tiles"] > 10
    # It takes none: then, when not one more tile fits, room is all that is waited for.
    await cycles(2 * config.output_depth + 4 * config.tile_rows, lambda: False)
    assert config.output_depth - config.tile_rows < stored <= config.output_depth
    seen = await cycles(50 * round_, lambda: False)
    assert seen == {"drain": 0, "output": 50, "tiles": 0}
    missing = stored - (config.output_depth - config.tile_rows)
    for _ in range(missing - 1):
        await cycles(1, lambda: True)
    seen = await cycles(20 * round_, lambda: False)
    assert seen == {"drain": 0, "output": 20, "tiles": 0}
    await cycles(1, lambda: True)
    seen = await cycles(20 * round_, lambda: False)
    assert seen["tiles"] == 1 and seen["output"] >= 20 - 3 - config.tile_rows // round_
