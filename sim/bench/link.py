"""Faults on the serial line that jobs survive: the right bits, or an error that says so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.formats import INT8, OutputFormat
from ...sw.compiler import nm, packing
from ...sw.errors import DeviceError
from ...sw.host import driver
from ...sw.host.device import Device
from ...sw.transports.serial_link import LinkTransport
from ..engines.board import BoardPort
from ..golden.device import ModelTransport
from ..testbenches.link_model import ModelPort
from .faults import FaultyPort
from .named import wanted

CONFIG = Config("link", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
RATE = 1 / 300
"""Faults a byte: a full frame of 1,024 bytes gets three."""
WANTED = 100_000
GATEWARE = 2_000


@dataclass
class Survived:
    faults: int = 0
    jobs: int = 0
    """Products with every bit right."""
    errors: int = 0
    """Jobs that ended with a `DeviceError`."""


def survive(port: Callable, faults: int, seed: int, rate: float = RATE) -> Survived:
    """Run products over a faulty line until `faults` are injected.

    Raises `AssertionError` at a wrong result. A job that ends with an error is opened again.
    """
    result = Survived()
    rng = np.random.default_rng(seed)
    line = FaultyPort(port(CONFIG), rate, seed)
    device = None
    reference = Device(ModelTransport(CONFIG), CONFIG.name)
    while line.faults < faults:
        x = rng.integers(-127, 128, (2, 16)).astype(float)
        w = nm.prune(rng.integers(-127, 128, (16, 3)).astype(float), 2, 8)
        weights = packing.pack(w, INT8, 2, 8)
        options = {"output": OutputFormat.FP32, "bias": rng.standard_normal(3)}
        try:
            if device is None:
                device = Device(LinkTransport(line, timeout=0.01), CONFIG.name)
            got, _ = driver.matmul(device, x, weights, **options)
        except DeviceError:
            result.errors += 1
            device = None
            continue
        expected, _ = driver.matmul(reference, x, weights, **options)
        assert np.array_equal(got, expected), f"wrong bits after {line.faults} faults"
        result.jobs += 1
    result.faults = line.faults
    line.close()
    return result


def rows(only: str) -> Iterator[dict]:
    name = "board.link_faults_survived"
    if not wanted(name, only):
        return
    model = survive(ModelPort, WANTED, seed=1, rate=RATE)
    board = survive(BoardPort, GATEWARE, seed=2, rate=RATE)
    yield {
        "name": name,
        "value": model.faults + board.faults,
        "unit": "faults",
        "target": WANTED,
        "better": "higher",
        "note": f"{model.jobs + board.jobs} jobs right, {model.errors + board.errors} ended with "
        f"an error, none wrong; {board.faults} of the faults on the gateware's pins",
    }
