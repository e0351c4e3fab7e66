"""Single layers of published networks in training, by the hardware's counters: what BDWP and kept
positions make of a layer is the sum of its three products."""

from collections.abc import Iterator

from ...hw.config import trainer
from ..reproduce.layers import ARRAY, LAYERS, STAGES, Layer, M, N, measured
from .named import row, wanted

PUBLISHED = "FF and BP take N of M, WU is dense: 2.0x of what is multiplied; SAT publishes 1.75x"


def rows(only: str) -> Iterator[dict]:
    names = [name for name in LAYERS if wanted(f"train.layer.{name}.{ARRAY}", only)]
    for name, cycles in measured(names) if names else ():
        ideal = Layer(trainer(ARRAY), *LAYERS[name]).ideal
        prefix, whole = f"train.layer.{name}.{ARRAY}", 0
        for stage, by_n in cycles.items():
            dense, sparse = by_n[str(M)], by_n[str(N)]
            note = f"{sparse:,} cycles; dense {dense:,}, utilised {ideal / dense:.2f}"
            yield row(prefix, f"{stage}.speedup.2of8", dense / sparse, None, note)
            whole += dense
        ff, bp, wu = (cycles[stage] for stage in STAGES)
        bdwp = ff[str(N)] + bp[str(N)] + wu[str(M)]
        yield row(prefix, "bdwp.speedup.2of8", whole / bdwp, None, PUBLISHED)
        kept = sum(by_n[str(N)] for by_n in cycles.values())
        note = "all three take N of M: 4.0x of what is multiplied"
        yield row(prefix, "kept.speedup.2of8", whole / kept, None, note)
