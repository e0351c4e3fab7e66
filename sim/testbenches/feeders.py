"""Both feeders: what the write bus brought comes out decoded and skewed, bubbles as zero."""

import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from ...hw.isa.codes import Target
from ...hw.isa.maps import chunks
from ...hw.layouts.array import HOLDING
from ...hw.layouts.tensor import TURNED
from ..golden import numbers
from .common import configuration, generator, join, random_elements, signed_value, start


async def load(dut, config, target, address, units):
    """Write one word (a list of raw units, one a bank) chunk by chunk, with pauses."""
    kind = chunks(config)[target]
    beside = target is Target.INDICES and config.tensor_words
    bus = {
        name: getattr(dut, f"{'indices' if beside else 'write'}__{name}")
        for name in ("valid", "target", "address", "chunk", "data")
    }
    for chunk in range(kind.per_word):
        while random.random() < 0.2:
            bus["valid"].value = 0
            await FallingEdge(dut.clk)
        bus["valid"].value = 1
        bus["target"].value = int(target)
        bus["address"].value = address
        bus["chunk"].value = chunk
        part = units[chunk * kind.size : (chunk + 1) * kind.size]
        bus["data"].value = join(part, kind.unit_bits)
        await FallingEdge(dut.clk)
    bus["valid"].value = 0


async def load_across(dut, config, address, word):
    """Write one word of activations [rows, elements] part by part, each to M rows."""
    size, lanes = config.group, config.lanes
    chunks_of_word = [
        (chunk, part) for chunk in range(config.rows // size) for part in range(size // lanes)
    ]
    random.shuffle(chunks_of_word)
    for chunk, part in chunks_of_word:
        dut.write__valid.value, dut.turned.value = 1, turned(config, transposed=1, part=part)
        dut.write__target.value = int(Target.ACTIVATIONS)
        dut.write__address.value, dut.write__chunk.value = address, chunk
        mine = word[chunk * size :][:size, part * lanes :][:, :lanes]
        dut.write__data.value = join(mine.T.ravel(), config.format.bits)
        await FallingEdge(dut.clk)
    dut.write__valid.value = dut.turned.value = 0


def turned(config, **fields) -> int:
    """Bits of layouts.TURNED."""
    return TURNED(config).const(fields).as_value().value


async def load_grouped(dut, config, address, words):
    """Write as many words of activations [words, rows, elements] as there are lanes, along their
    diagonals."""
    lanes = config.lanes
    steps = [(chunk, turn) for chunk in range(config.rows // lanes) for turn in range(lanes)]
    random.shuffle(steps)
    for chunk, turn in steps:
        dut.write__valid.value, dut.turned.value = 1, turned(config, grouped=1, turn=turn)
        dut.write__target.value = int(Target.ACTIVATIONS)
        dut.write__address.value, dut.write__chunk.value = address, chunk
        mine = [words[(n + turn) % lanes][chunk * lanes + n] for n in range(lanes)]
        dut.write__data.value = join(np.concatenate(mine), config.format.bits)
        await FallingEdge(dut.clk)
    dut.write__valid.value = dut.turned.value = 0


async def load_skewed(dut, config, address, slots):
    """Write as many slots of values [slots, columns] as a chunk has groups, one of each in turn."""
    size, together = config.group, config.dense_groups
    for chunk in range(config.columns // size // together):
        for turn in range(together):
            dut.write__valid.value, dut.skewed.value = 1, 1 | turn << 1
            dut.write__target.value = int(Target.VALUES)
            dut.write__address.value, dut.write__chunk.value = address, chunk
            data = [
                slots[(n - turn) % together][(chunk * together + n) * size :][:size]
                for n in range(together)
            ]
            dut.write__data.value = join(np.concatenate(data), config.format.bits)
            await FallingEdge(dut.clk)
    dut.write__valid.value = dut.skewed.value = 0


def integer(config, bits: int) -> int:
    """What an operand's bits are worth in units."""
    width = config.format.value_bits
    step = bits >> width
    return signed_value(bits & ((1 << width) - 1), width) << 4 * step


def significands(config, raw) -> list[int]:
    return [int(s) for s in numbers.significands(config.format, np.asarray(raw)).ravel()]


@cocotb.test()
async def words_come_out_decoded(dut):
    await {"ActivationFeeder": activations, "WeightFeeder": weights}[dut._name](dut)


async def activations(dut):
    config, rng = configuration(), generator()
    width = config.format.value_bits + config.format.step_bits
    words = 2 * config.activation_groups
    x = random_elements(config.format, rng, (words, config.rows, config.group))
    await start(dut, "write__valid", "load", *["turned"] * config.training)
    several = {int(at) * config.lanes for at in rng.permutation(words // config.lanes)[:9]}
    for address in several if config.training else ():
        await load_grouped(dut, config, address, x[address:][: config.lanes])
    for address in rng.permutation(words):
        if config.training and address - address % config.lanes in several:
            continue
        if config.training and random.random() < 0.5:
            await load_across(dut, config, int(address), x[address])
            continue
        units = [join(group, config.format.bits) for group in x[address]]
        await load(dut, config, Target.ACTIVATIONS, int(address), units)
    for _ in range(3):
        await FallingEdge(dut.clk)

    requests = [(int(rng.integers(words)), random.random() < 0.7) for _ in range(600)]
    for cycle in range(1 + len(requests) + config.rows):
        address, strobe = requests[cycle] if cycle < len(requests) else (0, False)
        dut.address.value, dut.load.value = address, strobe
        await FallingEdge(dut.clk)
        for r in range(config.rows):
            then = cycle - 1 - r
            if not 0 <= then < len(requests):
                continue
            address, strobe = requests[then]
            assert int(getattr(dut, f"groups__{r}__load").value) == strobe
            if strobe:
                bits = int(getattr(dut, f"groups__{r}__group").value)
                got = [
                    integer(config, bits >> (width * i) & ((1 << width) - 1))
                    for i in range(config.group)
                ]
                assert got == significands(config, x[address, r])
    await nonfinite(dut, config, Target.ACTIVATIONS)


async def weights(dut):
    config, rng = configuration(), generator()
    slots = 2 * config.weight_slots
    values = random_elements(config.format, rng, (slots, config.columns))
    indices = rng.integers(0, config.group, (slots, config.columns))
    await start(dut, "write__valid", "valid", "last", *["mute"] * config.training)
    together = config.dense_groups if config.training else 1
    for first in rng.permutation(slots // together) * together:
        several = range(int(first), int(first) + together)
        if config.training and random.random() < 0.5:
            await load_skewed(dut, config, several.start, values[several.start :][:together])
            for address in several:
                await load(dut, config, Target.INDICES, address, list(indices[address]))
            continue
        for address in several:
            await load(dut, config, Target.VALUES, address, list(values[address]))
            await load(dut, config, Target.INDICES, address, list(indices[address]))
    for _ in range(3):
        await FallingEdge(dut.clk)

    requests = [
        (
            int(rng.integers(slots)),
            random.random() < 0.7,
            random.random() < 0.2,
            *_apart(config, rng),
        )
        for _ in range(600)
    ]
    nonzero = 0
    counted = 0
    for cycle in range(1 + len(requests) + config.columns + 3):
        request = requests[cycle] if cycle < len(requests) else (0, False, False, 0, 0, 0)
        dut.address.value, dut.valid.value, dut.last.value, place, mute, holding = request
        if config.training:
            dut.index_address.value, dut.mute.value, dut.holding.value = place, mute, holding
        await FallingEdge(dut.clk)
        counted += int(dut.nonzero.value)
        for c in range(config.columns):
            then = cycle - 1 - c
            if not 0 <= then < len(requests):
                continue
            address, valid, last, place, mute, holding = requests[then]
            weighs = valid and not mute
            expected = significands(config, values[address, c])[0] if weighs else 0
            got = integer(config, int(getattr(dut, f"weights__{c}__weight").value))
            assert got == expected
            nonzero += expected != 0
            assert int(getattr(dut, f"weights__{c}__last").value) == last
            index = int(getattr(dut, f"weights__{c}__index").value)
            if valid:
                assert index == indices[place if config.training else address, c]
            elif config.training:
                assert index == 0
            for n, name in enumerate(HOLDING.members if config.training else ()):
                assert int(getattr(dut, f"weights__{c}__{name}").value) == holding >> n & 1
    assert counted == nonzero
    await nonfinite(dut, config, Target.VALUES)


def _apart(config, rng) -> tuple[int, int, int]:
    """For training: an index's address, whether the weight is mute, what goes with it."""
    if not config.training:
        return 0, 0, 0
    return int(rng.integers(2 * config.weight_slots)), *(int(v) for v in rng.integers((2, 8)))


async def nonfinite(dut, config, target):
    """Every code that is not a number raises the flag, and no other code does."""
    kind = chunks(config)[target]
    per_unit = kind.unit_bits // config.format.bits
    elements = kind.size * per_unit
    dtype = numbers.raw_dtype(config.format)
    codes = np.arange(1 << config.format.bits).astype(dtype)
    if config.format.bits == 16:
        codes = codes[::37]
    bad = codes[~numbers.is_finite(config.format, codes)]
    good = codes[numbers.is_finite(config.format, codes)]
    for _ in range(300):
        raw = np.random.default_rng(random.getrandbits(32)).choice(good, elements)
        poisoned = len(bad) > 0 and random.random() < 0.5
        if poisoned:
            raw[random.randrange(elements)] = random.choice(list(bad))
        dut.write__valid.value = 1
        dut.write__target.value = int(target)
        dut.write__address.value = 0
        dut.write__chunk.value = 0
        dut.write__data.value = join(raw, config.format.bits)
        await FallingEdge(dut.clk)
        assert int(dut.nonfinite.value) == poisoned
    dut.write__valid.value = 0
