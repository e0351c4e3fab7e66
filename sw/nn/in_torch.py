"""PyTorch's Linear and Conv2d whose products run on a device, forward and backward.

A layer keeps its parameters, and autograd, optimisers and all else of a user's loop are untouched:
only where a layer multiplies, a device does. What it multiplies is rounded to the device's format
once, scaled by a power of two if that keeps more of it; sums are exact, and rounded once to
float32.
"""

import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import frexp

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, distributed, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from ..compiler.packing import pack
from ..errors import FormatError, PrecisionWarning
from ..host.device import Device
from .ranks import OnRank
from .recipes import LAST, RECIPES, Dense, Moment, Rule
from .recipes.rule import PRODUCTS
from .trainer import Training

LARGEST = 12
"""The largest magnitude of what is scaled is below 2**LARGEST: far from a float16's limits on
either side, so that all but the smallest of a tensor keep all their bits."""


@dataclass(eq=False)
class OnDevice:
    """What a layer that runs on a device has beside its parameters."""

    device: Device
    rules: list[Rule]
    """One for each group of a convolution."""
    steps: int
    kind: type[nn.Module]
    """What the layer was before."""
    step: int = 0
    """Backward passes so far."""
    cycles: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRODUCTS, 0))
    """What the device has counted, by stage."""

    @property
    def moment(self) -> Moment:
        return Moment(min(self.step, self.steps - 1), self.steps)

    def product(self, stage: str, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """``x @ weights`` of float32 matrices; NaN if one of them is not finite."""
        if not (np.isfinite(x).all() and np.isfinite(weights).all()):
            return np.full((len(x), weights.shape[1]), np.nan, np.float32)
        (x, first), (weights, second) = _scaled(x), _scaled(weights)
        with warnings.catch_warnings():
            # Of a gradient most may be so small beside the largest that they are zeros.
            warnings.simplefilter("ignore", PrecisionWarning)
            y, stats = self.device.matmul(x, pack(weights, self.device.config.format))
        self.cycles[stage] += stats.cycles
        return np.ldexp(y, first + second)


class _Product(torch.autograd.Function):
    """``x @ weights`` for x [rows, K] and masters [K, C] of one of a layer's groups; x is of so
    many `images`, and its rows are their pixels."""

    @staticmethod
    def forward(ctx, x: Tensor, weights: Tensor, on: OnDevice, images: int, group: int) -> Tensor:
        pruned = on.rules[group].prune(_array(weights), on.moment)
        ctx.on, ctx.images, ctx.group, ctx.pruned = on, images, group, pruned
        ctx.save_for_backward(x, weights)
        return torch.from_numpy(on.product("FF", _array(x), pruned.forward))

    @staticmethod
    def backward(ctx, dy: Tensor):
        on, rule, (x, weights) = ctx.on, ctx.on.rules[ctx.group], ctx.saved_tensors
        moment, gradient = on.moment, _array(dy)
        dx = dw = None
        if ctx.needs_input_grad[0]:
            errors = rule.errors(gradient.reshape(ctx.images, -1, gradient.shape[1]))
            back = np.ascontiguousarray(ctx.pruned.backward.T)
            made = on.product("BP", errors.reshape(gradient.shape), back)
            dx = torch.from_numpy(made)
        if ctx.needs_input_grad[1]:
            columns = np.ascontiguousarray(_array(x).T)
            made = on.product("WU", columns, rule.samples(gradient, moment))
            dw = torch.from_numpy(rule.gradient(made, _array(weights), ctx.pruned))
            on.step += ctx.group == 0
        return dx, dw, None, None, None


class Linear(nn.Linear):
    """A Linear on a device. Its weights are pruned along its inputs forward, backward along its
    outputs."""

    on_device: OnDevice

    def forward(self, input: Tensor) -> Tensor:
        rows = input.reshape(-1, self.in_features)
        images = len(rows) if input.ndim < 3 else len(input)
        made = _Product.apply(rows, self.weight.t(), self.on_device, images, 0)
        made = made.reshape(*input.shape[:-1], self.out_features)
        return made if self.bias is None else made + self.bias


class Conv2d(nn.Conv2d):
    """A Conv2d on a device: a product whose K are the taps, line by line, each with all channels of
    its group. Weights are pruned along channels in forward, along channels out backward."""

    on_device: OnDevice

    def forward(self, input: Tensor) -> Tensor:
        images, taps = len(input), self.kernel_size[0] * self.kernel_size[1]
        inside, outside = (n // self.groups for n in (self.in_channels, self.out_channels))
        columns = functional.unfold(
            input, self.kernel_size, self.dilation, self.padding, self.stride
        )
        pixels = columns.shape[2]
        columns = columns.reshape(images, self.groups, inside, taps, pixels)
        made = []
        for group in range(self.groups):
            rows = columns[:, group].permute(0, 3, 2, 1).reshape(images * pixels, taps * inside)
            mine = self.weight[group * outside :][:outside]
            matrix = mine.permute(2, 3, 1, 0).reshape(taps * inside, outside)
            product = _Product.apply(rows, matrix, self.on_device, images, group)
            made.append(product.reshape(images, pixels, outside))
        size = [
            (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for length, padding, dilation, kernel, stride in zip(
                input.shape[2:],
                self.padding,
                self.dilation,
                self.kernel_size,
                self.stride,
                strict=True,
            )
        ]
        y = torch.cat(made, dim=2).permute(0, 2, 1).reshape(images, -1, *size)
        return y if self.bias is None else y + self.bias[:, None, None]


KINDS: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: Linear, nn.Conv2d: Conv2d}


def wrap(
    model: nn.Module,
    device: Device,
    recipe: str = "bdwp",
    nm: tuple[int, int] = (2, 8),
    *,
    dense: Collection[str] = (),
    steps: int | None = None,
    seed: int = 0,
) -> nn.Module:
    """Let all Linear and Conv2d layers of `model` multiply on `device` from now on, pruned to N:M
    (`nm`) by a `recipe` of docs/training.md; returns the model, which is changed in place.

    Parameters, their names and their gradients are PyTorch's own, float32 on the CPU. A layer stays
    dense if its name is in `dense`, or if its channels (of a group) in or out are no multiple of M.
    Recipes that change while they train want to know how many `steps` that will be; `seed` is of
    those that draw.

    Raises `FormatError` for a recipe that there is not, or that wants steps, for a device that
    multiplies no floating-point numbers, for a layer that has no float32 weights on the CPU, whose
    padding is not of zeros, or that is on a device already, and if there is no such layer.
    """
    n, m = nm
    if recipe not in RECIPES:
        raise FormatError(f"no recipe {recipe!r}; there are {', '.join(RECIPES)}")
    if not device.config.format.is_float:
        raise FormatError(
            f"the device {device.config.name!r} multiplies {device.config.format.name}: what a "
            "model of PyTorch multiplies are floating-point numbers"
        )
    rule = RECIPES[recipe](n, m)
    if rule.products(Moment(0, 1)) != rule.products(LAST) and not steps:
        raise FormatError(f"the recipe {recipe!r} changes while it trains: say how many steps")
    layers = [(name, layer) for name, layer in model.named_modules() if type(layer) in KINDS]
    found = {name for name, _ in layers}
    if unknown := [name for name in dense if name not in found]:
        raise FormatError(f"the model has no layer {', '.join(unknown)}; it has {sorted(found)}")
    if not layers:
        raise FormatError("the model has no Linear and no Conv2d that is not on a device already")
    for name, layer in layers:
        _check(name, layer)
    numbers = count()
    for name, layer in layers:
        whole = name in dense or n == m or any(channels % m for channels in _channels(layer))
        kind = Dense if whole else RECIPES[recipe]
        groups = range(getattr(layer, "groups", 1))
        rules = [
            Dense() if kind is Dense else kind(n=n, m=m, key=(seed, next(numbers))) for _ in groups
        ]
        layer.on_device = OnDevice(device, rules, steps or 1, type(layer))
        layer.__class__ = KINDS[type(layer)]
    return model


def unwrap(model: nn.Module) -> nn.Module:
    """Let PyTorch multiply again; returns the model. What its masks leave out is there again."""
    for layer in model.modules():
        if isinstance(layer, (Linear, Conv2d)):
            layer.__class__ = layer.on_device.kind
            del layer.on_device
    return model


def cycles(model: nn.Module) -> dict[str, dict[str, int]]:
    """What the device has counted so far, by a layer's name and by stage: FF, BP, WU."""
    return {
        name: dict(layer.on_device.cycles)
        for name, layer in model.named_modules()
        if isinstance(layer, (Linear, Conv2d))
    }


def on_rank(training: Training, device: Device) -> OnRank:
    """Let `device` do this rank's part of a training's steps, of the ranks that
    ``torch.distributed`` has: each must have begun the same training. See `ranks.OnRank`.

    Raises `FormatError` as that, and if no ranks have been brought together.
    """
    if not distributed.is_initialized():
        raise FormatError("no ranks: call torch.distributed.init_process_group first")

    ranks = distributed.get_rank(), distributed.get_world_size()
    return OnRank(training, device, *ranks, partial(_of_all, by=distributed.ReduceOp.SUM))


def largest(values: np.ndarray) -> np.ndarray:
    """Of int64 [...] of each rank the largest of all, on each."""
    return _of_all(values, distributed.ReduceOp.MAX)


def _of_all(values: np.ndarray, by) -> np.ndarray:
    """What a reduction makes of int64 [...] of each rank, on each."""
    made = torch.from_numpy(values.copy())
    distributed.all_reduce(made, by)
    return made.numpy()


def _channels(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels // layer.groups, layer.out_channels // layer.groups
    return layer.in_features, layer.out_features


def _check(name: str, layer: nn.Module) -> None:
    weight = layer.weight
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        raise FormatError(
            f"layer {name!r} has weights of {weight.dtype} on {weight.device}: a device is reached "
            "from float32 on the CPU"
        )
    if isinstance(layer, nn.Conv2d):
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise FormatError(
                f"layer {name!r} has padding {layer.padding!r} of {layer.padding_mode!r}: it must "
                "be of zeros, in pixels"
            )


def _scaled(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Values times a power of two, and the exponent that takes it off again."""
    exponent = frexp(float(np.abs(values).max(initial=0)))[1] - LARGEST
    return np.ldexp(values, -exponent), exponent


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())
