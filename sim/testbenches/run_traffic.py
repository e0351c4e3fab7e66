"""Random RUNs: for the host or to be stored, with side operands and without."""

import numpy as np

from ...hw.config import Config
from ...hw.formats import ROUNDED, OutputFormat
from ...hw.isa.commands import Run, Side
from ...hw.isa.host_stream import packet_of
from .common import one_of


def run(
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
    beside = bool(side)
    if config.training:
        fields |= {name: int(rng.integers(2)) for name in ("held", "takes")}
        if fields["takes"] and not side and rng.random() < 0.7:
            side = dict.fromkeys(Side.layout(), 0)
    if side:
        side |= {"held": int(rng.integers(1 << 16)), "held_step": int(rng.integers(1 << 5))}
    if wrong and beside and rng.random() < 0.5:
        change = one_of(rng, _beside_wrongly(config, fields, side))
        side |= {name: value for name, value in change.items() if name in side}
        fields |= {name: value for name, value in change.items() if name not in side}
    elif wrong and fields.get("store") and rng.random() < 0.5:
        fields |= one_of(rng, _stored_wrongly(config, fields))
    elif wrong:
        above = config.settings_pages
        limit = 8 - above.bit_length()
        name, value = one_of(
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
                *[("held", 1), ("takes", 1)] * (config.tensor_words > 0 and not config.training),
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
    low, high = one_of(rng, places)
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
