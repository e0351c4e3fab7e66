"""The AXI4-Lite register map: one table for gateware, driver and documentation.

All registers are 32 bits. Reads of other addresses give zero; writes to them are ignored.
"""

from dataclasses import dataclass
from enum import Enum

from ..config import Accumulation, Config, ConfigError
from ..formats import FORMATS
from .codes import Flag
from .engine_counters import ENGINE_ADDRESS, ENGINE_COUNTERS

MAGIC = 0x48_44_4C_45
"""Identification: "HDLE"."""
VERSION = 0x0002_0001
"""Interface version, major in the upper half. A driver talks to its own major version."""


class Access(Enum):
    CONSTANT = "constant"
    """Known when the hardware is generated."""
    READ = "read"
    """Counts or reports; writes are ignored."""
    READ_WRITE = "read and write"
    WRITE = "write"
    """Written bits act for one cycle; reads as zero."""


@dataclass(frozen=True)
class Register:
    name: str
    access: Access
    text: str


FIRST = (
    Register("magic", Access.CONSTANT, 'identification: 0x48444C45, "HDLE"'),
    Register("version", Access.CONSTANT, "interface version: major << 16 | minor"),
    Register("array", Access.CONSTANT, "rows | columns << 16"),
    Register("format", Access.CONSTANT, "format | accumulation << 8 | group << 16 | T << 24"),
    Register(
        "stream",
        Access.CONSTANT,
        "lanes | S << 8 | accumulator bits << 16 | RUNs ahead << 24 | counters << 31",
    ),
    Register("activation_groups", Access.CONSTANT, "activation groups a row holds in a page"),
    Register("weight_slots", Access.CONSTANT, "weights a column holds in a page"),
    Register("schedule_records", Access.CONSTANT, "group records the schedule holds in a page"),
    Register("control", Access.WRITE, "bit 0: clear counters; bit 1: clear flags; bit 2: reset"),
    Register("status", Access.READ, "bit 0: busy"),
    Register("flags", Access.READ, "sticky: " + ", ".join(f"{f.value} {f.name}" for f in Flag)),
    Register("commands", Access.READ, "packets answered"),
    Register("errors", Access.READ, "packets answered with an error"),
    Register("cycles", Access.READ, "from the first issue to the last output, both included"),
    Register("cycles_high", Access.READ, "upper half of cycles"),
    Register("total", Access.READ, "cycles since the counters were cleared"),
    Register("total_high", Access.READ, "upper half of total"),
    Register("macs", Access.READ, "multiplications by a weight that is not zero, all rows"),
    Register("macs_high", Access.READ, "upper half of macs"),
    Register("slots", Access.READ, "weight slots issued to the array"),
    Register("slots_high", Access.READ, "upper half of slots"),
    Register("tiles", Access.READ, "tiles finished"),
    Register("stall_drain", Access.READ, "cycles a tile waited for the drain chain"),
    Register("stall_output", Access.READ, "cycles a tile waited for room in the output buffers"),
    Register("stall_schedule", Access.READ, "cycles the array waited for group records"),
    Register("stall_host", Access.READ, "cycles between tiles without a RUN to execute"),
    Register("overlap", Access.READ, "cycles in which a tile drained while another was issued"),
    Register("settings_pages", Access.CONSTANT, "pages of column settings"),
    Register("tensor_words", Access.CONSTANT, "words of tensor memory, each a beat"),
    Register("vector_lanes", Access.CONSTANT, "lanes of the vector unit; 0: there is none"),
    Register("external_bits", Access.CONSTANT, "bits of external memory's byte addresses; 0: none"),
    Register("training", Access.CONSTANT, "bit 0: rows can be transposed, and be dense weights"),
)
"""In address order, four bytes each."""
REGISTERS = (*FIRST, *(Register(c.name, Access.READ, c.text) for c in ENGINE_COUNTERS))
"""All, in address order; engines' counters begin at `engine_counters.BASE`."""

ADDRESS = {r.name: 4 * i for i, r in enumerate(FIRST)} | ENGINE_ADDRESS

CONTROL_CLEAR_COUNTERS = 1 << 0
CONTROL_CLEAR_FLAGS = 1 << 1
CONTROL_RESET = 1 << 2


STALLS = ("stall_drain", "stall_output", "stall_schedule", "stall_host")
WIDE = ("cycles", "total", "macs", "slots")
"""Counters of 64 bits; the others have 32."""
NARROW = ("commands", "errors", "tiles", *STALLS, "overlap")
ALWAYS = ("commands", "errors")
"""What a `compact` device counts too."""


def kept(config: Config) -> tuple[str, ...]:
    """The counters that `config` has; the others stay at zero."""
    return (*WIDE, *NARROW) if not config.compact else ALWAYS


def constants(config: Config) -> dict[str, int]:
    """Values of the constant registers for `config`."""
    return {
        "magic": MAGIC,
        "version": VERSION,
        "array": config.rows | config.columns << 16,
        "format": list(FORMATS.values()).index(config.format)
        | config.accumulation << 8
        | config.group << 16
        | config.interleave << 24,
        "stream": config.lanes
        | config.columns_per_epilogue << 8
        | config.accumulator_bits << 16
        | config.runs_ahead << 24
        | (not config.compact) << 31,
        "activation_groups": config.activation_groups,
        "weight_slots": config.weight_slots,
        "schedule_records": config.schedule_records,
        "settings_pages": config.settings_pages,
        "tensor_words": config.tensor_words,
        "vector_lanes": config.vector_lanes,
        "external_bits": config.external_bits,
        "training": int(config.training),
    }


def config_from(read: dict[str, int], name: str = "device") -> Config:
    """The configuration that a device's constant registers describe (inverse of `constants`).

    Raises `ValueError` (mostly a `ConfigError`) if there is none: the device is of a later release,
    say.
    """
    word = read["format"]
    format, accumulation = word & 0xFF, word >> 8 & 0xFF
    if format >= len(FORMATS) or accumulation not in list(Accumulation):
        raise ConfigError(
            f"configuration {name!r}: format {format} with accumulation {accumulation} is not "
            f"known to this release, whose formats are {', '.join(FORMATS)}"
        )
    return Config(
        name=name,
        rows=read["array"] & 0xFFFF,
        columns=read["array"] >> 16,
        format=list(FORMATS.values())[format],
        accumulation=Accumulation(accumulation),
        group=word >> 16 & 0xFF,
        interleave=word >> 24,
        lanes=read["stream"] & 0xFF,
        columns_per_epilogue=read["stream"] >> 8 & 0xFF,
        activation_groups=read["activation_groups"],
        weight_slots=read["weight_slots"],
        schedule_records=read["schedule_records"],
        settings_pages=read["settings_pages"],
        runs_ahead=read["stream"] >> 24 & 0x7F,
        tensor_words=read["tensor_words"],
        vector_lanes=read["vector_lanes"],
        external_bits=read["external_bits"],
        training=bool(read["training"]),
        compact=not read["stream"] >> 31,
    )
