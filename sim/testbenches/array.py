"""The array: whole tiles back to back, skewed as the feeders skew them, every sum compared."""

import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from ...hw.array.array import Array
from ..golden.accumulation import ARITHMETIC
from .common import configuration, generator, join, operand_bits, random_elements, start


def slots_of(config, rng):
    """A random tile: its slots (group, indices, weights, first, last) and the dense product."""
    rows, outputs, contexts = config.rows, config.tile_columns, config.interleave
    groups = random.randrange(1, 4)
    x = random_elements(config.format, rng, (rows, groups * config.group))
    w = np.zeros((groups * config.group, outputs), x.dtype)
    slots = []
    for g in range(groups):
        count = random.randrange(config.group + 1) if g < groups - 1 else 1
        places = np.array([sorted(rng.permutation(config.group)[:count]) for _ in range(outputs)])
        values = random_elements(config.format, rng, (count, outputs))
        for n in range(count):
            w[g * config.group + places[:, n], np.arange(outputs)] = values[n]
            for t in range(contexts):
                block = slice(t * config.columns, (t + 1) * config.columns)
                slots.append(
                    {
                        "group": x[:, g * config.group : (g + 1) * config.group],
                        "load": n == 0 and t == 0,
                        "weights": values[n, block],
                        "indices": places[block, n],
                        "last": g == groups - 1,
                    }
                )
    return slots, x, w


def product(config, x, w) -> np.ndarray:
    """The golden sums [rows, outputs] as raw bits."""
    arithmetic = ARITHMETIC[config.accumulation]
    return np.vectorize(lambda s: arithmetic.bits(s, config.sum_bits), otypes=[object])(
        arithmetic.matmul(config.format, x, w)
    )


@cocotb.test()
async def tiles(dut):
    config = configuration()
    rng = generator()
    rows, columns, contexts = config.rows, config.columns, config.interleave
    width = config.format.value_bits + config.format.step_bits
    latency = Array.latency(config)

    # Lay the slots out in time: phases aligned, tiles R*T apart, bubbles anywhere else.
    program, due = {}, {}
    cycle, drained = 0, 0
    for _ in range(12):
        slots, x, w = slots_of(config, rng)
        expected = product(config, x, w)
        for i in range(0, len(slots), contexts):
            last = slots[i]["last"]
            while random.random() < 0.1 or (last and cycle < drained):
                cycle += contexts
            for t in range(contexts):
                program[cycle + t] = slots[i + t]
            if last:
                drained = cycle + config.tile_rows
                for c in range(columns):
                    for row in range(rows):
                        for t in range(contexts):
                            when = cycle + c + latency + row * contexts + t
                            due[when, c] = expected[rows - 1 - row, t * columns + c]
            cycle += contexts
    end = cycle + latency + columns + config.tile_rows

    await start(dut)
    west = [
        (getattr(dut, f"west__{r}__group"), getattr(dut, f"west__{r}__load")) for r in range(rows)
    ]
    north = [
        [getattr(dut, f"north__{c}__{name}") for name in ("weight", "index", "last")]
        for c in range(columns)
    ]
    sums = [getattr(dut, f"sums__{c}") for c in range(columns)]
    compared = 0
    for now in range(end):
        for r, (group, load) in enumerate(west):
            slot = program.get(now - r)
            load.value = bool(slot and slot["load"])
            if slot and slot["load"]:
                group.value = join(
                    [operand_bits(config.format, e) for e in slot["group"][r]], width
                )
        for c, (weight, index, last) in enumerate(north):
            slot = program.get(now - c)
            weight.value = operand_bits(config.format, slot["weights"][c]) if slot else 0
            index.value = int(slot["indices"][c]) if slot else 0
            last.value = bool(slot and slot["last"])
        await FallingEdge(dut.clk)
        for c in range(columns):
            if (now + 1, c) in due:
                assert int(sums[c].value) == due[now + 1, c], (now, c)
                compared += 1
    assert compared == len(due)
