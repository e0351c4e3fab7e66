"""What the vector unit's programs get done in a cycle, on the hardware."""

from collections.abc import Callable, Iterator

from ...hw.config import Config, preset
from ...hw.isa.commands import Sync
from ...hw.isa.host_stream import packet_of
from ...sw.compiler import pooling_programs, softmax_programs
from ...sw.compiler import vector_programs as programs
from ...sw.compiler.tensors import Tensor
from ...sw.compiler.vector_program import VectorProgram
from ...sw.host.answers import answer_of
from ...sw.host.device import Device
from ...sw.host.open import open_device

LANES = 8
IMAGE, CHANNELS = 8, 32
"""Side of an image, and its channels."""
IMAGES = (2, 6)
"""Of the two runs, whose difference is measured: it has no beginning and no end."""


def rows(only: str) -> Iterator[dict]:
    config = preset("small", vector_lanes=LANES)
    names = {name: f"vector.{name}.elements_per_cycle" for name in PROGRAMS}
    with open_device("sim", config=config) as device:
        for name, make in PROGRAMS.items():
            if not names[name].startswith(only):
                continue
            few, many = (_measure(device, make(config, images)) for images in IMAGES)
            elements, cycles = many[0] - few[0], many[1] - few[1]
            start = few[1] - cycles * few[0] / elements
            yield {
                "name": names[name],
                "value": elements / cycles,
                "unit": "elements",
                "target": None,
                "better": "higher",
                "note": f"V = {LANES}, of elements that are read; {start:.0f} cycles more to "
                "begin, its registers read included",
            }


def _measure(device: Device, program: VectorProgram) -> tuple[int, int]:
    """Elements of what is read first, and cycles."""
    read = program.streams[0]
    assert read is not None
    at = device.config.tensor_words - 256
    device.write_memory(at, program.content)
    packets = [packet_of(device.config, c) for c in (program.command(at), Sync())]
    device.clear()
    for packet, answer in zip(packets, device.transport.exchange(packets), strict=True):
        answer_of(device.config, answer).check(packet)
    return read.rows * read.columns, device.counters()["total"]


def _tensors(config: Config, *shapes: tuple[int, int, int]) -> list[Tensor]:
    """Tensors of rows, columns and bits, one behind the other."""
    made, at = [], 0
    for shape in shapes:
        made.append(Tensor(config, at, *shape))
        at += made[-1].space
    return made


def _pixels(images: int) -> tuple[int, int, int]:
    return images * IMAGE**2, CHANNELS, 16


def _relu(config: Config, images: int):
    return programs.relu(*_tensors(config, _pixels(images), _pixels(images)))


def _affine(config: Config, images: int):
    row = 1, CHANNELS, 32
    x, scale, shift, y = _tensors(config, _pixels(images), row, row, _pixels(images))
    return programs.affine(x, scale, shift, y, True)


def _residual(config: Config, images: int):
    tensors = _tensors(config, *[_pixels(images)] * 3)
    return programs.residual(*tensors, (0.5, 0.25), True)


def _sigmoid(config: Config, images: int):
    return programs.sigmoid(*_tensors(config, _pixels(images), _pixels(images)))


def _pool(pool: Callable) -> Callable:
    def program(config: Config, images: int):
        made = images * (IMAGE // 2) ** 2, CHANNELS, 16
        x, y = _tensors(config, _pixels(images), made)
        return pool(x, y, (IMAGE, IMAGE), (2, 2), 2)

    return program


def _global(config: Config, images: int):
    x, y = _tensors(config, _pixels(images), (images, CHANNELS, 16))
    return pooling_programs.global_average(x, y, IMAGE**2)


def _softmax(config: Config, images: int):
    rows = 16 * images
    x, row, y = _tensors(config, (rows, CHANNELS, 32), (1, CHANNELS, 32), (rows, CHANNELS, 32))
    return softmax_programs.softmax(x, row, y)


PROGRAMS: dict[str, Callable[[Config, int], VectorProgram]] = {
    "relu": _relu,
    "affine": _affine,
    "residual": _residual,
    "max_pool2x2": _pool(pooling_programs.max_pool),
    "average_pool2x2": _pool(pooling_programs.average_pool),
    "global_average": _global,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}
