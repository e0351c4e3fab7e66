"""Random commands of the host's own: what it loads, sets, writes and reads."""

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.commands import ALL_COLUMNS, ColumnSettings, Load, Read, Write
from ...hw.isa.host_stream import packet_of
from ...hw.isa.maps import address_bits


def payload_bits(config: Config) -> dict[Target, int]:
    """Size in bits of one word of each buffer's payload."""
    return {
        Target.ACTIVATIONS: config.rows * config.group * config.format.bits,
        Target.SCHEDULE: 8,
        Target.INDICES: 4 * config.columns,
        Target.VALUES: config.columns * config.format.bits,
    }


def load(config: Config, rng: np.random.Generator, wrong: bool) -> bytes:
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


def column_settings(config: Config, rng: np.random.Generator, wrong: bool) -> bytes:
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


def words(config: Config, rng: np.random.Generator, wrong: bool) -> bytes:
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


def words_outside(config: Config, rng: np.random.Generator, wrong: bool, waits: int) -> bytes:
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
