"""A training step as a program of the device: forward, loss, backward, the weights' gradients, and
the update of the masters, all in tensor memory.

The host brings a batch and its targets, and takes losses and masters. Weights as they are
multiplied by are the host's too, or the device makes them itself of the masters, at the end of each
step for the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...hw.config import Config
from ...hw.formats import FP16, OutputFormat
from ..compiler import softmax_programs, update_programs
from ..compiler.backward import TrainingBuilder
from ..compiler.packing import PackedWeights, pack
from ..compiler.pooling_programs import max_pool, max_unpool
from ..compiler.program import Program
from ..compiler.pruning import PrunedWeights, Pruning
from ..compiler.settings import biases_from, settings_of
from ..compiler.tensors import RawTensor, Tensor
from ..compiler.transposed import pixel_phases
from ..compiler.walks import Images
from ..errors import FormatError
from ..host import programs
from ..host.device import Device
from .exact import Master, Numbers, later_of
from .held import Frozen, Held, held_of

TOGETHER = 64
"""Rows of a layer's weights that are updated by one command, as soon as their gradient is there."""


@dataclass(frozen=True)
class Used:
    """A layer's weights as they are multiplied by: forward [K, C], and backward, for each phase of
    its pixels (`transposed.pixel_phases`)."""

    forward: PackedWeights | PrunedWeights
    backward: Sequence[PackedWeights | PrunedWeights]

    @classmethod
    def of(cls, master: Master, forward: np.ndarray, backward: np.ndarray) -> "Used":
        """Of weights [K, C], float16."""
        stage = master.stage
        if stage.plain:
            matrices = [backward.T]
        else:
            phases = pixel_phases(stage.kernel, stage.height, stage.width)
            matrices = [phase.matrix(backward.reshape(master.taps)) for phase in phases]
        return cls(pack(forward, FP16), [pack(matrix, FP16) for matrix in matrices])

    @classmethod
    def made(cls, master: Master, pruning: Pruning) -> "Used":
        """Of a layer that is pruned on the device. Raises `FormatError` as `Pruning.backward`."""
        stage, inputs = master.stage, master.taps[2]
        if not pruning.across:
            return cls(pruning.forward, [])
        if stage.plain:
            return cls(pruning.forward, [pruning.backward(inputs)])
        backward: list[PackedWeights | PrunedWeights] = []
        for phase in pixel_phases(stage.kernel, stage.height, stage.width):
            lines, columns = phase.taps
            taps = tuple(y * stage.kernel.size[1] + x for y in lines for x in columns)
            # Pixels that no tap reaches have a gradient of zero.
            nothing = np.zeros((master.weights.shape[1], inputs), np.float16)
            backward.append(pruning.backward(inputs, taps) if taps else pack(nothing, FP16))
        return cls(pruning.forward, backward)


@dataclass(frozen=True)
class Step:
    """A program, and the tensors that the host reaches."""

    program: Program
    x: Tensor
    targets: Tensor | None
    ones: list[Tensor]
    losses: Tensor | None
    """These two: of a loss that the device makes."""
    layers: list[Held]
    prunings: dict[int, Pruning]
    """Of the layers that are pruned on the device, by their numbers."""
    ahead: bool
    """They are pruned before the first step, and then by each for the next one."""
    sums: dict[int, tuple[RawTensor, RawTensor]]
    """Of a part of a batch, exact gradients of the weights and biases of each layer that trains, by
    its number."""
    words: int
    """Of tensor memory that it needs."""
    scores: Tensor
    """FP32, of each row."""
    dy: Tensor
    """The gradient of the scores, FP16."""
    back: Program | None = None
    """If the loss is the host's, what comes behind it."""
    change: Program | None = None
    """Of a part of a batch, what changes the masters, once gradients of all parts are added."""

    def load(self, device: Device, masters: Sequence[Master]) -> None:
        """Bring the program's constants and the masters, and prune these."""
        for program in (self.program, self.back, self.change):
            if program:
                programs.load(device, program)
        for tensor in self.ones:
            ones = np.zeros((tensor.rows, tensor.columns), np.float16)
            ones[:, 0] = 1
            programs.put(device, tensor, ones)
        for held, master in zip(self.layers, masters, strict=True):
            held.put(device, master)
        for number, pruning in self.prunings.items():
            frozen = self.layers[number].frozen
            for address, content in frozen.contents(pruning) if frozen else ():
                words = np.frombuffer(content, np.uint8)
                device.write_memory(address, words.reshape(-1, device.config.stream_bytes))
        prunes = [pruning.whole.command() for pruning in self.prunings.values() if self.ahead]
        programs.run(device, Program(device.config, [*prunes], []))

    def run(
        self, device: Device, x: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, dict[str, int]]:
        """A step on images or vectors, float16, and targets, float32; returns each row's loss, and
        what the device counted."""
        assert self.targets is not None and self.losses is not None  # the loss is the device's
        programs.put(device, self.x, x.reshape(self.x.rows, -1))
        programs.put(device, self.targets, targets)
        counters = programs.run(device, self.program)
        return programs.taken(device, self.losses)[:, 0].view("<f4"), counters

    def forward(self, device: Device, x: np.ndarray) -> np.ndarray:
        """If the loss is the host's: scores [B, columns], float32, of images or vectors; NaN if a
        value has overflowed on the way."""
        programs.put(device, self.x, x.reshape(self.x.rows, -1))
        programs.run(device, self.program)
        scores = programs.taken(device, self.scores).view("<f4")
        return scores if programs.all_finite(device) else np.full_like(scores, np.nan)

    def backward(self, device: Device, dy: np.ndarray) -> tuple[bool, dict[str, int]]:
        """The rest of the step from the gradient of the scores [B, columns], float16, with the
        scale of the loss in it; whether it counts, and what the device counted. What is not finite
        is no step."""
        assert self.back is not None  # the loss is the host's
        if not np.isfinite(dy).all():
            return False, {}
        programs.put(device, self.dy, dy.astype("<f2"))
        counters = programs.run(device, self.back)
        return programs.all_finite(device), counters

    def gradients(self, device: Device) -> list[np.ndarray]:
        """Of a part of a batch, the exact gradients that the step has left, whole numbers in the
        unit of the device's products."""
        return [programs.taken(device, sums) for pair in self.sums.values() for sums in pair]

    def apply(self, device: Device, gradients: Sequence[np.ndarray]) -> dict[str, int]:
        """Change the masters by gradients of a whole batch, float32, in the same order; returns
        what the device counted."""
        assert self.change is not None  # of a part of a batch
        tensors = (sums for pair in self.sums.values() for sums in pair)
        for sums, values in zip(tensors, gradients, strict=True):
            programs.put(device, _in_place(sums), values)
        return programs.run(device, self.change)

    def take(self, device: Device, masters: Sequence[Master]) -> None:
        """The masters as they are on the device."""
        for held, master in zip(self.layers, masters, strict=True):
            held.take(device, master)


def compiled(
    config: Config,
    batch: int,
    masters: Sequence[Master],
    used: Sequence[Used | int | Frozen],
    numbers: Numbers,
    at_use: bool = False,
    first: int = 0,
    whole: int = 0,
    loss: bool = True,
) -> Step:
    """The step of such layers on `batch` images or vectors. What a layer has `used` are weights, or
    the N of every M that the device keeps of its masters: these are pruned when they have been
    updated, for the next step, or `at_use`, before each product with them. Of what is `Frozen`
    only kept weights are there, and have gradients. Layers before the `first` one stay as they are,
    and nothing goes back through them. If these are a part of a `whole` batch of so many, the step
    ends with exact gradients (`Step.sums`), and `Step.apply` changes the masters. Without the
    `loss`, a cross-entropy, the host makes the gradient of the scores (`Step.forward`, `backward`).

    Raises `FormatError` for a device without training or vector unit, or pruner if it is to prune,
    for scores that are no whole groups, for a result that several layers add, and if the memory is
    full.
    """
    if not config.vector_lanes:
        raise FormatError(f"the device {config.name!r} has no vector unit, which trains")
    classes, group = masters[-1].weights.shape[1], config.group
    if classes % group:
        raise FormatError(f"scores of {classes} classes: fill them up to groups of {group}")
    made = _Layers(TrainingBuilder(config), batch, masters, used, numbers, at_use, first, whole)
    for number in range(len(masters)):
        made.forward(number)
    targets = losses = forward = None
    if loss:
        targets, losses = made.loss()
    else:
        forward = made.divided()
    for number in range(len(masters) - 1, first, -1):
        made.backward(number)
    made.place_ones()
    # The last layer first: it is small, so that the vector unit has something to do soon.
    for number in reversed(range(first, len(masters))):
        made.update(number)
    program = made.builder.program()
    change = made.changed() if whole else None
    return Step(
        program=forward or program,
        x=made.values[0].tensor,
        targets=targets,
        ones=list(made.ones.values()),
        losses=losses,
        layers=made.held,
        prunings=made.prunings,
        ahead=not at_use,
        sums=made.sums,
        words=made.builder.taken,
        scores=made.values[-1].tensor,
        dy=made.dys[len(masters) - 1].tensor,
        back=program if forward else None,
        change=change,
    )


class _Layers:
    """Puts a step into a builder, product by product."""

    def __init__(
        self,
        builder: TrainingBuilder,
        batch: int,
        masters: Sequence[Master],
        used: Sequence[Used | int | Frozen],
        numbers: Numbers,
        at_use: bool,
        first: int,
        whole: int,
    ):
        self.builder, self.batch, self.masters, self.numbers = builder, batch, masters, numbers
        self.at_use, self.whole = at_use, whole
        self.held = [
            held_of(builder, master, one if isinstance(one, Frozen) else None)
            for master, one in zip(masters, used, strict=True)
        ]
        self.prunings: dict[int, Pruning] = {}
        """Of the layers that are pruned on the device; the first one has nothing to go back to."""
        self.used: list[Used] = []
        for number, (master, one) in enumerate(zip(masters, used, strict=True)):
            if not isinstance(one, Used):
                inputs = len(master.weights) if isinstance(one, Frozen) else 0
                n = one.kept if isinstance(one, Frozen) else one
                weights, across = self.held[number].weights, number > first
                self.prunings[number] = pruning = builder.pruned(weights, n, across, inputs)
                one = Used.made(master, pruning)
            self.used.append(one)
        stage, channels = masters[0].stage, masters[0].taps[2]
        self.values = [self._images(stage.height, stage.width, channels, 16)]
        """Before and behind each layer."""
        self.full: list[Images] = []
        """What each layer pools."""
        self.dys: dict[int, Images] = {}
        """Gradients of each layer's sums."""
        self.ones: dict[int, Tensor] = {}
        """By the rows, a column of ones and more of zeros."""
        self.gradients: list[Tensor] = []
        """Of the layer that is updated last."""
        self.sums: dict[int, tuple[RawTensor, RawTensor]] = {}
        """Gradients of a part of a batch."""

    def forward(self, number: int) -> None:
        builder, stage = self.builder, self.masters[number].stage
        self._prune_now(number, False)
        last, x = number == len(self.masters) - 1, self.values[number]
        channels = self.masters[number].weights.shape[1]
        y = self._images(*stage.out, channels, 32 if last else 16)
        settings = biases_from(builder.config, self.held[number].bias)
        output, weights = (OutputFormat.FP16, OutputFormat.FP32)[last], self.used[number].forward
        if stage.plain:
            builder.product(x.tensor, weights, settings, not last, output, y.tensor)
        else:
            x = replace(x, height=stage.height, width=stage.width)
            added = None if stage.add is None else self.values[stage.add + 1]
            builder.convolution(x, stage.kernel, weights, settings, not last, output, y, added)
        self.full.append(y)
        if stage.pool > 1:
            pooled = self._images(*stage.pooled, channels, 16)
            size = (stage.pool, stage.pool)
            builder.vector(max_pool(y.tensor, pooled.tensor, stage.out, size, stage.pool))
            y = pooled
        self.values.append(y)

    def loss(self) -> tuple[Tensor, Tensor]:
        """Targets and losses; the scores' gradient is the last layer's."""
        builder, scores = self.builder, self.values[-1].tensor
        targets = builder.tensor(self.batch, scores.columns, 32)
        losses = builder.tensor(self.batch, builder.config.group, 32)
        last = len(self.masters) - 1
        self.dys[last] = self._scores_gradient()
        factor, dy = self.numbers.scale / (self.whole or self.batch), self.dys[last].tensor
        for program in softmax_programs.losses(scores, targets, dy, losses, factor):
            builder.vector(program)
        return targets, losses

    def divided(self) -> Program:
        """What makes the scores, whose gradient the host then brings."""
        self.dys[len(self.masters) - 1] = self._scores_gradient()
        program = self.builder.program()
        self.builder = self.builder.next()
        return program

    def _scores_gradient(self) -> Images:
        scores, x = self.full[-1].tensor, self.values[len(self.masters) - 1].tensor
        return self._images(1, 1, scores.columns, 16, x)

    def backward(self, number: int) -> None:
        """The gradient of the sums of the layer before."""
        self._prune_now(number, True)
        builder, stage = self.builder, self.masters[number].stage
        x, dy, before = self.values[number], self.dys[number], self.masters[number - 1].stage
        channels = self.masters[number].taps[2]
        dx = self._images(stage.height, stage.width, channels, 16)
        settings, weights = settings_of(builder.config, channels), self.used[number].backward
        later = later_of([master.stage for master in self.masters], number - 1)
        added = None if later is None else self.dys[later]
        if stage.plain:
            beside = added and added.tensor
            to_fp16 = OutputFormat.FP16
            tensors = dx.tensor, beside, x.tensor
            builder.product(dy.tensor, weights[0], settings, False, to_fp16, *tensors)
        else:
            x = replace(x, height=stage.height, width=stage.width)
            builder.convolution_transposed(
                dy, stage.kernel, weights, settings, OutputFormat.FP16, dx, added, x
            )
        if before.pool > 1:
            full, pooled = self.full[number - 1], self.values[number]
            spread = self._images(*before.out, full.tensor.columns, 16)
            tensors = full.tensor, pooled.tensor, dx.tensor, spread.tensor
            builder.vector(max_unpool(*tensors, before.out, before.pool))
            dx = spread
        self.dys[number - 1] = replace(dx, height=before.out[0], width=before.out[1])

    def place_ones(self) -> None:
        """Room for what the host brings before, where nothing has been given back."""
        for rows in {dy.tensor.rows: None for dy in self.dys.values()}:
            self.ones[rows] = self.builder.tensor(rows, self.builder.config.group)

    def update(self, number: int) -> None:
        """The gradients of a layer's weights and biases, and what they change; what is updated is
        pruned while the next rows are."""
        builder, held, numbers = self.builder, self.held[number], self.numbers
        stage, dy = self.masters[number].stage, self.dys[number]
        x = self.values[number]
        images = replace(x, height=stage.height, width=stage.width)
        columns, ones = dy.tensor.columns, self.ones[dy.tensor.rows]
        shapes = held.weights.rows, ones.columns
        if self.whole:
            output, settings = OutputFormat.RAW, settings_of(builder.config, columns)
            dw, db = (builder.raw(rows, columns) for rows in shapes)
            self.sums[number] = dw, db
        else:
            output = OutputFormat.FP32
            settings = settings_of(builder.config, columns, scale=1 / numbers.scale)
            dw, db = (builder.tensor(rows, columns, 32) for rows in shapes)
        operands = (x.tensor, dy.tensor, dw) if stage.plain else (images, dy, dw)
        kernel = None if stage.plain else stage.kernel
        if held.frozen:
            forward = self.prunings[number].forward
            builder.kept_gradient(*operands, forward, kernel, output, settings=settings)
        else:
            more = {"settings": settings, "together": TOGETHER}
            builder.gradient(*operands, kernel, output, **more)
        builder.gradient(ones, dy.tensor, db, output=output, settings=settings)
        if self.whole:
            return
        # Gradients keep their place until those of the next layer have theirs: the array does not
        # wait for the update.
        builder.free(*self.gradients)
        self.gradients = [dw, db]
        self._change(number, dw, db)

    def changed(self) -> Program:
        """What changes the masters by gradients that the host brings."""
        self.builder = self.builder.next()
        for number, sums in self.sums.items():
            self._change(number, *map(_in_place, sums))
        return self.builder.program()

    def _change(self, number: int, dw: Tensor, db: Tensor) -> None:
        """Update a layer's weights, some rows at a time, and prune those that are; and biases."""
        builder, held, config = self.builder, self.held[number], self.builder.config
        step = of_matrix = TOGETHER
        if held.frozen:
            # Whole blocks of R groups.
            block = config.rows * held.frozen.kept
            step = max(1, TOGETHER // block) * block
            of_matrix = step // held.frozen.kept * config.group
        pruning = self.prunings.get(number)
        shares = pruning.shares(of_matrix) if pruning and not self.at_use else []
        for turn, first in enumerate(range(0, dw.rows, step), 1):
            rows = min(step, dw.rows - first)
            parts = (each.part(first, rows) for each in (dw, held.weights, held.speed))
            _update(builder, *parts, self.numbers, self.numbers.decay)
            end = len(self.masters[number].weights) if first + rows == dw.rows else turn * of_matrix
            while shares and shares[0].first + shares[0].rows <= end:
                builder.prune(shares.pop(0))
        _update(builder, db.part(0, 1), held.bias, held.bias_speed, self.numbers, 0.0)

    def _prune_now(self, number: int, across: bool) -> None:
        """For the next product with a layer's weights, if they are pruned for each."""
        if self.at_use and number in self.prunings:
            self.builder.prune(replace(self.prunings[number], across=across).whole)

    def _images(
        self, height: int, width: int, channels: int, bits: int, apart: Tensor | None = None
    ) -> Images:
        rows = self.batch * height * width
        return Images(self.builder.tensor(rows, channels, bits, apart), height, width)


def _in_place(sums: RawTensor) -> Tensor:
    """A tensor of binary32 of the same shape, where the first limbs of the sums are."""
    return Tensor(sums.config, sums.address, sums.rows, sums.columns, 32)


def _update(
    builder: TrainingBuilder, dw: Tensor, w: Tensor, v: Tensor, numbers: Numbers, decay: float
) -> None:
    program = update_programs.momentum(dw, w, v, numbers.momentum, decay, numbers.rate)
    builder.vector(replace(program, guarded=builder.config.prunes))
