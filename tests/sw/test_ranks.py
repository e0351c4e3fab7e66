"""Data-parallel training: one rank, two and four end with the same bits as a device alone."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from heddle.sw.errors import FormatError
from heddle.sw.nn import ranks
from heddle.sw.nn.on_device import OnDevice
from heddle.sw.nn.ranks import OnRank, Threads
from heddle.sw.nn.trainer import Training

from .test_on_device import RECIPE, bits, dataset, model


def alone(recipe, data, scale: float) -> Training:
    training = Training.begun(data, recipe)
    training.scale = scale
    with model() as device:
        OnDevice(training, device)
        while not training.done:
            training.advance()
        training.settle()
    return training


def in_ranks(recipe, data, scale: float, count: int) -> list[Training]:
    together, done, failed = Threads(count, 60), [None] * count, []

    def work(rank: int) -> None:
        try:
            training = Training.begun(data, recipe)
            training.scale = scale
            with model() as device:
                OnRank(training, device, rank, count, together.add)
                while not training.done:
                    training.advance()
                training.settle()
            done[rank] = training
        except BaseException as reason:
            failed.append(reason)
            together.give_up()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    return done


@pytest.mark.parametrize(
    ("method", "scale"), [("bdwp", 1024.0), ("bdwp", 2.0**21), ("kept", 1024.0)]
)
def test_the_same_bits(method, scale):
    """Steps that overflow among them, if the scale is large, and such with frozen masks."""
    data, recipe = dataset(), replace(RECIPE, method=method)
    wanted = alone(recipe, data, scale)
    assert bool(wanted.skipped) == (scale > 1024)
    for count in (1, 2, 4):
        for training in in_ranks(recipe, data, scale, count):
            assert bits(training) == bits(wanted)
            assert repr(training.curve) == repr(wanted.curve)
            assert (training.scale, training.skipped) == (wanted.scale, wanted.skipped)


def test_sums_of_limbs():
    """Of any signs, so many that no limb is one any more."""
    rng = np.random.default_rng(1)
    values, shifts = (
        rng.integers(*limits, (5, 50)).astype(object) for limits in ((-9, 9), (0, 120))
    )
    sums = list(values << shifts)
    total = sum(ranks._limbs(each) for each in sums)
    assert (ranks._integers(total) == sum(sums)).all()


def test_a_batch_that_cannot_be_divided():
    with model() as device, pytest.raises(FormatError, match="16 cannot be divided evenly by 3"):
        OnRank(Training.begun(dataset(), RECIPE), device, 0, 3, lambda values: values)


def _rank(rank: int, count: int, file: str) -> None:
    import torch.distributed as dist

    from heddle.torch import on_rank

    dist.init_process_group("gloo", f"file://{file}", rank=rank, world_size=count)
    training = Training.begun(dataset(), replace(RECIPE, epochs=1))
    with model() as device:
        on_rank(training, device)
        while not training.done:
            training.advance()
        training.settle()
    wanted = alone(replace(RECIPE, epochs=1), dataset(), 1024.0)
    assert bits(training) == bits(wanted)
    dist.destroy_process_group()


def test_processes_of_pytorchs(tmp_path):
    """Ranks of torch.distributed, with gloo."""
    torch = pytest.importorskip("torch")
    torch.multiprocessing.spawn(_rank, (2, str(tmp_path / "ranks")), nprocs=2)
