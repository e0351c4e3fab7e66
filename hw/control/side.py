"""Where a RUN's side operands lie, and what can be wrong with them."""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data

from ..config import Config
from ..formats import ROUNDED, OutputFormat
from ..lib.pipeline import register, times


def first_places(config: Config, m: Module, run) -> tuple[Signal, Signal]:
    """The first element of a RUN's rows, counted in `Config.store_bytes` elements; and whether its
    `offset` lies between two such places."""
    first, between = Signal(16), Signal()
    with m.Switch(run.output):
        for output in OutputFormat:
            shift = (config.store_bytes * output.result_bits // 8).bit_length() - 1
            with m.Case(output):
                m.d.comb += [first.eq(run.offset >> shift), between.eq(run.offset[:shift].any())]
    return first, between


def place_of(config: Config, first: Value, bits: int | Value) -> tuple[Value, Value]:
    """Of elements of so many bits: the group of a row's first one, and its place in the group."""
    group = (8 * config.group_bytes // config.side_bits).bit_length() - 1
    narrowest = min(8, config.format.bits)
    wide = Const(0, 0)
    for width in (4, 8, 16, 32):
        if width >= narrowest:
            wide = Mux(bits == width, first << (width // narrowest).bit_length() - 1, wide)
    return wide[group:], wide[:group]


def addend_bits(config: Config, run) -> Value:
    """Width of an addend's element, or of a limb of it."""
    return Mux(run.raw_addend, 32, config.format.bits)


def moved(config: Config, run, offset: Value) -> Value:
    """The word that lies `offset` words behind a RUN's destination; addresses wrap."""
    return (run.destination + offset)[: (config.tensor_words - 1).bit_length()]


def wrong(config: Config, m: Module, run, side: data.View) -> dict[str, Value]:
    """What of a RUN with side operands, or with RAW outputs, is a bad field or a bad address."""
    size, raw = config.tensor_words, run.output == OutputFormat.RAW
    first, between = first_places(config, m, run)
    group, _ = place_of(config, first, addend_bits(config, run))
    # From the first plane's first word to the last one's last. A SIDE is there before its RUN.
    bits = (size - 1).bit_length()
    all_planes = side.addend_words + times(side.addend_plane, config.raw_limbs - 1)
    planes = register(
        m,
        "planes",
        {
            "read": all_planes,
            "around": side.addend_offset[:bits] + side.addend_words > size,
            "all_around": side.addend_offset[:bits] + all_planes > size,
            "stored": times(side.output_plane, OutputFormat.RAW.limbs - 1),
            "apart": side.addend_plane != side.output_plane,
        },
    )
    read = Mux(run.raw_addend, planes["read"], side.addend_words)
    around = Mux(run.raw_addend, planes["all_around"], planes["around"])
    mask_around = side.mask_offset[:bits] + run.words > size
    stored = run.words + Mux(raw, planes["stored"], 0)
    addend, mask = (moved(config, run, offset) for offset in (side.addend_offset, side.mask_offset))

    def overlap(offset: Value, around: Value) -> Value:
        """What lies `offset` words behind what is stored reaches into it, both being in the memory:
        from its end, or, where addresses have wrapped, `around` into its beginning."""
        wrapped = (run.destination[:bits] + offset[:bits])[bits]
        return Mux(wrapped, around, offset[:bits] < stored)

    # Outputs whose elements lie as the addend's.
    alike = [output == run.output for output in ROUNDED if output.result_bits == config.format.bits]
    in_place = (
        (side.addend_offset == 0)
        & (side.addend_pitch == run.pitch)
        & Mux(
            run.raw_addend,
            raw & ~planes["apart"],
            alike[0] if alike else 0,
        )
    )
    field = (
        ((run.addend | run.raw_addend | run.mask | raw) & ~run.store)
        | (run.raw_addend & ~run.addend)
        | (raw & (run.relu | run.mask | (side.output_plane < run.words)))
        | ((run.addend | run.mask) & between)
        | (run.addend & (group >= side.addend_groups))
    )
    address = (
        (run.addend & (addend + read > size))
        | (run.mask & (mask + run.words > size))
        | (run.store & (run.destination + stored > size))
        | (run.addend & ~in_place & overlap(side.addend_offset, around))
        | (run.mask & (side.mask_offset != 0) & overlap(side.mask_offset, mask_around))
    )
    return {"side_field": field, "side_address": address}


def layout_wrong(side: data.View) -> Value:
    """A SIDE whose addend's rows would lie across each other, or have no place in its words."""
    return (side.addend_pitch < side.addend_groups) | (side.addend_words < side.addend_groups)
