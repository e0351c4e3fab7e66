"""The scale of a loss whose gradients are FP16: a power of two that is halved when something
overflows, and grows again (Micikevicius et al., Mixed Precision Training, ICLR 2018)."""

from ..errors import FormatError
from .trainer import DIVERGES, Training

SCALES = 1.0, 65536.0
"""The least and the largest."""
GOOD_STEPS = 1000
"""That count, one after another, before the scale is doubled."""


def counted(training: Training, good: bool) -> None:
    """Have the scale follow a step that counts, or one that does not.

    Raises `FormatError` if not even the least scale helps: the training diverges.
    """
    if good:
        training.good += 1
        if training.good == GOOD_STEPS and training.scale < SCALES[1]:
            training.scale, training.good = training.scale * 2, 0
        return
    training.skipped += 1
    if training.scale == SCALES[0]:
        raise FormatError(
            f"step {training.step} overflows with a loss that is not scaled at all: {DIVERGES}"
        )
    training.scale, training.good = training.scale / 2, 0
