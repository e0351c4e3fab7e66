"""Heddle from Python: N:M-sparse weights, and the accelerator that multiplies by them.

import heddle

packed = heddle.pack(heddle.prune(w, 2, 8), "fp16", 2, 8)
with heddle.open("sim", "small") as device:
    y, stats = device.matmul(x, packed)
"""

from . import links  # noqa: F401  (first: it says what is wrong if the others fail)
from .hw.config import PRESETS, Accumulation, Config, preset
from .hw.formats import BF16, E4M3, E5M2, FORMATS, FP16, INT4, INT8, Format, OutputFormat
from .hw.isa.codes import Flag
from .sw.compiler.elements import Raw
from .sw.compiler.nm import NotSparse, check, mask, prune
from .sw.compiler.packing import PackedWeights, pack, to_dense
from .sw.compiler.scaling import quantise
from .sw.errors import (
    ConfigError,
    DataError,
    DeviceError,
    FormatError,
    HeddleError,
    PrecisionWarning,
)
from .sw.host.device import Device
from .sw.host.driver import Stats
from .sw.host.open import open_device as open
from .sw.nn.container import load, save
from .sw.nn.network import Network
from .sw.report.explain import Explanation, explain

__version__ = "0.1.0"
"""The release, of which the package's metadata are made."""

__all__ = [
    "BF16",
    "E4M3",
    "E5M2",
    "FORMATS",
    "FP16",
    "INT4",
    "INT8",
    "PRESETS",
    "Accumulation",
    "Config",
    "ConfigError",
    "DataError",
    "Device",
    "DeviceError",
    "Explanation",
    "Flag",
    "Format",
    "FormatError",
    "HeddleError",
    "Network",
    "NotSparse",
    "OutputFormat",
    "PackedWeights",
    "PrecisionWarning",
    "Raw",
    "Stats",
    "check",
    "explain",
    "load",
    "mask",
    "open",
    "pack",
    "preset",
    "prune",
    "quantise",
    "save",
    "to_dense",
]
