"""Cycles of single layers' products on simulated Verilog, forward (FF), the gradient of what they
take (BP) and that of their weights (WU), all with 64 rows of activations, kept as JSON: what
recipes' products cost."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...hw.config import Config, trainer
from ...hw.formats import FP16, OutputFormat
from ...sw.compiler import nm
from ...sw.compiler.backward import TrainingBuilder
from ...sw.compiler.kept import Compact
from ...sw.compiler.packing import pack
from ...sw.compiler.program import Program
from ...sw.compiler.settings import settings_of
from ...sw.compiler.transposed import pixel_phases
from ...sw.compiler.walks import Images, Kernel
from ...sw.host import programs
from ...sw.host.device import Device
from ...sw.host.open import open_device
from .kept import write

FILE = Path("docs") / "layers.json"
ARRAY = "medium"
SIDE, M, N = 8, 8, 2
WINDOW = Kernel((3, 3), padding=(1, 1))
LAYERS: dict[str, tuple[int, int, Kernel | None]] = {
    "resnet18.layer1": (64, 64, WINDOW),
    "resnet18.layer2": (128, 128, WINDOW),
    "resnet18.layer3": (256, 256, WINDOW),
    "vit_s.qkv": (384, 1152, None),
    "vit_s.fc1": (384, 1536, None),
    "vit_s.fc2": (1536, 384, None),
}
"""Channels in and out, and the window of those that are convolutions, of 8 x 8 pixels here."""
STAGES = "ff", "bp", "wu"


def remade(path: Path, **about: str) -> dict:
    """Measure all, and keep what came of it."""
    kept = {"array": ARRAY, "layers": dict(measured())} | about
    write(path, kept)
    return kept


def measured(names: Iterable[str] = LAYERS) -> Iterator[tuple[str, dict[str, dict[str, int]]]]:
    """Each layer with its cycles, by stage and how many of every M weights are kept."""
    config = trainer(ARRAY)
    with open_device("sim", config=config) as device:
        for name in names:
            layer = Layer(config, *LAYERS[name])
            yield (
                name,
                {st: {str(n): layer.cycles(device, st, n) for n in (M, N)} for st in STAGES},
            )


@dataclass(frozen=True)
class Layer:
    """A layer with 64 rows: pixels of one image, or vectors."""

    config: Config
    inputs: int
    outputs: int
    kernel: Kernel | None

    @property
    def taps(self) -> int:
        return self.kernel.taps if self.kernel else 1

    @property
    def ideal(self) -> float:
        """Cycles of a dense product that uses all multipliers."""
        macs = SIDE * SIDE * self.taps * self.inputs * self.outputs
        return macs / self.config.macs_per_cycle

    def cycles(self, device: Device, stage: str, n: int) -> int:
        """Of one product, with `n` of every M weights."""
        rng = np.random.default_rng(1)
        rows = self.taps * self.inputs
        weights = nm.prune(rng.integers(1, 9, (rows, self.outputs)) / 8, n, M)
        make: dict[str, Callable] = {"ff": self._ff, "bp": self._bp, "wu": self._wu}
        builder = TrainingBuilder(self.config)
        prunes = make[stage](builder, weights.astype(np.float16), n)
        program = builder.program()
        programs.load(device, program)
        programs.run(device, Program(self.config, prunes, []))
        counters = programs.run(device, program)
        assert not counters["errors"] and not device.flags()
        return counters["running"]

    def _images(self, builder: TrainingBuilder, channels: int, apart=None) -> Images:
        return Images(builder.tensor(SIDE * SIDE, channels, 16, apart), SIDE, SIDE)

    def _ff(self, builder: TrainingBuilder, weights: np.ndarray, n: int) -> list:
        x, y = self._images(builder, self.inputs), self._images(builder, self.outputs)
        settings, packed = settings_of(self.config, self.outputs), pack(weights, FP16, n, M)
        if self.kernel is None:
            builder.product(x.tensor, packed, settings, True, OutputFormat.FP16, y.tensor)
        else:
            builder.convolution(x, self.kernel, packed, settings, True, OutputFormat.FP16, y)
        return []

    def _bp(self, builder: TrainingBuilder, weights: np.ndarray, n: int) -> list:
        dy, dx = self._images(builder, self.outputs), self._images(builder, self.inputs)
        settings = settings_of(self.config, self.inputs)
        if self.kernel is None:
            back = pack(nm.prune(weights.T, n, M), FP16, n, M)
            builder.product(dy.tensor, back, settings, False, OutputFormat.FP16, dx.tensor)
        else:
            taps = *self.kernel.size, self.inputs, self.outputs
            matrices = [
                phase.matrix(weights.reshape(taps))
                for phase in pixel_phases(self.kernel, SIDE, SIDE)
            ]
            packed = [pack(nm.prune(matrix, n, M), FP16, n, M) for matrix in matrices]
            builder.convolution_transposed(dy, self.kernel, packed, settings, OutputFormat.FP16, dx)
        return []

    def _wu(self, builder: TrainingBuilder, weights: np.ndarray, n: int) -> list:
        # The largest one first, for x and dy are held apart: the gradient, or the masters that
        # are pruned.
        whole = builder.tensor(*weights.shape, 32)
        x = self._images(builder, self.inputs)
        dy = self._images(builder, self.outputs, x.tensor)
        pair = (x.tensor, dy.tensor) if self.kernel is None else (x, dy)
        if n == M:
            builder.gradient(*pair, whole, self.kernel)
            return []
        pruning = builder.pruned(whole, n)
        dw = builder.tensor(Compact(self.config, len(weights) // M, n).rows, self.outputs, 32)
        builder.kept_gradient(*pair, dw, pruning.forward, self.kernel)
        return [pruning.whole.command()]
