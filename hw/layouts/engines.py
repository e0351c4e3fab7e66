"""Layouts of engines: what they wait for and do, and descriptors of those that are not movers."""

from amaranth.lib import data

from ..config import Config
from ..isa.descriptors import COPY_BYTES
from ..isa.engines import PLACES
from ..isa.vector import MOST_INSTRUCTIONS, STREAMS
from .tensor import WORDS


def WAITS(bits: int) -> data.ArrayLayout:
    """For each engine, whether a descriptor waits for it, and for which count, of so many bits, of
    what it has finished."""
    return data.ArrayLayout(data.StructLayout({"needed": 1, "target": bits}), PLACES)


def COUNTS(bits: int) -> data.ArrayLayout:
    """What each engine has finished."""
    return data.ArrayLayout(bits, PLACES)


STATES = data.ArrayLayout(data.StructLayout({"busy": 1, "waits": PLACES, "full": 1}), PLACES)
"""What each engine does in a cycle: it is busy, or its next descriptor waits for one engine; and
whether the command at hand waits for room in its queue."""


def VECTOR(config: Config) -> data.StructLayout:
    """A VECTOR command, checked, on its way to the vector unit: where its program lies and how many
    instructions it has, the spans of a row and the rows, and the words of each stream."""
    return data.StructLayout(
        {
            "program": range(config.tensor_words),
            "instructions": range(MOST_INSTRUCTIONS + 1),
            "spans": 16,
            "rows": 16,
            "streams": data.ArrayLayout(WORDS(config), STREAMS),
        }
    )


def PRUNE(config: Config) -> data.StructLayout:
    """A PRUNE command, checked, on its way to the pruner."""
    words = config.tensor_words
    return data.StructLayout(
        {
            "words": WORDS(config),
            "pitch": 16,
            "inputs": 12,
            "outputs": 12,
            "kept": range(config.group + 1),
            "across": 1,
            "held": 1,
            "region": WORDS(config),
            "forward_indices": 16,
            "forward_pitch": 16,
            "backward": range(words),
            "backward_indices": 16,
            "backward_pitch": 16,
        }
    )


def VECTOR_WORK(config: Config) -> data.Layout:
    """What has its turn at the vector unit: a VECTOR; or, where there is a pruner, that or a PRUNE,
    and a VECTOR may be `guarded`."""
    if not config.prunes:
        return VECTOR(config)
    fields = data.UnionLayout({"vector": VECTOR(config), "prune": PRUNE(config)})
    return data.StructLayout({"prunes": 1, "guarded": 1, "fields": fields})


def COPY(config: Config) -> data.StructLayout:
    """A COPY command, checked, on its way to the copy engine; of `host`, a WRITE or READ of
    external memory: one row of whole words, from the host's stream or to it."""
    return data.StructLayout(
        {
            "outward": 1,
            "whole": 1,
            "host": 1,
            "line": 14,
            "external": config.external_bits,
            "row_bytes": COPY_BYTES,
            "stride": 32,
            "line_stride": 32,
            "rows": 16,
            "tensor": range(config.tensor_words),
            "pitch": 16,
        }
    )
