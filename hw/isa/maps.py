"""How the words of the buffers are addressed, and how they travel in beats."""

from math import gcd

from ..config import Config
from .codes import Target

INDEX_BITS = 4
"""Of an index as it travels."""


class Chunks:
    """How the words of one buffer travel in beats: a beat of U units fills banks in chunks.

    ``size = gcd(U, banks)`` units are written in one cycle, so a chunk lies within a beat and
    within a word, for any array shape.
    """

    def __init__(self, unit_bits: int, units: int, banks: int):
        self.unit_bits = unit_bits
        self.units = units
        """U: units in a beat."""
        self.size = gcd(units, banks)
        """Units in a chunk."""
        self.per_beat = units // self.size
        self.per_word = banks // self.size

    @property
    def bits(self) -> int:
        return self.unit_bits * self.size


def chunks(config: Config) -> dict[Target, Chunks]:
    """The chunking of each buffer that LOAD can fill."""
    bits = 8 * config.stream_bytes
    element = config.format.bits
    return {
        Target.ACTIVATIONS: Chunks(config.group * element, config.lanes, config.rows),
        Target.SCHEDULE: Chunks(8, bits // 8, 1),
        Target.INDICES: Chunks(INDEX_BITS, bits // INDEX_BITS, config.columns),
        Target.VALUES: Chunks(element, bits // element, config.columns),
    }


def address_bits(config: Config) -> dict[Target, int]:
    """Width of a word address in each buffer; its top bit is the page."""
    return {
        Target.ACTIVATIONS: config.activation_groups.bit_length(),
        Target.SCHEDULE: config.schedule_records.bit_length(),
        Target.INDICES: config.weight_slots.bit_length(),
        Target.VALUES: config.weight_slots.bit_length(),
    }
