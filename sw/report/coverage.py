"""Functional coverage: which cross bins of features have been seen to be exact, and which not yet.

A bin is hit only by a product whose every bit was compared with the golden model, and by what was
observed of it: N is that of the weights as packed, and whether a tile drained under another comes
from the device's `overlap` counter.
"""

from collections import Counter
from itertools import product
from typing import NamedTuple

from ...hw.config import Accumulation, Config
from ...hw.formats import FORMATS, FP16, ROUNDED, OutputFormat

GROUP = 8
"""M of the configurations that are crossed, and so the largest N."""


class Bin(NamedTuple):
    """One cross bin of features."""

    format: str
    """What the array multiplies, as `format_of` names it."""
    n: int
    """Kept weights of the fullest group."""
    aligned: bool
    """K is a multiple of M."""
    overlapped: bool
    """Finished sums drained while the array was issued another tile."""
    output: str
    relu: bool


DIMENSIONS: dict[str, tuple] = {
    "format": (*FORMATS, f"{FP16.name}+fp32"),
    "n": tuple(range(GROUP + 1)),
    "aligned": (True, False),
    "overlapped": (True, False),
    "output": tuple(output.name.lower() for output in ROUNDED),
    "relu": (True, False),
}
"""The values that each field of a `Bin` can have."""
BINS = tuple(Bin(*values) for values in product(*DIMENSIONS.values()))


def format_of(config: Config) -> str:
    """The name of a configuration's arithmetic: accumulation in binary32 is one of its own."""
    rounded = config.accumulation is Accumulation.FP32
    return f"{config.format.name}+fp32" if rounded else config.format.name


class Coverage:
    """Products observed, by bin."""

    def __init__(self):
        self.hits: Counter[Bin] = Counter()

    def observe(self, config: Config, weights, stats, output: OutputFormat, relu: bool) -> None:
        """Count a product that was exact: its `packing.PackedWeights` and `driver.Stats`."""
        seen = Bin(
            format_of(config),
            weights.most(),
            stats.shape[1] % config.group == 0,
            stats.counters["overlap"] > 0,
            output.name.lower(),
            relu,
        )
        if seen not in BINS:
            raise ValueError(f"{seen} is no cross bin of {DIMENSIONS}")
        self.hits[seen] += 1

    def missing(self, format: str | None = None) -> list[Bin]:
        """Bins (of one format, or all) that nothing has hit."""
        return [b for b in BINS if not self.hits[b] and format in (None, b.format)]

    def summary(self) -> dict:
        """What is hit and what is not, as plain values for JSON.

        For each format and each further dimension: of how many of its values all bins are hit.
        """
        formats = {}
        for name in DIMENSIONS["format"]:
            missing = self.missing(name)
            bins = [b for b in BINS if b.format == name]
            formats[name] = {"bins": len(bins), "hit": len(bins) - len(missing)}
            for field, values in list(DIMENSIONS.items())[1:]:
                lacking = {getattr(b, field) for b in missing}
                formats[name][field] = {"values": len(values), "full": len(values) - len(lacking)}
        missing = self.missing()
        return {
            "bins": len(BINS),
            "hit": len(BINS) - len(missing),
            "products": self.hits.total(),
            "formats": formats,
            "missing": [b._asdict() for b in missing],
        }
