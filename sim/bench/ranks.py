"""Whether several devices that train together end with the bits of one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...hw.config import trainer
from ...sw.host.device import Device
from ...sw.nn import data
from ...sw.nn.on_device import OnDevice
from ...sw.nn.ranks import OnRank, Threads
from ...sw.nn.trainer import Recipe, Training
from ..golden.device import ModelTransport
from .named import cost, wanted

ROW = "train.ranks_bit_mismatches"
RANKS = 1, 2, 4
METHODS = "bdwp", "kept"
STEPS = 8
HIDDEN = (32, 16)


def rows(only: str) -> Iterator[dict]:
    if not wanted(ROW, only):
        return
    wrong, numbers = 0, 0
    for method in METHODS:
        alone = _bits(_trained(method, OnDevice))
        for count in RANKS:
            threads = Threads(count)
            with ThreadPoolExecutor(count) as pool:
                each = [pool.submit(_rank, method, threads, n, count) for n in range(count)]
                for made in each:
                    got = _bits(made.result())
                    wrong += int((got != alone).sum())
                    numbers += got.size
    note = (
        f"of {numbers:,} weights, momenta and losses of {RANKS} ranks, after {STEPS} steps by "
        f"{' and '.join(METHODS)}; each rank a device by the golden model"
    )
    yield cost(ROW, wrong, "numbers", 0, note)


def _rank(method: str, threads: Threads, rank: int, ranks: int) -> Training:
    try:
        return _trained(
            method, lambda training, device: OnRank(training, device, rank, ranks, threads.add)
        )
    except BaseException:
        threads.give_up()
        raise


def _trained(method: str, begin: Callable[[Training, Device], object]) -> Training:
    images = data.load("digits")
    recipe = Recipe(hidden=HIDDEN, method=method, epochs=1, pull=0.0, seed=1)
    training = Training.begun(images, recipe)
    config = trainer("small")
    with Device(ModelTransport(config), config.name) as device:
        begin(training, device)
        for _ in range(STEPS):
            training.advance()
        training.settle()
    return training


def _bits(training: Training) -> np.ndarray:
    arrays = [np.array(training.losses, np.float32)]
    for layer, learning in zip(training.layers, training.learning, strict=True):
        arrays += [layer.weights, layer.bias, learning.weights.speed, learning.bias.speed]
    return np.concatenate([array.ravel().view(np.uint32) for array in arrays])
