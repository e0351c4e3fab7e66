"""What it costs and gains that an element works on T outputs in turn: exact sums need no turns, an
adder of binary32 needs as many as it has stages. Areas of such elements are rows of `area`."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...hw.config import FP32_ADDER_STAGES, Accumulation, preset
from ...hw.formats import FP16, OutputFormat
from ...sw.compiler import nm, packing
from ...sw.host import driver
from ...sw.host.open import open_device
from .named import row, wanted

ALONE = preset("small", tensor_words=0)
CONFIGS = {
    "exact.t1": ALONE,
    "exact.t5": replace(ALONE, name="exact-t5", interleave=FP32_ADDER_STAGES),
    "fp32.t5": replace(
        ALONE,
        name="fp32-t5",
        interleave=FP32_ADDER_STAGES,
        accumulation=Accumulation.FP32,
    ),
}
SHAPES = {"gemm64": (64, 64, 64), "gemm64x256x40": (64, 256, 40), "gemm13x27x9": (13, 27, 9)}
PATTERNS = 8, 2


def rows(only: str) -> Iterator[dict]:
    for name, config in CONFIGS.items():
        if not wanted(f"interleave.{name}", only):
            continue
        with open_device("sim", config=config) as device:
            for shape, (count, inner, outputs) in SHAPES.items():
                rng = np.random.default_rng(1)
                x, w = rng.standard_normal((count, inner)), rng.standard_normal((inner, outputs))
                for n in PATTERNS:
                    weights = packing.pack(nm.prune(w, n, 8), FP16, n, 8)
                    _, stats = driver.matmul(device, x, weights, output=OutputFormat.FP16)
                    note = f"{stats.cycles:,} cycles"
                    what = f"{shape}.{n}of8.utilisation"
                    yield row(f"interleave.{name}", what, stats.utilisation, None, note)
