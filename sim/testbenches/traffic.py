"""Random commands for verification: mostly sensible, some wrong in one of the ways there are."""

import numpy as np

from ...hw.config import HEADER_BYTES, Config
from ...hw.isa.codes import Opcode
from ...hw.isa.commands import Sync
from ...hw.isa.engines import MOST_LEFT, Engine, after
from ...hw.isa.host_stream import packet_of, tagged
from . import descriptor_traffic as descriptors
from . import host_traffic as host
from .common import one_of
from .run_traffic import run


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
        packet = descriptors.image(config, rng, False, 0) + packet
    while rng.random() < 0.3:
        # Its answer must not have more to say.
        first = tagged(packet_of(config, Sync()), int(rng.integers(256)))
        if config.tensor_words and rng.random() < 0.8:
            ways: list[tuple] = [
                (descriptors.fill,),
                (descriptors.rows,),
                (descriptors.image,),
                (run, True),
            ]
            ways += [(descriptors.vector,)] if config.vector_lanes else []
            ways += [(descriptors.copy,)] if config.external_bits else []
            ways += [(descriptors.dense,)] if config.training else []
            ways += [(descriptors.prune,)] if config.prunes else []
            kind, *more = one_of(rng, ways)
            wrong = rng.random() < faults / 4
            first = kind(config, rng, wrong, _waits(config, rng, ordered), *more)
        packet = first + packet
    return packet


def _command(config: Config, rng: np.random.Generator, faults: float, ordered: bool) -> bytes:
    waits = _waits(config, rng, ordered)
    wrong = rng.random() < faults
    more = [descriptors.vector] if config.vector_lanes else []
    more += [descriptors.prune] if config.prunes else []
    more += [descriptors.copy, descriptors.copy, host.words_outside] if config.external_bits else []
    kind = rng.integers(16 + len(more) if config.tensor_words else 10)
    if kind > 15:
        packet = more[kind - 16](config, rng, wrong, waits)
    elif kind > 13:
        packet = descriptors.rows(config, rng, wrong, waits)
    elif kind > 11:
        dense = config.training and rng.random() < 0.4
        packet = (descriptors.dense if dense else descriptors.fill)(config, rng, wrong, waits)
    elif kind > 9:
        packet = host.words(config, rng, wrong)
    elif kind < 5:
        packet = host.load(config, rng, wrong)
    elif kind == 5:
        packet = host.column_settings(config, rng, wrong)
    elif kind == 6:
        packet = packet_of(config, Sync())
    else:
        packet = run(config, rng, wrong, waits)
    packet = tagged(packet, int(rng.integers(256)))
    return _damaged(config, rng, packet) if wrong and rng.random() < 0.4 else packet


def _waits(config: Config, rng: np.random.Generator, ordered: bool) -> int:
    """What a descriptor waits for: mostly for some of those just before it."""
    if not config.tensor_words:
        return 0
    if ordered:
        return after(dict.fromkeys(Engine, 0))
    named = {engine: int(rng.integers(4)) for engine in Engine if rng.random() < 0.5}
    return after(named | ({Engine.FILL: MOST_LEFT} if rng.random() < 0.1 else {}))


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
