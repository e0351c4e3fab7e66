"""Random descriptors of what works beside the array: movers, copy engine, vector unit."""

from dataclasses import replace

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.descriptors import (
    BIAS_BYTES,
    FILL_BIASES,
    FILL_SETTINGS,
    SETTING_BYTES,
    Copy,
    Dense,
    Fill,
    Image,
    Prune,
    Rows,
    Vector,
)
from ...hw.isa.host_stream import packet_of
from ...hw.isa.maps import address_bits
from ...hw.isa.vector import MOST_INSTRUCTIONS, STREAMS, program_words
from ...sw.compiler.pruning import Pruning
from ...sw.compiler.tensors import Tensor
from .common import one_of
from .host_traffic import payload_bits


def copy(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """A COPY of a few rows, at any byte, in lines or not, across each other or apart; the last ones
    of a right one may still lie beyond an end."""
    whole = int(rng.integers(2))
    unit = config.stream_bytes if whole else config.group_bytes
    row_bytes = int(rng.choice([1, 2, 3, unit, unit + 1, 3 * unit - 1]))
    units, end = -(-row_bytes // unit), 1 << config.external_bits
    rows = int(rng.integers(1, 9))
    room = config.tensor_words - units
    last = end - row_bytes
    fields = {
        "outward": int(rng.integers(2)),
        "whole": whole,
        "line": int(rng.choice([0, 0, 1, 3])),
        "external": int(rng.choice([0, last - int(rng.integers(40)), int(rng.integers(1500))])),
        "row_bytes": row_bytes,
        "stride": int(rng.choice([0, 1, row_bytes, row_bytes + 5])),
        "line_stride": int(rng.integers(100)),
        "rows": rows,
        "tensor": int(rng.choice([0, room, int(rng.integers(room + 1))])),
        "pitch": units + int(rng.integers(2)),
    }
    if wrong:
        several = {"rows": 1 + (1 if whole else config.lanes), "pitch": units - 1}
        fields |= one_of(
            rng,
            [
                {"rows": 0},
                {"row_bytes": 0},
                {"external": last + 1},
                {"external": 1 << 39} if config.external_bits < 40 else {"rows": 0},
                {"tensor": room + 1},
                {"tensor": 0xFFFF, "row_bytes": 4 * unit},
                several,
            ],
        )
    return packet_of(config, Copy(**fields, waits=waits))


def fill(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """A FILL; with a count that its words have, if it is right."""
    target = Target(int(rng.integers(1, len(Target))))
    depth = 1 << (address_bits(config)[target] - 1)
    count, size = int(rng.integers(1, 7)), config.tensor_words
    words = -(-count * payload_bits(config)[target] // (8 * config.stream_bytes))
    fields = {
        "target": int(target),
        "address": int(rng.integers(2)) * depth + int(rng.integers(depth - count + 1)),
        "count": count,
        "source": int(rng.choice([0, size - words, int(rng.integers(size - words + 1))])),
        "words": words,
    }
    if target is Target.VALUES and rng.random() < 0.6:
        beside = -(-count * payload_bits(config)[Target.INDICES] // (8 * config.stream_bytes))
        fields |= {"indices": int(rng.integers(size - beside + 1)), "index_words": beside}
    if rng.random() < 0.2:
        columns = int(rng.integers(1, config.columns + 1))
        needed = -(-SETTING_BYTES * columns // config.stream_bytes)
        fields = {
            "target": FILL_SETTINGS,
            "address": int(rng.integers(config.settings_entries)),
            "count": columns,
            "source": int(rng.integers(size - needed + 1)),
            "words": needed,
        }
        if config.training and rng.random() < 0.4:
            needed = -(-BIAS_BYTES * columns // config.group_bytes)
            fields |= {"target": FILL_BIASES, "words": needed}
            fields["source"] = int(rng.integers(size - needed + 1))
        if wrong:
            fields |= one_of(
                rng,
                [
                    {"address": config.settings_entries},
                    {"count": 0},
                    {"count": config.columns + 1},
                    {"source": size - needed + 1},
                    {"words": 0},
                    {"indices": 0, "index_words": 1},
                ],
            )
    elif wrong:
        fields |= one_of(
            rng,
            [
                {"target": int(Target.VALUES), "indices": size, "index_words": 1},
                {"target": int(Target.VALUES), "indices": 0, "index_words": (1 << 32) - 1},
                {"target": int(Target.INDICES), "index_words": 1},
                {"target": 0},
                {"target": FILL_BIASES + config.training},
                {"target": 0xFFFF, "words": 0},
                {"target": 0, "address": 0xFFFF},
                {"address": 2 * depth},
                {"count": 0},
                {"count": depth + 1},
                {"source": size - words + 1},
                {"source": 1 << 31},
                {"words": 0},
                {"words": (1 << 32) - 1},
            ],
        )
    return packet_of(config, Fill(**fields, waits=waits))


def image(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """An IMAGE, which waits for nothing: small steps of any kind over any few pixels."""
    del waits

    def few(least: int, most: int) -> int:
        return int(rng.integers(least, most + 1))

    fields = {name: few(1, 4) for name in ("width", "height", "out_width", "out_height", "groups")}
    fields |= {name: few(1, 3) for name in ("kernel_width", "kernel_height")}
    fields |= {name: few(0, 2) for name in ("stride_x", "stride_y", "dilation_x", "dilation_y")}
    fields |= {"first_x": few(-2, 1), "first_y": few(-2, 1), "pitch": few(0, 6)}
    for step in ("column", "line", "image", "tap", "tap_line"):
        fields[f"{step}_words"] = few(-3, 6) % (1 << 16)
        fields[f"{step}_lanes"] = few(0, config.lanes - 1)
    if wrong:
        fields |= one_of(
            rng,
            [
                {"out_width": 0},
                {"out_height": 0},
                {"kernel_width": 0},
                {"kernel_height": 0},
                {"groups": 0},
                {"line_lanes": config.lanes},
                {"tap_lanes": 15} if config.lanes < 16 else {"groups": 0},
            ],
        )
    return packet_of(config, Image(**fields))


def rows(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """A ROWS; a right one may still leave its words, or begin where the last IMAGE has nothing."""
    depth, groups = config.activation_groups, int(rng.integers(1, 6))
    words = min(int(rng.integers(8, 60)), config.tensor_words - 1)
    room = config.tensor_words - words
    fields = {
        "source": int(rng.choice([0, room, int(rng.integers(room + 1))])),
        "words": words,
        "groups": groups,
        "rows": int(rng.integers(1, config.rows + 1)),
        "address": int(rng.integers(2)) * depth + int(rng.integers(depth - groups + 1)),
        "start_words": int(rng.integers(words)),
        "start_lanes": int(rng.integers(config.lanes)),
    }
    if rng.random() < 0.5:
        fields |= {"x": int(rng.integers(-2, 3)), "y": int(rng.integers(-2, 3))}
    for name, most in (("column", 2), ("line", 2), ("tap_x", 2), ("tap_y", 2), ("group", 2)):
        if rng.random() < 0.15:
            fields[name] = int(rng.integers(most + 1))
    if rng.random() < 0.2:
        fields["offset_words"] = int(rng.integers(-2, 3)) % (1 << 16)
        fields["offset_lanes"] = int(rng.integers(config.lanes))
    if config.training and rng.random() < 0.4:
        fields |= {"transposed": 1, "missing": int(rng.integers(config.group))}
    elif config.training and rng.random() < 0.5:
        lanes = config.lanes
        groups = lanes * int(rng.integers(1, min(9, depth // lanes)))
        place = lanes * int(rng.integers((depth - groups) // lanes + 1))
        fields |= {"grouped": 1, "missing": int(rng.integers(lanes)), "groups": groups}
        fields["address"] = int(rng.integers(2)) * depth + place
    if wrong:
        fields |= one_of(
            rng,
            [
                {"source": room + 1},
                {"words": 0},
                {"source": 0, "words": config.tensor_words + 1},
                {"groups": 0},
                {"groups": depth + 1},
                {"rows": 0},
                {"rows": config.rows + 1},
                {"address": 2 * depth},
                {"address": fields["address"] // depth * depth + depth - groups + 1},
                {"column": 9},
                {"line": 9},
                {"tap_x": 9},
                {"tap_y": 9},
                {"group": 9},
                {"start_lanes": config.lanes} if config.lanes < 16 else {"rows": 0},
                {"offset_lanes": config.lanes} if config.lanes < 16 else {"rows": 0},
                {"transposed": 0, "grouped": 0, "missing": 1},
                {"transposed": 1, "missing": config.group if config.training else 0, "grouped": 0},
                {"grouped": 1, "missing": config.lanes if config.training else 0, "transposed": 0},
                {"transposed": 1, "grouped": 1, "missing": 0},
                *[{"grouped": 1, "transposed": 0, "groups": 1}] * (config.lanes > 1),
            ],
        )
    return packet_of(config, Rows(**fields, waits=waits))


def dense(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """A DENSE; a right one may still leave its words."""
    depth, size = config.weight_slots, config.group
    count = int(rng.integers(1, 30))
    slots = -(-count // size)
    words = min(int(rng.integers(8, 60)), config.tensor_words - 1)
    room = config.tensor_words - words
    fields = {
        "address": size * int(rng.integers(depth // size - slots + 1)) + depth * rng.integers(2),
        "count": count,
        "source": int(rng.choice([0, room, int(rng.integers(room + 1))])),
        "words": words,
        "pitch": int(rng.integers(5)),
        "groups": int(rng.integers(4)),
    }
    if wrong:
        fields |= one_of(
            rng,
            [
                {"source": room + 1},
                {"words": 0},
                {"count": 0},
                {"count": depth + 1},
                {"address": fields["address"] + 1},
                {"address": 2 * depth},
                {"address": depth - size, "count": size + 1},
            ],
        )
    return packet_of(config, Dense(**fields, waits=waits))


def vector(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """A VECTOR whose program is whatever lies there: most are none."""
    size, count = config.tensor_words, int(rng.integers(1, 20))
    words = program_words(config, count)
    fields = {
        "program": int(rng.choice([0, size - words, int(rng.integers(size - words + 1))])),
        "instructions": count,
        "spans": int(rng.integers(1, 4)),
        "rows": int(rng.integers(1, 20)),
    }
    for stream in range(int(rng.integers(STREAMS + 1))):
        words = int(rng.integers(9))
        fields |= {f"base_{stream}": int(rng.integers(size - words + 1)), f"words_{stream}": words}
    if wrong:
        fields |= one_of(
            rng,
            [
                {"program": size - program_words(config, count) + 1},
                {"program": 0xFFFF},
                {"instructions": 0},
                {"instructions": MOST_INSTRUCTIONS + 1},
                {"spans": 0},
                {"rows": 0},
                {"base_0": size - 3, "words_0": 4},
                {"base_3": 0, "words_3": size + 1},
                {"base_2": min(size, 0xFFFF), "words_2": 1 if size < 1 << 16 else 2},
            ],
        )
    return packet_of(config, Vector(**fields, waits=waits))


def prune(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """A PRUNE of whatever lies there; a right one may still leave its words."""
    command = weights_to_prune(config, rng)
    size = config.tensor_words
    if wrong:
        command = replace(
            command,
            **one_of(
                rng,
                [
                    {"source": size - command.words + 1},
                    {"words": 0},
                    {"address": size - command.room + 1},
                    {"room": 0},
                    {"backward": size},
                    {"inputs": 0},
                    {"outputs": 0},
                    {"kept": 0},
                    {"kept": config.group + 1},
                ],
            ),
        )
    return packet_of(config, replace(command, waits=waits))


def weights_to_prune(config: Config, rng: np.random.Generator) -> Prune:
    """A PRUNE whose payloads lie one behind the other, and not over its tensor; some of weights
    that are kept already, at whatever places lie there."""
    most = 4 if config.tensor_words >= 1024 else 2
    inputs, outputs = (int(n) for n in rng.integers(1, most, 2))
    kept, spare = int(rng.integers(1, config.group + 1)), int(rng.integers(2))
    tensor = Tensor(config, 0, inputs * config.group, outputs * config.group, 32)
    there, held = tensor, 0
    space = Pruning(tensor, kept, 0, across=True).space
    if rng.random() < 0.4:
        blocks = -(-inputs // config.rows)
        alone = replace(tensor, rows=blocks * config.rows * kept)
        if alone.words + alone.windows + space <= config.tensor_words:
            there, held = alone, 1
    words = there.words + (there.windows - 1) * spare
    pruning = Pruning(tensor, kept, words, across=True)
    source = int(rng.integers(config.tensor_words - words - space + 1))
    short = rng.random(2) < 0.1
    return replace(
        pruning.whole.command(),
        held=held,
        source=source,
        words=words - int(short[0]),
        pitch=tensor.groups + spare,
        across=int(rng.random() < 0.8),
        address=source + words,
        room=space - int(short[1]),
    )
