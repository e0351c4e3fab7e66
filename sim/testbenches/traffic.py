"""Random commands for verification: mostly sensible, some wrong in one of the ways there are."""

import numpy as np

from ...hw.config import Config
from ...hw.formats import ROUNDED, OutputFormat
from ...hw.isa.commands import (
    ALL_COLUMNS,
    FILL_SETTINGS,
    HEADER_BYTES,
    SETTING_BYTES,
    ColumnSettings,
    Copy,
    Dense,
    Fill,
    Image,
    Load,
    Opcode,
    Read,
    Rows,
    Run,
    Side,
    Sync,
    Target,
    Vector,
    Write,
)
from ...hw.isa.engines import MOST_LEFT, Engine, after
from ...hw.isa.host_stream import packet_of, tagged
from ...hw.isa.maps import address_bits
from ...hw.isa.vector import MOST_INSTRUCTIONS, STREAMS, program_words


def command(
    config: Config, rng: np.random.Generator, faults: float = 0.3, ordered: bool = False
) -> bytes:
    """A packet of a command or several with random tags; with probability `faults` something may
    be wrong with it.

    If they are `ordered`, descriptors wait for all before them: what they do is what they would do
    one after another.
    """
    packet = _command(config, rng, faults, ordered)
    if packet[0] == Opcode.ROWS and rng.random() < 0.7:
        packet = _image(config, rng, False, 0) + packet
    while rng.random() < 0.3:
        # Its answer must not have more to say.
        first = tagged(packet_of(config, Sync()), int(rng.integers(256)))
        if config.tensor_words and rng.random() < 0.8:
            ways: list[tuple] = [(_fill,), (_rows,), (_image,), (_run, True)]
            ways += [(_vector,)] if config.vector_lanes else []
            ways += [(_copy,)] if config.external_bits else []
            ways += [(_dense,)] if config.training else []
            kind, *more = _one_of(rng, ways)
            wrong = rng.random() < faults / 4
            first = kind(config, rng, wrong, _waits(config, rng, ordered), *more)
        packet = first + packet
    return packet


def _command(config: Config, rng: np.random.Generator, faults: float, ordered: bool) -> bytes:
    waits = _waits(config, rng, ordered)
    wrong = rng.random() < faults
    more = [_vector] if config.vector_lanes else []
    more += [_copy, _copy, _words_outside] if config.external_bits else []
    kind = rng.integers(16 + len(more) if config.tensor_words else 10)
    if kind > 15:
        packet = more[kind - 16](config, rng, wrong, waits)
    elif kind > 13:
        packet = _rows(config, rng, wrong, waits)
    elif kind > 11:
        dense = config.training and rng.random() < 0.4
        packet = (_dense if dense else _fill)(config, rng, wrong, waits)
    elif kind > 9:
        packet = _words(config, rng, wrong)
    elif kind < 5:
        packet = _load(config, rng, wrong)
    elif kind == 5:
        packet = _column_settings(config, rng, wrong)
    elif kind == 6:
        packet = packet_of(config, Sync())
    else:
        packet = _run(config, rng, wrong, waits)
    packet = tagged(packet, int(rng.integers(256)))
    return _damaged(config, rng, packet) if wrong and rng.random() < 0.4 else packet


def payload_bits(config: Config) -> dict[Target, int]:
    """Size in bits of one word of each buffer's payload."""
    return {
        Target.ACTIVATIONS: config.rows * config.group * config.format.bits,
        Target.SCHEDULE: 8,
        Target.INDICES: 4 * config.columns,
        Target.VALUES: config.columns * config.format.bits,
    }


def _load(config: Config, rng: np.random.Generator, wrong: bool) -> bytes:
    target = Target(int(rng.integers(len(Target))))
    depth = 1 << (address_bits(config)[target] - 1)
    count = int(rng.integers(1, 7))
    address = int(rng.integers(2)) * depth + int(rng.integers(depth - count + 1))
    size = -(-count * payload_bits(config)[target] // 8)
    # Bytes that are finite numbers in every format, and counts below M.
    payload = rng.integers(0, 4, size, np.uint8).tobytes()
    number = int(target)
    if wrong and target is Target.SCHEDULE and rng.random() < 0.5:
        payload = bytes([config.group + 1]) * size
    elif wrong:
        match rng.integers(5):
            case 0:
                payload += bytes(int(rng.integers(1, 4)) * config.stream_bytes)
            case 1:
                payload = payload[: int(rng.integers(2)) * config.stream_bytes]
            case 2:
                address = int(rng.choice([2 * depth, 2 * depth - 1 + count, 0xFFFF]))
            case 3:
                address = address // depth * depth + depth - count + 1
            case 4:
                number = int(rng.choice([len(Target), 0xFFFF]))
    return packet_of(config, Load(number, address, count), payload)


def _column_settings(config: Config, rng: np.random.Generator, wrong: bool) -> bytes:
    column = ALL_COLUMNS if rng.random() < 0.3 else int(rng.integers(config.columns))
    entry = int(rng.integers(config.settings_entries))
    if wrong and rng.random() < 0.5:
        column = int(rng.choice([config.columns, 256, ALL_COLUMNS - 1]))
    elif wrong:
        entry = int(rng.choice([config.settings_entries, 0xFFFF]))
    scale, exponent = int(rng.integers(1 << 16)), int(rng.integers(-60, 20))
    limit = 1 << (config.accumulator_bits - 1)
    bias = int.from_bytes(rng.bytes(12), "little") % (2 * limit) - limit
    return packet_of(config, ColumnSettings(column, entry, scale, exponent, bias))


def _words(config: Config, rng: np.random.Generator, wrong: bool) -> bytes:
    """A WRITE or a READ."""
    size, count = config.tensor_words, int(rng.integers(1, 9))
    address = int(rng.choice([0, size - count, int(rng.integers(size - count))]))
    came = count
    if wrong:
        match rng.integers(4):
            case 0:
                address = int(rng.choice([size - count + 1, size, 1 << 31, (1 << 32) - 1]))
            case 1:
                count = int(rng.choice([0, size + 1, (1 << 32) - 1]))
            case _:
                came = max(1, came + int(rng.choice([-1, 1])))
    if rng.random() < 0.5:
        return packet_of(config, Read(address, count))
    # Numbers and records as a LOAD brings them.
    content = rng.integers(0, 4, came * config.stream_bytes, np.uint8).tobytes()
    return packet_of(config, Write(address, count), content)


def _words_outside(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
    """A WRITE or a READ of external memory, in its turn among the COPYs."""
    del waits
    count = int(rng.integers(1, 9))
    size, words = config.stream_bytes, (1 << config.external_bits) // config.stream_bytes
    address = int(rng.choice([0, words - count, int(rng.integers(min(words - count, 60)))]))
    came = count
    if wrong:
        match rng.integers(4):
            case 0:
                address = int(rng.choice([words - count + 1, words, 1 << 31, (1 << 32) - 1]))
            case 1:
                count = int(rng.choice([0, words + 1, (1 << 24) // size, (1 << 32) - 1]))
            case _:
                came = max(1, came + int(rng.choice([-1, 1])))
    if rng.random() < 0.5:
        return packet_of(config, Read(address, count, external=1))
    content = rng.integers(0, 4, came * size, np.uint8).tobytes()
    return packet_of(config, Write(address, count, external=1), content)


def _copy(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
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
        fields |= _one_of(
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


def _fill(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
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
        if wrong:
            fields |= _one_of(
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
        fields |= _one_of(
            rng,
            [
                {"target": int(Target.VALUES), "indices": size, "index_words": 1},
                {"target": int(Target.VALUES), "indices": 0, "index_words": (1 << 32) - 1},
                {"target": int(Target.INDICES), "index_words": 1},
                {"target": 0},
                {"target": 5},
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


def _image(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
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
        fields |= _one_of(
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


def _rows(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
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
    if wrong:
        fields |= _one_of(
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
                {"transposed": 0, "missing": 1},
                {"transposed": 1, "missing": config.group if config.training else 0},
            ],
        )
    return packet_of(config, Rows(**fields, waits=waits))


def _dense(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
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
        fields |= _one_of(
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


def _vector(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
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
        fields |= _one_of(
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


def _waits(config: Config, rng: np.random.Generator, ordered: bool) -> int:
    """What a descriptor waits for: mostly for some of those just before it."""
    if not config.tensor_words:
        return 0
    if ordered:
        return after(dict.fromkeys(Engine, 0))
    named = {engine: int(rng.integers(4)) for engine in Engine if rng.random() < 0.5}
    return after(named | ({Engine.FILL: MOST_LEFT} if rng.random() < 0.1 else {}))


def _run(
    config: Config, rng: np.random.Generator, wrong: bool, waits: int, silent: bool = False
) -> bytes:
    """A RUN, maybe after its SIDE; if it is `silent` one without rows in its answer."""
    finish = bool(rng.integers(4))
    depth = config.schedule_records
    count = int(rng.integers(1, 4))
    fields = {
        "finish": int(finish),
        "relu": int(rng.integers(2)),
        "output": int(rng.integers(len(ROUNDED))),
        "settings_page": int(rng.integers(config.settings_pages)),
        "activation_base": int(rng.integers(2 * config.activation_groups)),
        "activation_stride": int(rng.integers(3)),
        "row_blocks": int(rng.integers(1, 4)) if finish else 1,
        "slot_base": int(rng.integers(2 * config.weight_slots)),
        "schedule_base": int(rng.integers(2)) * depth + int(rng.integers(depth - count + 1)),
        "schedule_count": count,
    }
    if config.tensor_words and finish and (silent or rng.random() < 0.5):
        fields |= _stored(config, rng)
    elif silent:
        fields |= {"finish": 0, "row_blocks": 1}
    side = _beside(config, rng, fields) if fields.get("store") and rng.random() < 0.6 else {}
    if wrong and side and rng.random() < 0.5:
        change = _one_of(rng, _beside_wrongly(config, fields, side))
        side |= {name: value for name, value in change.items() if name in side}
        fields |= {name: value for name, value in change.items() if name not in side}
    elif wrong and fields.get("store") and rng.random() < 0.5:
        fields |= _one_of(rng, _stored_wrongly(config, fields))
    elif wrong:
        above = config.settings_pages
        limit = 8 - above.bit_length()
        name, value = _one_of(
            rng,
            [
                ("settings_page", fields["settings_page"] | above << int(rng.integers(limit))),
                ("output", 3),
                ("activation_base", 2 * config.activation_groups),
                ("row_blocks", 0 if finish else 2),
                ("slot_base", 2 * config.weight_slots),
                ("schedule_base", 2 * depth),
                ("schedule_base", fields["schedule_base"] // depth * depth + depth - count + 1),
                ("schedule_count", 0),
            ],
        )
        fields[name] = value
    first = packet_of(config, Side(**side)) if side else b""
    return first + packet_of(config, Run(**fields, waits=waits))


def _stored(config: Config, rng: np.random.Generator) -> dict[str, int]:
    """Where a RUN's rows go: tensors that take all of them, or a part."""
    groups, blocks = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    pitch = groups + int(rng.choice([0, 0, 1]))
    windows = int(rng.integers(1, blocks * config.rows // config.lanes + 1))
    words = min((windows - 1) * pitch + groups + int(rng.integers(2)), config.tensor_words)
    units = groups * config.group_bytes // config.store_bytes
    return {
        "store": 1,
        "pad": int(rng.integers(2)),
        "destination": int(rng.integers(config.tensor_words - words + 1)),
        "words": words,
        "pitch": pitch,
        "groups": groups,
        "offset": int(rng.integers(units)) * config.store_bytes,
    }


def _beside(config: Config, rng: np.random.Generator, fields: dict[str, int]) -> dict[str, int]:
    """Give a RUN that stores an addend, a mask or RAW outputs, as far as there is room for their
    words; returns the fields of its SIDE."""
    size, begin, words = config.tensor_words, fields["destination"], fields["words"]
    raw = rng.random() < 0.4 and begin + 4 * words <= size
    if raw:
        fields |= {"output": int(OutputFormat.RAW), "relu": 0}
    output = OutputFormat(fields["output"])
    # Column 0 is an element where rows of side operands can begin.
    unit = config.store_bytes * output.result_bits // 8
    fields["offset"] -= fields["offset"] % unit
    first = fields["offset"] * 8 // output.result_bits
    plane = words + int(rng.integers(2)) if raw and begin + 4 * words + 3 <= size else words
    side = dict.fromkeys(Side.layout(), 0) | {"output_plane": plane}
    stored = begin, words + (3 * plane if raw else 0)
    kind = rng.integers(4)
    if kind > 0:
        wide = bool(rng.integers(2))
        bits = 32 if wide else config.format.bits
        least = first * bits // (8 * config.group_bytes) + 1
        groups = least + int(rng.integers(5))
        pitch = groups + int(rng.choice([0, 0, 1]))
        windows = int(rng.integers(1, fields["row_blocks"] * config.rows // config.lanes + 1))
        count = (windows - 1) * pitch + groups + int(rng.integers(2))
        planes = config.raw_limbs if wide else 1
        more = count + int(rng.integers(2))
        place = _beyond(config, rng, stored, count + (planes - 1) * more)
        in_place = raw if wide else not raw and output.result_bits == bits
        if in_place and least <= fields["groups"] and rng.random() < 0.4:
            place, groups, pitch, count = begin, fields["groups"], fields["pitch"], words
            more = plane
        if place is not None:
            fields |= {"addend": 1, "raw_addend": int(wide)}
            side |= {
                "addend_offset": (place - begin) % size,
                "addend_words": count,
                "addend_pitch": pitch,
                "addend_groups": groups,
                "addend_plane": more,
            }
    if not raw and kind != 1:
        place = begin if rng.random() < 0.3 else _beyond(config, rng, stored, words)
        if place is not None:
            fields["mask"] = 1
            side["mask_offset"] = (place - begin) % size
    return side


def _beyond(config: Config, rng: np.random.Generator, stored: tuple[int, int], count: int):
    """The first of so many words that are not stored to; None if there are none."""
    begin, words = stored
    places = [(0, begin - count), (begin + words, config.tensor_words - count)]
    places = [(low, high) for low, high in places if low <= high]
    if not places:
        return None
    low, high = _one_of(rng, places)
    return int(rng.choice([low, high, int(rng.integers(low, high + 1))]))


def _beside_wrongly(config: Config, fields: dict[str, int], side: dict[str, int]) -> list:
    size, begin, words = config.tensor_words, fields["destination"], fields["words"]
    narrow = fields.get("addend") and not fields.get("raw_addend")
    return [
        {"store": 0, "addend": 1},
        {"store": 0, "mask": 1},
        {"addend": 0, "raw_addend": 1},
        {"output": int(OutputFormat.RAW), "relu": 1},
        {"output": int(OutputFormat.RAW), "relu": 0, "mask": 1},
        {"output": int(OutputFormat.RAW), "relu": 0, "output_plane": words - 1},
        {"output": int(OutputFormat.RAW), "relu": 0, "mask": 0, "output_plane": size},
        {"offset": fields["offset"] + 1, "mask": 1},
        {"addend": 1, "addend_groups": 0},
        {"addend": 1, "addend_offset": (size - begin) % size, "addend_words": size + 1},
        {"addend": 1, "raw_addend": 1, "addend_plane": size},
        {"addend": 1, "addend_offset": 1} if narrow else {"addend_pitch": 0, "addend_groups": 1},
        {"mask": 1, "mask_offset": 1 if words > 1 else (size - 1 - begin) % size},
        {"mask": 1, "mask_offset": (size - words + 1 - begin) % size},
        {"addend_words": 0, "addend_pitch": 3, "addend_groups": 1},
    ]


def _stored_wrongly(config: Config, fields: dict[str, int]) -> list[dict[str, int]]:
    groups, row = fields["groups"], fields["groups"] * config.group_bytes
    return [
        {"finish": 0, "row_blocks": 1},
        {"pitch": groups - 1},
        {"groups": 0},
        {"offset": row},
        {"offset": 1} if config.store_bytes > 1 else {"offset": row + 1},
        {"words": groups - 1},
        {"destination": config.tensor_words - fields["words"] + 1},
    ]


def _one_of(rng: np.random.Generator, choices: list):
    return choices[rng.integers(len(choices))]


def _damaged(config: Config, rng: np.random.Generator, packet: bytes) -> bytes:
    """A packet whose header is wrong in a way that any command's can be."""
    match rng.integers(4):
        case 0:
            bit = int(rng.integers(8 * HEADER_BYTES))
            flipped = packet[bit // 8] ^ 1 << bit % 8
            return packet[: bit // 8] + bytes([flipped]) + packet[bit // 8 + 1 :]
        case 1:
            unknown = int(rng.choice([0, max(Opcode) + 1, 255]))
            return tagged(bytes([unknown]) + packet[1:], packet[1])
        case 2 if config.header_beats > 1:
            return packet[: int(rng.integers(1, config.header_beats)) * config.stream_bytes]
        case _:
            return packet + bytes(config.stream_bytes)
