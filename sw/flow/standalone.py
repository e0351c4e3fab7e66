"""A testbench in plain Verilog beside the accelerator's, with vectors of the golden model."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...hw.bus.axi_lite import ADDRESS_BITS
from ...hw.config import Config
from ...hw.formats import ROUNDED, OutputFormat
from ...hw.isa.commands import Sync
from ...hw.isa.host_stream import packet_of
from ...hw.isa.registers import ADDRESS
from ...hw.verilog import TOP, stem
from ...sim.engines.packets import longest_silence
from ...sim.golden import numbers
from ...sim.golden.device import ModelTransport
from ..compiler import nm, packing
from ..compiler.elements import to_raw
from ..compiler.plan import Plan
from ..compiler.scaling import fitted
from ..compiler.settings import settings_of

SEED = 1


def texts(config: Config, top: str = TOP) -> dict[str, str]:
    """The testbench of `hw.verilog.texts` with its commands and responses, by file name."""
    model, packets = ModelTransport(config), vectors(config)
    answers = model.exchange(packets)
    # A response tells the flags of its own moment, which no model of no time knows.
    assert not model.read_register(ADDRESS["flags"])
    name = stem(config, top)
    commands, responses = lines(config, packets), lines(config, answers)
    fields = {
        "TOP": top,
        "CONFIG": config.name,
        "STEM": name,
        "WIDTH": 8 * config.stream_bytes,
        "ADDRESS": ADDRESS_BITS,
        "COMMANDS": len(commands),
        "RESPONSES": len(responses),
        "SILENCE": longest_silence(config),
    }
    bench = Path(__file__).with_suffix(".v").read_text(encoding="utf-8")
    for field, value in fields.items():
        bench = bench.replace(f"@{field}@", str(value))
    return {
        f"{name}_tb.v": bench,
        f"{name}_commands.hex": "\n".join([*commands, ""]),
        f"{name}_responses.hex": "\n".join([*responses, ""]),
    }


def vectors(config: Config) -> list[bytes]:
    """Command packets: products of every N, each output format, ReLU, bias and scale; several row
    and column blocks; an empty group; commands that are refused, between good ones."""
    rng = np.random.default_rng(SEED)
    good = packet_of(config, Sync())
    packets = [good, good[:3] + bytes([good[3] ^ 4]) + good[4:], good + bytes(config.stream_bytes)]
    for n in range(config.group + 1):
        packets += product(config, rng, n, ROUNDED[n % len(ROUNDED)])
    return [*packets, good]


def product(config: Config, rng: np.random.Generator, n: int, output: OutputFormat) -> list[bytes]:
    """The packets of a product with `n` weights in a group, whose outputs are not clipped."""
    rows, outputs, inner = config.rows + 1, config.tile_columns + 1, 3 * config.group - 1
    format = config.format
    spread = 1.0 if format.is_float else numbers.largest_value(format) / 3
    x = fitted(rng.standard_normal((rows, inner)) * spread, format)
    w = fitted(rng.standard_normal((inner, outputs)) * spread, format)
    w = nm.prune(w, n, config.group)
    w[config.group : 2 * config.group] = 0
    weights = packing.pack(w, format, None, config.group, config.group)
    size = spread * spread * np.sqrt(inner)
    bias = rng.uniform(-2, 2, outputs) * size
    settings = settings_of(config, outputs, bias, rng.uniform(5, 10, outputs) / size)
    relu = bool(n % 2)
    return Plan(config, to_raw(x, format), weights, settings, relu, output).packets()[0]


def lines(config: Config, packets: Iterable[bytes] | Sequence[bytes]) -> list[str]:
    """The packets' beats, a hexadecimal number each: the data, and above it whether it is last."""
    size = config.stream_bytes
    found = []
    for packet in packets:
        packet += bytes(-len(packet) % size)
        for at in range(0, len(packet), size):
            last = at + size == len(packet)
            word = int.from_bytes(packet[at : at + size], "little") | last << 8 * size
            found.append(f"{word:0{2 * size + 1}x}")
    return found
