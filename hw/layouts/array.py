"""Layouts and signatures of the array: operands, what goes to the buffers, RUNs and their tiles."""

from amaranth import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from ..config import Config
from ..formats import Format
from ..isa.codes import Target
from ..isa.commands import Side
from ..isa.maps import chunks


def operand(format: Format) -> data.StructLayout:
    """An element as the array multiplies it: ``value << (4 * step)`` units (see `formats`)."""
    return data.StructLayout({"value": signed(format.value_bits), "step": format.step_bits})


def group_signature(config: Config) -> wiring.Signature:
    """West to east: a group of M activations, taken where `load` is set."""
    return wiring.Signature(
        {
            "group": Out(data.ArrayLayout(operand(config.format), config.group)),
            "load": Out(1),
        }
    )


def weight_signature(config: Config) -> wiring.Signature:
    """North to south: a kept weight, its place in the group, and the end of the dot product.

    A bubble is a weight of zero: it adds nothing. For training also whether the index that an
    element holds counts, not this one (`held`); whether this one is for the first element that has
    not taken any (`offered`); and whether, after this slot, all hold what they have taken (`swap`).
    """
    training = dict.fromkeys(HOLDING.members, Out(1)) if config.training else {}
    return wiring.Signature(
        {
            "weight": Out(operand(config.format)),
            "index": Out(config.index_bits),
            "last": Out(1),
            **training,
        }
    )


HOLDING = data.StructLayout(dict.fromkeys(("held", "offered", "swap"), 1))
"""What goes with a weight about the indices that elements hold."""


def write_signature(config: Config) -> wiring.Signature:
    """The bus from the sequencer to the buffers: one chunk a cycle, never refused.

    `chunk` is the chunk's number in its word (banks ``chunk * size`` on); `data` holds the
    chunk in its low bits, as raw elements of the stream.
    """
    kinds = chunks(config)
    return wiring.Signature(
        {
            "valid": Out(1),
            "target": Out(Target),
            "address": Out(16),
            "chunk": Out(8),
            "data": Out(max(c.bits for c in kinds.values())),
        }
    )


def settings_signature(config: Config) -> wiring.Signature:
    """The bus that sets bias and scale of one column, in one entry: never refused.

    With `all` the column of that place in every group of S columns is set.
    """
    return wiring.Signature(
        {
            "valid": Out(1),
            "column": Out(8),
            "all": Out(1),
            "entry": Out(range(config.settings_entries)),
            "scale": Out(16),
            "exponent": Out(signed(16)),
            "bias": Out(signed(config.accumulator_bits)),
        }
    )


def MODE(config: Config) -> data.StructLayout:
    """What a RUN wants done with its tiles, as in `commands.Run`."""
    fields = {"finish": 1, "relu": 1, "format": 2, "settings_page": range(config.settings_pages)}
    if config.tensor_words:
        fields |= {"addend": 1, "mask": 1}
    return data.StructLayout(fields)


def HOLD(config: Config) -> data.StructLayout:
    """What a RUN does with the indices that elements hold: whether they are `held`, and whether it
    `takes` others, from slot `base` of its page on, each a `step` further."""
    step = Side.layout()["held_step"][0]
    return data.StructLayout(
        {"held": 1, "takes": 1, "base": range(config.weight_slots), "step": step}
    )


def RUN(config: Config) -> data.StructLayout:
    """A RUN command, checked, on its way to the issuer."""
    return data.StructLayout(
        {
            "mode": MODE(config),
            "activation_base": 16,
            "activation_stride": 16,
            "row_blocks": 16,
            "slot_base": 16,
            "schedule_base": 16,
            "schedule_count": 16,
            **({"hold": HOLD(config)} if config.training else {}),
        }
    )


def RECORD(config: Config) -> data.StructLayout:
    """A group to issue: N - 1, or that there is no weight (only for a tile without any), where its
    activations lie, whether it is the `first` or the `last` of its tile, and whether that tile is
    the `end` of its RUN."""
    return data.StructLayout(
        {
            "more_rounds": 4,
            "empty": 1,
            "address": 16,
            "first": 1,
            "last": 1,
            "end": 1,
            "mode": MODE(config),
            "slot_base": 16,
            "schedule_page": 1,
            **({"hold": HOLD(config)} if config.training else {}),
        }
    )


def PAGES(config: Config) -> dict[str, int]:
    """How many pages there are of each kind; a RUN uses one of each."""
    return {"activations": 2, "weights": 2, "schedule": 2, "settings": config.settings_pages}


def PAGE_NUMBERS(config: Config) -> data.StructLayout:
    """Which page of each kind a RUN uses."""
    return data.StructLayout({kind: range(count) for kind, count in PAGES(config).items()})


def RELEASE(config: Config) -> wiring.Signature:
    """A RUN has read its buffers: their pages are free. Its settings page is released apart."""
    return wiring.Signature({"valid": Out(1), "pages": Out(PAGE_NUMBERS(config))})


def RELEASE_SETTINGS(config: Config) -> wiring.Signature:
    """A page of column settings is free of a RUN."""
    return wiring.Signature({"valid": Out(1), "page": Out(range(config.settings_pages))})


def DRAINED(config: Config) -> wiring.Signature:
    """A row of a column's sums leaves the array: what its tile wants done, which context's it is,
    and whether it is the `end` of its RUN."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "mode": Out(MODE(config)),
            "context": Out(range(config.interleave)),
            "end": Out(1),
        }
    )


def FINISH(config: Config) -> wiring.Signature:
    """The end of a finished tile is issued; `end` if the tile is the last of its RUN."""
    return wiring.Signature({"valid": Out(1), "mode": Out(MODE(config)), "end": Out(1)})
