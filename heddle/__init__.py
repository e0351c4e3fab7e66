"""Heddle from Python: N:M-sparse weights, and the accelerator that multiplies by them.

import heddle
packed = heddle.pack(heddle.prune(w, 2, 8), "fp16", 2, 8)
with heddle.open("sim", "small") as device:
    y, stats = device.matmul(x, packed)
"""

from .hw.config import PRESETS, Config, preset
from .hw.formats import FORMATS, Format
from .sw.container import load, save
from .sw.device import Device, open
from .sw.errors import DataError, DeviceError, FormatError, HeddleError
from .sw.nm import check, mask, prune
from .sw.packing import PackedWeights, pack, to_dense

__all__ = [
    "FORMATS",
    "PRESETS",
    "Config",
    "DataError",
    "Device",
    "DeviceError",
    "Format",
    "FormatError",
    "HeddleError",
    "PackedWeights",
    "check",
    "load",
    "mask",
    "open",
    "pack",
    "preset",
    "prune",
    "save",
    "to_dense",
]
