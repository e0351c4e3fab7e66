"""Programs of what goes backwards through a network: gradients of inputs and of weights."""

from collections.abc import Sequence
from dataclasses import replace

from ...hw.formats import OutputFormat
from ..errors import FormatError
from . import gradients, kept, vector_programs
from .gradients import Across, DenseRows
from .kept import Grouped, KeptRows
from .packing import PackedWeights
from .program import Builder
from .pruning import PrunedWeights
from .settings import Settings, settings_of
from .tensors import Tensor
from .transposed import PixelPhase, needs_vector, pixel_phases, spread, walk_of
from .walks import Images, Kernel, Walk


class TrainingBuilder(Builder):
    """A `Builder` that goes backwards too."""

    def convolution_transposed(
        self,
        dy: Images,
        kernel: Kernel,
        weights: Sequence[PackedWeights],
        settings: Settings,
        output: OutputFormat,
        dx: Images,
        addend: Images | None = None,
        mask: Images | None = None,
    ) -> None:
        """What a loss changes by with the input of ``y = convolution(x, kernel, …)``, if `dy` is
        what it changes by with y: a convolution of stride 1 for each of its phases, whose weights
        these are (`transposed.pixel_phases`, `PixelPhase.matrix`). `addend` and `mask` as of a
        product.

        Unless as many images go abreast as there are lanes, the vector unit puts pixels a stride
        apart in their places.

        Raises `FormatError` for images of other shapes or elements, for what the device cannot do,
        and if the memory is full.
        """
        phases = pixel_phases(kernel, dx.height, dx.width)
        shape = dx.count, *kernel.out(dx)
        wanted = [(phase.kernel.taps * dy.tensor.groups * self.config.group) for phase in phases]
        if (dy.count, dy.height, dy.width) != shape or [each.shape for each in weights] != [
            (rows, dx.tensor.columns) for rows in wanted
        ]:
            raise FormatError(
                f"{dx} are the input of {kernel} if the output are {shape[0]} images of "
                f"{shape[1]} x {shape[2]} pixels, not {dy}, with weights of {wanted} rows, by "
                f"phase, and {dx.tensor.columns} columns"
            )
        dx.check_abreast(dy, addend, mask)
        for phase, packed in zip(phases, weights, strict=True):
            walk = walk_of(dy, dx, phase, kernel.stride)
            if needs_vector(dx, kernel.stride):
                self._spread_later(walk, packed, settings, output, dx, phase, kernel, addend, mask)
                continue
            made, *beside = (
                images and spread(images, phase, kernel.stride) for images in (dx, addend, mask)
            )
            self._multiply(walk, packed, settings, False, output, made, *beside)

    def _spread_later(
        self,
        walk: Walk,
        weights: PackedWeights,
        settings: Settings,
        output: OutputFormat,
        dx: Images,
        phase: PixelPhase,
        kernel: Kernel,
        addend: Images | None,
        mask: Images | None,
    ) -> None:
        """A phase beside the others, and then to its pixels by the vector unit."""
        if dx.abreast > 1:
            raise FormatError(
                f"{dx} go {dx.abreast} abreast, and the device has {self.config.lanes} lanes: as "
                "many must, or each alone, so that a stride can be stored"
            )
        if addend is not None:
            raise FormatError(
                f"pixels of {dx} a stride of {kernel.stride[1]} apart are spread after they are "
                f"stored in {self.config.lanes} lanes: an addend must be added on its own"
            )
        made = self.tensor(phase.height * phase.width * dx.count, dx.tensor.columns, dx.tensor.bits)
        self._multiply(walk, weights, settings, False, output, made, None, None)
        size, image = (phase.height, phase.width), (dx.height, dx.width)
        forward = None if mask is None else mask.tensor
        self.vector(
            vector_programs.spread(
                made, dx.tensor, image, size, phase.first, kernel.stride, forward
            )
        )
        self.free(made)

    def gradient(
        self,
        x: Tensor | Images,
        dy: Tensor | Images,
        dw: Tensor,
        kernel: Kernel | None = None,
        output: OutputFormat = OutputFormat.FP32,
        addend: Tensor | None = None,
        settings: Settings | None = None,
        together: int | None = None,
    ) -> None:
        """``dw = x.T @ dy``: what a loss changes by with the weights of ``y = x @ weights``, if
        `dy` is what it changes by with y; `addend` and `settings` as of a `product`.

        With a `kernel` both are images, and ``y = convolution(x, weights)``: `dw` has the rows that
        `walks.as_matrix` gives the weights, tap after tap with all channels in whole groups. The
        sum over all rows is exact; if they are too many for a page, parts of it are kept as RAW in
        the meantime. Of its rows so many, and not much more, are done `together`: what takes these
        may begin then.

        Raises `FormatError` for tensors of other shapes or elements, for what the device cannot do,
        and if the memory is full.
        """
        config = self.config
        if not config.training:
            raise FormatError(
                f"the device {config.name!r} cannot transpose rows: build one with training"
            )
        walk, dy = gradients.operands(config, x, dy, dw, kernel)
        settings = settings or settings_of(config, dw.columns)
        blocks = dw.blocks, -(-dw.columns // config.columns)
        parts = gradients.chunks_of(config, dy.rows, *blocks)
        pairs = [gradients.both(walk, dy, part) for part in parts]
        # A phase has two panels.
        panel = together and max(1, together // (2 * config.rows))
        self._summed(pairs, settings, output, dw, addend, panel)

    def kept_gradient(
        self,
        x: Tensor | Images,
        dy: Tensor | Images,
        dw: Tensor,
        weights: PrunedWeights,
        kernel: Kernel | None = None,
        output: OutputFormat = OutputFormat.FP32,
        addend: Tensor | None = None,
        settings: Settings | None = None,
    ) -> None:
        """The same of the weights alone that a PRUNE has kept: `dw` has the rows of
        `kept.Compact`. Arguments as of a `gradient`.

        Raises `FormatError` as `gradient`, and if a page has no room for the weights' places.
        """
        config = self.config
        if not config.training:
            raise FormatError(
                f"the device {config.name!r} cannot group rows: build one with training"
            )
        compact = kept.Compact(config, weights.shape[0] // config.group, weights.kept)
        dense = replace(dw, rows=weights.shape[0])
        walk, dy = gradients.operands(config, x, dy, dense, kernel)
        if dw.rows != compact.rows or len(weights.parts) != 1:
            raise FormatError(
                f"the gradient of {weights.kept} of every {config.group} weights in "
                f"{weights.shape[0]} rows has {compact.rows} rows, not {dw.rows}"
            )
        settings = settings or settings_of(config, dw.columns)
        parts = kept.chunks_of(config, dy.rows, weights.kept)
        pairs = [
            (
                kept.Grouped(walk, part.start, len(part)),
                kept.KeptRows(gradients.DenseRows(config, dy, part.start, len(part)), weights),
            )
            for part in parts
        ]
        self._summed(pairs, settings, output, dw, addend)

    def _summed(
        self,
        pairs: Sequence[tuple[Across, DenseRows] | tuple[Grouped, KeptRows]],
        settings: Settings,
        output: OutputFormat,
        dw: Tensor,
        addend: Tensor | None,
        together: int | None = None,
    ) -> None:
        """The sum of products, all but the last one kept as RAW; `together` is the last one's."""
        *before, last = pairs
        sums = self.raw(dw.rows, dw.columns) if before and output is not OutputFormat.RAW else dw
        exact = settings_of(self.config, dw.columns)
        for pair in before:
            self._multiply(*pair, exact, False, OutputFormat.RAW, sums, addend, None)
            addend = sums
        self._multiply(*last, settings, False, output, dw, addend, None, together)
        if sums is not dw:
            self.free(sums)
