"""What the host takes for its own part."""

import time
from collections.abc import Iterator

import numpy as np

from ...sw.compiler import nm, packing
from .named import wanted

ROW = "host.pack.fp16.4096x4096"


def rows(only: str) -> Iterator[dict]:
    if not wanted(ROW, only):
        return
    dense = np.random.default_rng(1).standard_normal((4096, 4096)).astype(np.float16)
    sparse = nm.prune(dense, 2, 8)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        packing.pack(sparse, "fp16", 2, 8)
        times.append(time.perf_counter() - start)
    yield {
        "name": ROW,
        "value": min(times),
        "unit": "s",
        "target": 1.0,
        "better": "lower",
        "note": "2:8; the best of three",
    }
