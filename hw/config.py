"""The frozen configuration that hardware, driver and documentation derive from.

`Config` holds the choices; everything else (widths, depths, capacities) is derived beside them, so
that no second place can disagree. `PRESETS` names the configurations that are tested and measured.
"""

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from math import gcd
from numbers import Integral

from .errors import ConfigError, one_of
from .formats import FORMATS, FP16, INT8, ROUNDED, Format, OutputFormat

MAX_TERMS = 1 << 15
"""Longest dot product (in kept products) whose accumulator is proven never to overflow. A longer
one wraps around if its sum leaves the accumulator: the driver refuses what could
(`sw/compiler/bounds.py`)."""
RAW_HEADROOM = 32
"""Bits that a sum on its way to tensor memory is wider: room for 2**32 sums of `MAX_TERMS`."""
MAX_ROWS, MAX_COLUMNS, MAX_INTERLEAVE = 128, 128, 16
"""Of an array, and of the outputs that a processing element accumulates in turn."""
GROUPS = (4, 8, 16)
"""M: elements of one N:M group."""
LANES = (1, 2, 4, 8, 16)
"""Groups of activations in one beat."""
MIN_BEAT = 4
"""Bytes of the narrowest host stream."""
BEAT_BYTES = {
    width
    for m in GROUPS
    for k in LANES
    for f in FORMATS.values()
    if (width := m * k * f.bits // 8) >= MIN_BEAT
}
"""Widths of the host streams that there are."""
HEADER_BYTES = 32
"""Of a command's header and of a response's."""
BIAS_BITS = 96
"""Of the bias that a command brings, so no sum is wider."""
INSTRUCTION_BYTES = 8
"""Of an instruction of the vector unit."""
AXI_BYTES = (4, 8, 16, 32, 64, 128)
"""Widths of AXI4 buses in bytes, of those that hold a header's count."""
MIN_EXTERNAL_BITS, MAX_EXTERNAL_BITS = 12, 40
"""Of external memory's addresses: a page of AXI4's at least, a TiB at most."""
FP32_ADDER_STAGES = 5
"""Pipeline depth of the binary32 adder, and so the outputs that keep it busy."""


class Accumulation(IntEnum):
    """How the array adds products."""

    EXACT = 0
    """In a wide integer: one rounding, when the finished sum leaves."""
    FP32 = 1
    """In IEEE binary32, rounding after every addition: the variant to compare with."""


@dataclass(frozen=True)
class Config:
    """One accelerator: an R x C array of processing elements with its buffers and streams.

    Raises `ConfigError` when the fields do not fit together.
    """

    name: str
    rows: int
    """Processing elements north to south; each row works on one row of activations."""
    columns: int
    """Processing elements west to east; each column works on `interleave` outputs."""
    format: Format = FP16
    group: int = 8
    """M: elements of one N:M group, one of `GROUPS`."""
    accumulation: Accumulation = Accumulation.EXACT
    interleave: int = 1
    """T: outputs that a processing element works on in turn (hides an adder's latency)."""
    columns_per_epilogue: int = 1
    """S: columns that share one epilogue; more take fewer multipliers, and S times as many cycles
    to let a tile out."""
    lanes: int = 1
    """Groups of activations in one beat of the host stream; sets the stream's width."""
    activation_groups: int = 512
    """Groups that each row's activation buffer holds in one of its two pages."""
    weight_slots: int = 1024
    """Weights that each column's buffer holds in one of its two pages."""
    schedule_records: int = 512
    """Group records that the schedule buffer holds in one of its two pages."""
    settings_pages: int = 2
    """Pages of column settings, each for one column block: as many column blocks keep theirs on
    the device. Sixteen of one column and output cost what two do: a LUT RAM has as many rows."""
    runs_ahead: int = 16
    """RUNs that wait for the array while the host goes on loading; a RUN is about 100 bits. If
    the device is `compact`, none does."""
    tensor_words: int = 0
    """Words of tensor memory, each a beat of the host stream (one group for each lane); 0: there
    is none. A power of two."""
    vector_lanes: int = 0
    """V: binary32 operations that the vector unit does in a cycle, a power of two to M; 0: there is
    no vector unit."""
    external_bits: int = 0
    """Width of the byte addresses of external memory, behind an AXI4 port; 0: there is none."""
    training: bool = False
    """The row mover can transpose, and rows of a tensor can be weights: products that are summed
    over rows, as weight gradients are."""
    compact: bool = False
    """For the smallest devices, with a slow clock behind a slow line: no counters but those of
    commands and errors (they read as zero), no queues where there need not be any, an epilogue of
    few stages."""

    def __post_init__(self):
        def check(field: str, ok: bool, want: str):
            if not ok:
                raise ConfigError(
                    f"configuration {self.name!r}: {field} must be {want}, "
                    f"not {getattr(self, field)!r}"
                )

        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                whole = isinstance(value, Integral) and not isinstance(value, bool)
                check(field.name, whole, "an integer")
                object.__setattr__(self, field.name, int(value))  # NumPy's become Python's
        for field in ("compact", "training"):
            check(field, isinstance(getattr(self, field), bool), "True or False")
        check("rows", 1 <= self.rows <= MAX_ROWS, f"from 1 to {MAX_ROWS}")
        check("columns", 1 <= self.columns <= MAX_COLUMNS, f"from 1 to {MAX_COLUMNS}")
        check("format", self.format in FORMATS.values(), f"one of {', '.join(FORMATS)}")
        if flaw := self.format.flaw(MAX_TERMS, BIAS_BITS):
            raise ConfigError(
                f"configuration {self.name!r}: format {self.format.name} cannot be built: {flaw}"
            )
        check("group", self.group in GROUPS, one_of(GROUPS))
        modes = " or ".join(mode.name for mode in Accumulation)
        check("accumulation", isinstance(self.accumulation, Accumulation), modes)
        check(
            "accumulation",
            self.accumulation is Accumulation.EXACT or self.format.fits_binary32(MAX_TERMS),
            f"EXACT (the products of {self.format.name} are not made for binary32)",
        )
        check(
            "interleave",
            1 <= self.interleave <= MAX_INTERLEAVE,
            f"from 1 to {MAX_INTERLEAVE}",
        )
        check(
            "interleave",
            self.accumulation is Accumulation.EXACT or self.interleave == FP32_ADDER_STAGES,
            f"{FP32_ADDER_STAGES} with FP32 accumulation (the depth of its adder)",
        )
        check(
            "columns_per_epilogue",
            self.columns_per_epilogue in (1, 2, 4, 8, 16)
            and self.columns % self.columns_per_epilogue == 0,
            f"a power of two to 16 that divides columns ({self.columns})",
        )
        check(
            "lanes",
            self.lanes in LANES and self.rows % self.lanes == 0,
            f"a power of two to 16 that divides rows ({self.rows})",
        )
        check(
            "lanes",
            self.stream_bytes >= MIN_BEAT,
            f"more: a beat has at least {MIN_BEAT} bytes, and groups of {self.group} elements of "
            f"{self.format.name} are short",
        )
        for field in ("activation_groups", "weight_slots", "schedule_records"):
            depth = getattr(self, field)
            check(
                field,
                16 <= depth <= 1 << 14 and depth & (depth - 1) == 0,
                "a power of two from 16 to 16384",
            )

        check(
            "weight_slots",
            self.weight_slots >= self.group * self.interleave,
            f"at least {self.group * self.interleave}, a group's slots",
        )
        check(
            "settings_pages",
            self.settings_pages in (2, 4, 8, 16),
            "2, 4, 8 or 16",
        )
        words = self.tensor_words
        check(
            "tensor_words",
            words == 0 or (64 <= words <= 1 << 16 and words & (words - 1) == 0),
            "0 or a power of two from 64 to 65536",
        )
        check("tensor_words", not (words and self.compact), "0 if the device is compact")
        check("tensor_words", not (words and self.interleave > 1), "0 if interleave is not 1")
        width = self.vector_lanes
        check(
            "vector_lanes",
            width == 0 or (1 <= width <= self.group and width & (width - 1) == 0),
            f"0 or a power of two to {self.group}, the elements of a group",
        )
        check("vector_lanes", not width or words > 0, "0 without tensor_words")
        check(
            "vector_lanes",
            not width or self.stream_bytes >= INSTRUCTION_BYTES,
            f"0 if a beat has less than {INSTRUCTION_BYTES} bytes, an instruction's "
            "(more lanes make it longer)",
        )
        bits = self.external_bits
        check(
            "external_bits",
            bits == 0 or MIN_EXTERNAL_BITS <= bits <= MAX_EXTERNAL_BITS,
            f"0 or from {MIN_EXTERNAL_BITS} to {MAX_EXTERNAL_BITS}",
        )
        check("external_bits", not bits or words > 0, "0 if there is no tensor memory")
        check(
            "external_bits",
            not bits or self.stream_bytes in AXI_BYTES,
            f"0 if a beat has {self.stream_bytes} bytes, not 4 to 128 (other lanes may do)",
        )
        check("training", not self.training or words > 0, "False if there is no tensor memory")
        check(
            "training",
            not self.training
            or (
                self.rows % self.group == self.columns % self.group == 0
                and self.lanes <= self.group
            ),
            f"False unless rows ({self.rows}) and columns ({self.columns}) are whole groups of "
            f"{self.group}, and lanes ({self.lanes}) no more than a group",
        )
        check("runs_ahead", 2 <= self.runs_ahead <= 16, "from 2 to 16")

    @property
    def accumulator_bits(self) -> int:
        """Width in bits of an exact sum, and of a bias: at least an int32."""
        return max(32, self.format.accumulator_bits(MAX_TERMS))

    @property
    def exact_bits(self) -> int:
        """Width in bits of a sum as its epilogue takes it: with an addend, if there can be one."""
        return self.accumulator_bits + (RAW_HEADROOM if self.tensor_words else 0)

    @property
    def raw_limbs(self) -> int:
        """Limbs of 32 bits that such a sum has; those above them only repeat its sign."""
        return -(-self.exact_bits // 32)

    @property
    def sum_bits(self) -> int:
        """Width in bits of what a processing element drains: an exact sum or a binary32."""
        return 32 if self.accumulation is Accumulation.FP32 else self.accumulator_bits

    @property
    def index_bits(self) -> int:
        """Width in bits of a weight's place in its group."""
        return (self.group - 1).bit_length()

    @property
    def count_bits(self) -> int:
        """Width in bits of N, which may be M itself."""
        return self.group.bit_length()

    @property
    def settings_entries(self) -> int:
        """Settings that each column has: one for each page and output that it accumulates."""
        return self.settings_pages * self.interleave

    @property
    def stream_bytes(self) -> int:
        """Width of the host streams in bytes."""
        return self.lanes * self.group_bytes

    @property
    def group_bytes(self) -> int:
        """Size of a group of activations: what a lane of a word of tensor memory holds."""
        return self.group * self.format.bits // 8

    @property
    def prunes(self) -> bool:
        """Whether there is a pruner: where weights are trained, and are elements that a binary32
        can be rounded to."""
        float_ = self.format.is_float and self.format.window is None
        return self.training and self.vector_lanes > 0 and float_

    @property
    def write_bytes(self) -> int:
        """Bytes of a word of tensor memory that are written together: no more than any writer
        has at once, which of the pruner are the indices of M columns."""
        return gcd(self.store_bytes, self.group // 2) if self.prunes else self.store_bytes

    @property
    def dense_groups(self) -> int:
        """Groups of a tensor's rows that become dense weights in one cycle."""
        return gcd(self.lanes, self.columns // self.group)

    @property
    def store_bytes(self) -> int:
        """Bytes of a group that are stored together: rows of results begin and end between them."""
        return gcd(self.columns, self.group_bytes)

    @property
    def store_groups(self) -> int:
        """Groups that a row of results reaches into, at most."""
        row = self.group_bytes - self.store_bytes + 4 * self.columns
        return -(-row // self.group_bytes)

    @property
    def side_bits(self) -> int:
        """Bits of a group that lie between the places where a row of side operands can begin:
        `store_bytes` of the narrowest elements."""
        return self.store_bytes * min(8, self.format.bits)

    @property
    def side_groups(self) -> int:
        """Groups that a row of side operands reaches into, at most."""
        row = 8 * self.group_bytes - self.side_bits + 32 * self.columns
        return -(-row // (8 * self.group_bytes))

    @property
    def side_depth(self) -> int:
        """Windows of side operands that may wait at each column, a power of two: so many that the
        last column can take a row a cycle."""
        return max(16, 1 << ((self.columns + 12) // self.lanes - 1).bit_length())

    @property
    def outputs(self) -> tuple[OutputFormat, ...]:
        """The formats in which a sum can leave."""
        return tuple(OutputFormat) if self.tensor_words else ROUNDED

    @property
    def header_beats(self) -> int:
        """Beats of a command's or response's header, padded to a whole one."""
        return max(1, HEADER_BYTES // self.stream_bytes)

    def row_beats(self, output: OutputFormat) -> int:
        """Beats of one row of a response: C outputs, padded to a whole one."""
        return -(-self.columns * output.bytes // self.stream_bytes)

    @property
    def tile_columns(self) -> int:
        """Outputs of one row of a tile: C * T."""
        return self.columns * self.interleave

    @property
    def tile_rows(self) -> int:
        """Rows that drain from one column for one tile: R * T."""
        return self.rows * self.interleave

    @property
    def output_depth(self) -> int:
        """Finished rows that each column's output buffer holds, a power of two: four tiles, and as
        many as come while one is on its way out, so that short tiles do not wait for that."""
        return max(64 if self.compact else 128, 1 << (4 * self.tile_rows - 1).bit_length())

    def queue(self, depth: int) -> int:
        """Depth of a queue that need not be there, but had better hold `depth`."""
        return 0 if self.compact else depth

    @property
    def macs_per_cycle(self) -> int:
        return self.rows * self.columns

    def describe(self) -> dict:
        """The configuration and what follows from it, as plain values for JSON."""
        return {
            "name": self.name,
            "rows": self.rows,
            "columns": self.columns,
            "format": self.format.name,
            "group": self.group,
            "accumulation": self.accumulation.name.lower(),
            "interleave": self.interleave,
            "columns_per_epilogue": self.columns_per_epilogue,
            "lanes": self.lanes,
            "activation_groups": self.activation_groups,
            "weight_slots": self.weight_slots,
            "schedule_records": self.schedule_records,
            "settings_pages": self.settings_pages,
            "runs_ahead": self.runs_ahead,
            "tensor_words": self.tensor_words,
            "vector_lanes": self.vector_lanes,
            "external_bits": self.external_bits,
            "training": self.training,
            "compact": self.compact,
            "accumulator_bits": self.accumulator_bits,
            "stream_bytes": self.stream_bytes,
        }


PRESETS = {
    c.name: c
    for c in (
        Config(
            *("tiny", 4, 4, INT8),
            activation_groups=64,
            weight_slots=256,
            schedule_records=64,
            settings_pages=16,
            tensor_words=4096,
        ),
        Config("small", 8, 8, FP16, settings_pages=16, tensor_words=8192, vector_lanes=4),
        Config(
            *("medium", 16, 16, FP16),
            lanes=4,
            activation_groups=1024,
            settings_pages=16,
            tensor_words=4096,
            vector_lanes=8,
        ),
        Config("paper", 32, 32, FP16, lanes=4, settings_pages=16, tensor_words=16384),
    )
}
"""Named configurations: `tiny` for a first look, `small` for a cheap board, `paper` for SAT's."""


def preset(name: str, **changes) -> Config:
    """The preset called `name`, with fields changed; raises `ConfigError` if there is none."""
    try:
        config = PRESETS[name]
    except KeyError:
        raise ConfigError(f"no preset {name!r}; there are {', '.join(PRESETS)}") from None
    return changed(config, **changes) if changes else config


def trainer(name: str) -> Config:
    """The preset called `name` with what a device needs that trains whole networks: 65,536 words of
    tensor memory, eight lanes of the vector unit; raises `ConfigError` as `preset`."""
    return replace(
        preset(name),
        name=f"{name}-training",
        training=True,
        vector_lanes=8,
        tensor_words=1 << 16,
    )


def changed(config: Config, **changes) -> Config:
    """`config` with fields changed; without a tensor memory, a vector unit or external memory if it
    can have none any more and nobody asked for one."""
    cannot = changes.get("compact") or changes.get("interleave", 1) > 1
    if cannot and "tensor_words" not in changes:
        changes["tensor_words"] = 0
    if changes.get("tensor_words") == 0:
        changes = {"vector_lanes": 0, "external_bits": 0, "training": False} | changes
    without = replace(config, **{"vector_lanes": 0} | changes)
    if without.stream_bytes < INSTRUCTION_BYTES:
        return without
    return replace(config, **changes)
