"""Layouts of the host's streams: beats, headers, and what a response says."""

from amaranth import Shape
from amaranth.lib import data

from ..config import Config
from ..isa.header import Header


def beat(config: Config) -> data.StructLayout:
    """One beat of a host stream; `last` ends a packet."""
    return data.StructLayout({"data": 8 * config.stream_bytes, "last": 1})


def FIELDS(kind: type[Header]) -> data.StructLayout:
    """A command's fields, but for what it waits for."""
    return data.StructLayout(
        {name: Shape(bits, signed) for name, (bits, signed) in kind.layout().items()}
    )


def HEADER(kind: type[Header]) -> data.StructLayout:
    """A command's header but for its check, field by field."""
    return data.StructLayout({"opcode": 8, "tag": 8, **FIELDS(kind).members})


def RESPONSE(config: Config) -> data.StructLayout:
    """What the response writer sends: a header, then `rows` rows of C outputs in `format`; or, of
    `memory`, so many words from `address` on; these come by themselves if they are `external`."""
    fields = {"opcode": 8, "tag": 8, "status": 16, "rows": 32, "format": 2}
    if config.tensor_words:
        fields |= {"memory": 1, "address": range(config.tensor_words)}
    if config.external_bits:
        fields |= {"external": 1}
    return data.StructLayout(fields)
