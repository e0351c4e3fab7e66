"""What a processing element costs on an FPGA, how fast they are, and what exact sums buy.

Areas are Yosys' (`sw/flow/synthesis.py`), of one processing element flattened. Frequencies are of a
routed 3 x 3 array between registers, the median over seeds of the placer.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from statistics import median

import numpy as np
from amaranth.lib import wiring

from ...hw import verilog
from ...hw.array.array import Array
from ...hw.array.pe import ProcessingElement
from ...hw.array.selector import Selector
from ...hw.config import FP32_ADDER_STAGES, Accumulation, Config, preset
from ...hw.control.sequencer import Sequencer
from ...hw.control.tally import Tally
from ...hw.copy.engine import CopyEngine
from ...hw.copy.port import ExternalPort
from ...hw.formats import FORMATS, FP16, Format
from ...hw.isa.engine_counters import engine_places
from ...hw.lib.library import Library
from ...hw.output.lane_group import LaneGroup
from ...hw.prune.pruner import Pruner
from ...hw.tensor.filler import Filler
from ...hw.tensor.memory import TensorMemory
from ...hw.tensor.rows import RowMover
from ...hw.tensor.side import SideReader
from ...hw.tensor.store import Store
from ...hw.vector.lane import Lane
from ...hw.vector.unit import VectorUnit
from ...sw.compiler.elements import to_raw
from ...sw.flow import synthesis
from ...sw.flow.synthesis import Family
from ...sw.nn import data
from ...sw.nn.network import Network, golden
from ..golden import dot
from .dense_pe import DenseArray, DenseProcessingElement
from .isolated import Isolated

SEEDS = (1, 2, 3)
SIDE = 3
"""Rows and columns of the array that is routed, and that edge effects are averaged over."""
AREA_TARGETS = {"ecp5.pe.fp16.lut": 700, "ecp5.pe.int8.lut": 160}
SPARSE_TARGETS = {"ecp5.pe.fp16": 1.20}
"""LUTs of a sparse element over those of a dense-only one, where 1.10 is out of reach: an 8:1
selection takes at least four LUT4s a bit."""
FMAX_TARGETS = {"fp16": 100, "int8": 125}
VECTOR_LANES = (1, 8)
"""Of the vector units that are measured, in the preset `small`."""
VECTOR_FMAX = 80
SELECT = "all that is added is the 8:1 selection of each bit of an activation"


def configuration(format: Format) -> Config:
    return Config(format.name, SIDE, SIDE, format)


EXACT = {name: configuration(format) for name, format in FORMATS.items()}
FP32 = Config(
    "fp32", SIDE, SIDE, FP16, accumulation=Accumulation.FP32, interleave=FP32_ADDER_STAGES
)
CONFIGS = {**EXACT, "fp32": FP32}
"""Processing elements by the name in a row: exact ones by format, FP16 with FP32 accumulation."""


SMALL = preset("small")
ALONE = preset("small", tensor_words=0)
EXTERNAL = preset("small", external_bits=32)
TRAINING = preset("small", training=True)
COUNTED = {"tiny": preset("tiny"), "all": preset("small", external_bits=32)}
"""Devices whose engines' counters are measured."""
UNITS: dict[str, tuple[type[wiring.Component], Config, str]] = {
    "tensor_memory": (TensorMemory, SMALL, "small"),
    "sequencer": (Sequencer, SMALL, "small: with programs' commands, queues, scoreboard"),
    "sequencer_alone": (Sequencer, ALONE, "small without tensor memory"),
    "filler": (Filler, SMALL, "small"),
    "row_mover": (RowMover, SMALL, "small"),
    "store": (Store, SMALL, "small"),
    "side_reader": (SideReader, SMALL, "small"),
    "lane_group": (LaneGroup, SMALL, "small, one column: with side operands and RAW sums"),
    "lane_group_alone": (LaneGroup, ALONE, "small without tensor memory, one column"),
    "copy_engine": (CopyEngine, EXTERNAL, "small, with 4 GiB of external memory"),
    "pruner": (Pruner, TRAINING, "small, for training"),
    "selector": (Selector, SMALL, "small: of one element"),
    "selector_kept": (Selector, TRAINING, "small, for training: of one element, with its place"),
    "row_mover_training": (RowMover, TRAINING, "small, for training: transposes and groups rows"),
    "external_port": (ExternalPort, EXTERNAL, "small, with 4 GiB of external memory"),
}
"""What tensor memory and external memory add to a device."""


def rows(only: str) -> Iterator[dict]:
    for name, measure in _measurements().items():
        if name.startswith(only):
            yield {"name": name, "target": None, "better": "lower", "note": "", **measure()}


def _measurements() -> dict[str, Callable[[], dict]]:
    """What can be measured, by name; nothing is until its function is called."""
    rows: dict[str, Callable[[], dict]] = {}
    for family in Family:
        device = family.name.lower()
        for name, config in CONFIGS.items():
            for what in ("lut", "ff", "dsp"):
                row = f"{device}.pe.{name}.{what}"
                rows[f"area.{row}"] = lambda c=config, f=family, w=what, r=row: {
                    "value": getattr(_area(ProcessingElement, c, f), w),
                    "unit": w.upper(),
                    "target": AREA_TARGETS.get(r, 1 if w == "dsp" else None),
                }
        for name in ("fp16", "int8"):
            row = f"{device}.pe.{name}"
            over = f"area.{row}.sparse_over_dense"
            most = SPARSE_TARGETS.get(row, 1.10)
            rows[f"{over}.lut"] = lambda c=EXACT[name], f=family, t=most: _over_dense(
                _area(ProcessingElement, c, f).lut, _area(DenseProcessingElement, c, f).lut, t
            )
            rows[f"{over}.array3x3.lut"] = lambda c=EXACT[name], f=family, t=most: _over_dense(
                _array_lut(Array, c, f), _array_lut(DenseArray, c, f), t
            )
        for name, (unit, config, note) in UNITS.items():
            for what in ("lut", "ff", "dsp", "ram"):
                measure = partial(_row, unit, config, family, what, note)
                rows[f"area.{device}.{name}.{what}"] = measure
        rows[f"area.{device}.pe.fp16.exact_over_fp32.lut"] = lambda f=family: {
            "value": _area(ProcessingElement, EXACT["fp16"], f).lut
            / _area(ProcessingElement, FP32, f).lut,
            "unit": "x",
            "target": 1.0,
        }
        for name, config in COUNTED.items():
            note = f"{len(engine_places(config))} of 32 bits"
            for what in ("lut", "ff"):
                measure = partial(_row, counters, config, family, what, note)
                rows[f"area.{device}.engine_counters.{name}.{what}"] = measure
    for lanes in VECTOR_LANES:
        for what in ("lut", "ff", "dsp", "ram"):
            rows[f"area.ecp5.vector.lanes{lanes}.{what}"] = lambda n=lanes, w=what: {
                "value": getattr(_vector_area(n), w),
                "unit": w.upper(),
            }
    rows["fmax.ecp5.vector.lane"] = lambda: {
        "value": median(_lane_fmax()),
        "unit": "MHz",
        "target": VECTOR_FMAX,
        "better": "higher",
        "note": f"one lane between registers, routed, by seed: {_list(_lane_fmax())}",
    }
    for name, config in CONFIGS.items():
        rows[f"fmax.ecp5.{name}"] = lambda c=config, n=name: _fmax_row(c, FMAX_TARGETS.get(n))
    for name in ("fp16", "int8"):
        rows[f"fmax.ecp5.{name}.sparse_over_dense"] = lambda c=EXACT[name]: {
            "value": median(_fmax(Array, c)) / median(_fmax(DenseArray, c)),
            "unit": "x",
            "target": 0.95,
            "better": "higher",
            "note": f"sparse {_list(_fmax(Array, c))}; dense only {_list(_fmax(DenseArray, c))}",
        }
    for layer in range(len(_network().layers)):
        for what in ("max", "mean"):
            rows[f"error.fp32.digits.layer{layer}.{what}"] = lambda i=layer, w=what: {
                "value": _errors()[i][w],
                "unit": "ulp",
                "note": "FP32 accumulation against the exact sum, in units of the sum's last "
                f"FP32 place; {_errors()[i]['wrong']:.0%} of the sums are not the nearest FP32",
            }
    return rows


def _row(
    kind: Callable[[Config], wiring.Component],
    config: Config,
    family: Family,
    what: str,
    note: str,
) -> dict:
    value = getattr(_area(kind, config, family), what)
    return {"value": value, "unit": what.upper(), "note": note}


def counters(config: Config) -> Tally:
    """What counts the engines of a device."""
    return Tally(max(engine_places(config).values()) + 1)


def _over_dense(sparse: float, dense: float, target: float) -> dict:
    note = f"{sparse:.0f} against {dense:.0f}"
    if sparse / dense > target:
        note += f": {SELECT}"
    return {"value": sparse / dense, "unit": "x", "target": target, "note": note}


def _fmax_row(config: Config, target: float | None) -> dict:
    found = _fmax(Array, config)
    return {
        "value": median(found),
        "unit": "MHz",
        "target": target,
        "better": "higher",
        "note": f"{SIDE}x{SIDE} routed, by seed: {_list(found)}",
    }


def _list(values) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


@cache
def _area(
    kind: Callable[[Config], wiring.Component], config: Config, family: Family
) -> synthesis.Area:
    return synthesis.area(verilog.convert(kind(config), "pe"), "pe", family)


@cache
def _array_lut(kind: type[wiring.Component], config: Config, family: Family) -> float:
    """LUTs of a processing element inside an array."""
    library = Library()
    text = verilog.convert(kind(config, library), "array", library)
    return synthesis.area(text, "array", family).lut / SIDE**2


@cache
def _fmax(kind: type[wiring.Component], config: Config) -> list[float]:
    library = Library()
    text = verilog.convert(Isolated(kind(config, library)), "isolated", library)
    return [synthesis.route(text, "isolated", seed).fmax for seed in SEEDS]


@cache
def _vector_area(lanes: int) -> synthesis.Area:
    unit = VectorUnit(preset("small", vector_lanes=lanes))
    return synthesis.area(verilog.convert(unit, "vector"), "vector")


@cache
def _lane_fmax() -> list[float]:
    text = verilog.convert(Isolated(Lane()), "isolated")
    return [synthesis.route(text, "isolated", seed).fmax for seed in SEEDS]


@cache
def _network() -> Network:
    return Network.load()


@cache
def _errors() -> list[dict]:
    """By layer of the shipped network on its test images: error of binary32 sums in units of
    the exact sum's last place, largest and mean, and the share of sums not rounded right."""
    network = _network()
    inputs = []

    def product(x, layer, output, number):
        inputs.append((x, layer))
        return golden(FP32)(x, layer, output, number)

    network.run(data.load(network.data).test_x, product)
    return [_error(to_raw(x, FP16), layer.weights.unpack()) for x, layer in inputs]


def _error(x: np.ndarray, w: np.ndarray) -> dict:
    exact = dot.exact_matmul(FP16, x, w)
    rounded = dot.as_integers(FP16, dot.fp32_matmul(FP16, x, w))
    # A sum of b bits has a last place of 2**(b - 24) units: exact integers, then one division.
    place = np.vectorize(lambda s: 2 ** max(0, abs(s).bit_length() - 24), otypes=[object])(exact)
    error = (np.abs(rounded - exact) / place).astype(float)
    return {"max": error.max(), "mean": error.mean(), "wrong": (error > 0.5).mean()}
