"""A layer's masters on a device: all of its weights, or of a frozen mask those that are kept."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.isa.host_stream import indices_payload
from ..compiler.backward import TrainingBuilder
from ..compiler.kept import Compact
from ..compiler.pruning import Pruning
from ..compiler.tensors import Tensor
from ..host import programs
from ..host.device import Device
from .exact import Master


@dataclass(frozen=True, eq=False)
class Frozen:
    """Which of every M weights of a layer along K are kept from now on, `places` [groups, N, C],
    in order."""

    places: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, n: int, m: int) -> "Frozen":
        """What a mask [K, C] keeps, which is of `n` of every `m` weights, or less: then of the
        first ones of all others too."""
        groups = ~mask.reshape(-1, m, mask.shape[1])
        places = np.sort(np.argsort(groups, axis=1, kind="stable")[:, :n], axis=1)
        return cls(places.astype(np.uint8))

    @property
    def kept(self) -> int:
        """N."""
        return self.places.shape[1]

    def compact(self, config: Config) -> Compact:
        """The kept weights alone."""
        return Compact(config, len(self.places), self.kept)

    def contents(self, pruning: Pruning) -> Iterator[tuple[int, bytes]]:
        """The indices of W_ff, whole words from an address on, one column block after another."""
        config = pruning.config
        values, pitch = pruning.payload(pruning.rows)
        slots = self.places.reshape(-1, self.places.shape[2])
        for block in range(-(-slots.shape[1] // config.columns)):
            mine = slots[:, block * config.columns :][:, : config.columns]
            mine = np.pad(mine, ((0, 0), (0, config.columns - mine.shape[1])))
            content = indices_payload(mine)
            content += bytes(-len(content) % config.stream_bytes)
            yield pruning.address + block * pitch + values, content


@dataclass(frozen=True)
class Held:
    """A layer's tensors: masters and what they were changed by last, FP32; of weights that are
    `frozen` those that are kept."""

    weights: Tensor
    speed: Tensor
    bias: Tensor
    bias_speed: Tensor
    frozen: Frozen | None = None

    def put(self, device: Device, master: Master) -> None:
        """Bring a layer's arrays there."""
        for tensor, values in self._pairs(master):
            if self.frozen and tensor in (self.weights, self.speed):
                values = self.frozen.compact(device.config).of(values, self.frozen.places)
            programs.put(device, tensor, values)

    def take(self, device: Device, master: Master) -> None:
        """Bring them from there; weights that are not kept become 0."""
        for tensor, values in self._pairs(master):
            taken = programs.taken(device, tensor).view("<f4")
            if self.frozen and tensor in (self.weights, self.speed):
                taken = self.frozen.compact(device.config).dense(taken, self.frozen.places)
            values[...] = taken

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.weights, self.speed, self.bias, self.bias_speed

    def _pairs(self, master: Master) -> list[tuple[Tensor, np.ndarray]]:
        rows = master.bias[None], master.bias_speed[None]
        return list(zip(self.tensors, (master.weights, master.speed, *rows), strict=True))


def held_of(builder: TrainingBuilder, master: Master, frozen: Frozen | None) -> Held:
    """New tensors for a layer. Raises `FormatError` if the memory is full."""
    inputs, outputs = master.weights.shape
    if frozen:
        inputs = frozen.compact(builder.config).rows
    weights, speed = (builder.tensor(inputs, outputs, 32) for _ in range(2))
    return Held(weights, speed, *(builder.tensor(1, outputs, 32) for _ in range(2)), frozen)
