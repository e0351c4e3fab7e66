"""The small programs that `mover_coverage` runs: one for each pattern of access to activations.

Each takes its operands from external memory and puts its result there, and the vector unit does
something else beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...hw.config import Config
from ...hw.formats import INT8, OutputFormat
from ..compiler import nm, packing
from ..compiler.backward import TrainingBuilder
from ..compiler.external import ExternalTensor
from ..compiler.program import Program
from ..compiler.settings import Settings, settings_of
from ..compiler.tensors import Tensor
from ..compiler.transposed import pixel_phases
from ..compiler.vector_programs import relu
from ..compiler.walks import Images, Kernel, as_matrix

CONFIG = Config(
    *("movers", 2, 4, INT8),
    activation_groups=64,
    weight_slots=64,
    schedule_records=64,
    settings_pages=4,
    tensor_words=2048,
    vector_lanes=2,
    external_bits=14,
)
"""A row of INT8 results of a column block is half a group, one of FP16 a whole one."""
TRAINING = replace(CONFIG, name="training_movers", rows=8, columns=8, training=True)
"""A row of INT8 results of a column block is a whole group."""
SIDE, IMAGES = 6, 2
"""Pixels of a side, and images."""
ROWS = IMAGES * SIDE * SIDE
"""Of a matrix."""
STORES = {
    "groups": (8, OutputFormat.FP16),
    "parts": (8, OutputFormat.INT8),
    "padded": (6, OutputFormat.INT8),
}
"""How a column block's rows end, with how many columns of which output: with a group, within one
that another block goes on with, or with zeros to its end."""


class Case(NamedTuple):
    """What a program does."""

    pattern: str
    """A key of `PATTERNS`."""
    stride: int
    padded: bool
    """Zeros surround the images."""
    store: str
    """A key of `STORES`."""

    @property
    def config(self) -> Config:
        return TRAINING if self.pattern in GRADIENTS else CONFIG

    @property
    def kernel(self) -> Kernel:
        return Kernel((3, 3), (self.stride,) * 2, (int(self.padded),) * 2)

    @property
    def possible(self) -> bool:
        """A matrix has neither stride nor padding; a gradient's column block ends with a group."""
        plain = self.pattern not in MATRICES or (self.stride, self.padded) == (1, False)
        return plain and not (self.pattern in GRADIENTS and self.store == "parts")


@dataclass
class Parts:
    """A program in the making."""

    case: Case
    builder: TrainingBuilder
    rng: np.random.Generator
    given: list[ExternalTensor]

    @property
    def outputs(self) -> int:
        return STORES[self.case.store][0]

    @property
    def output(self) -> OutputFormat:
        return STORES[self.case.store][1]

    @property
    def settings(self) -> Settings:
        bias = self.rng.integers(-9, 10, self.outputs)
        return settings_of(self.builder.config, self.outputs, bias, 2.0**-4)

    def operand(self, rows: int, columns: int) -> Tensor:
        """A tensor that comes from external memory."""
        self.given.append(self.builder.external(rows, columns, packed=True))
        tensor = self.builder.tensor(rows, columns)
        self.builder.copy(self.given[-1], tensor)
        return tensor

    def images(self, side: int, channels: int) -> Images:
        return Images(self.operand(IMAGES * side * side, channels), side, side)

    def result(self, rows: int) -> Tensor:
        return self.builder.tensor(rows, self.outputs, self.output.result_bits)

    def taps(self, *channels: int) -> np.ndarray:
        """Weights [height, width, channels in, out]."""
        return self.rng.integers(1, 4, (3, 3, *channels)).astype(float)


def program(case: Case) -> tuple[Program, list[ExternalTensor], ExternalTensor]:
    """What it does, what it is given, and where its result is."""
    builder = TrainingBuilder(case.config)
    parts = Parts(case, builder, np.random.default_rng(3), [])
    other = builder.tensor(ROWS, 8)
    builder.vector(relu(other, other))
    y = PATTERNS[case.pattern](parts)
    result = builder.external(y.rows, y.columns, y.bits)
    builder.copy(y, result)
    return builder.program(), parts.given, result


def _matrix(parts: Parts) -> Tensor:
    x = parts.operand(ROWS, 24)
    dense = parts.rng.integers(1, 4, (24, parts.outputs)).astype(float)
    weights = packing.pack(nm.prune(dense, 2, 8), INT8, 2, 8)
    y = parts.result(ROWS)
    parts.builder.product(x, weights, parts.settings, True, parts.output, y)
    return y


def _convolution(parts: Parts, groups: int = 1) -> Tensor:
    x, kernel = parts.images(SIDE, parts.outputs), parts.case.kernel
    height, width = kernel.out(x)
    y = parts.result(IMAGES * height * width)
    taps = parts.taps(parts.outputs // groups, parts.outputs)
    weights = packing.pack(as_matrix(taps, groups), INT8)
    made = Images(y, height, width)
    parts.builder.convolution(x, kernel, weights, parts.settings, True, parts.output, made)
    return y


def _depth_wise(parts: Parts) -> Tensor:
    return _convolution(parts, parts.outputs)


def _transposed(parts: Parts) -> Tensor:
    kernel, made = parts.case.kernel, Images(parts.result(ROWS), SIDE, SIDE)
    dy = parts.images(kernel.out(made)[0], 8)
    taps = parts.taps(parts.outputs, 8)
    weights = [packing.pack(phase.matrix(taps), INT8) for phase in pixel_phases(kernel, SIDE, SIDE)]
    parts.builder.convolution_transposed(dy, kernel, weights, parts.settings, parts.output, made)
    return made.tensor


def _gradient(parts: Parts) -> Tensor:
    x, dy = parts.operand(ROWS, 12), parts.operand(ROWS, parts.outputs)
    dw = parts.result(12)
    parts.builder.gradient(x, dy, dw, output=parts.output, settings=parts.settings)
    return dw


def _gradient_of_windows(parts: Parts) -> Tensor:
    x, kernel = parts.images(SIDE, 8), parts.case.kernel
    dy = parts.images(kernel.out(x)[0], parts.outputs)
    dw = parts.result(9 * 8)
    parts.builder.gradient(x, dy, dw, kernel, parts.output, settings=parts.settings)
    return dw


PATTERNS: dict[str, Callable[[Parts], Tensor]] = {
    "matrix": _matrix,
    "convolution": _convolution,
    "depth-wise": _depth_wise,
    "transposed": _transposed,
    "gradient": _gradient,
    "gradient of windows": _gradient_of_windows,
}
"""Of access to activations, and what makes a product of them and says where its result is."""
MATRICES = "matrix", "gradient"
GRADIENTS = "gradient", "gradient of windows"
