"""Weights that a device prunes itself: the same payloads as of weights that are packed on the host,
and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import heddle
from heddle.hw.formats import E4M3, INT8, OutputFormat
from heddle.hw.isa.codes import Target
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler.backward import TrainingBuilder
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.packing import pack
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.steps import PAGES, Load
from heddle.sw.compiler.tensors import Tensor
from heddle.sw.errors import FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device
from heddle.sw.transports.simulated import SimulatedTransport

from ..sim.devices import LEARNER

BROAD = replace(LEARNER, name="broad", columns=16, lanes=4, tensor_words=2048)
NARROW = replace(LEARNER, name="narrow", format=E4M3)
DEVICES = [LEARNER, BROAD, NARROW]


@pytest.mark.parametrize("kept", [1, 2, 5, 8])
@pytest.mark.parametrize("together", [16, 40])
@pytest.mark.parametrize("config", DEVICES, ids=lambda c: c.name)
def test_products_with_pruned_weights(config, together, kept):
    """Forward and backward, with columns that fill no block, beside NumPy's product with what
    `heddle.prune` leaves of the same weights, all at once or some rows at a time."""
    rng = np.random.default_rng(kept)
    inputs, outputs, batch = 40, 24, 16
    masters = rng.standard_normal((inputs, outputs)).astype("f4")
    masters[:, 3] = np.round(masters[:, 3])  # many of one magnitude
    x = rng.integers(-4, 5, (batch, inputs))
    dy = rng.integers(-4, 5, (batch, outputs))
    builder = TrainingBuilder(config)
    held = builder.tensor(inputs, outputs, 32)
    tensors = [builder.tensor(*a.shape) for a in (x, dy)]
    results = [builder.tensor(batch, n, 32) for n in (outputs, inputs)]
    pruning = builder.pruned(held, kept)
    for share in pruning.shares(together):
        builder.prune(share)
    both = pruning.forward, pruning.backward(inputs)
    for source, weights, result in zip(tensors, both, results, strict=True):
        settings = settings_of(config, result.columns)
        builder.product(source, weights, settings, False, OutputFormat.FP32, result)
    program = builder.program()
    with Device(ModelTransport(config)) as device:
        programs.load(device, program)
        programs.put(device, held, masters)
        for tensor, values in zip(tensors, (x, dy), strict=True):
            programs.put(device, tensor, to_raw(values.astype(float), config.format))
        programs.run(device, program)
        got = [programs.taken(device, result).view("<f4") for result in results]
        assert not device.flags()
    for found, values, weights in (
        (got[0], x, heddle.prune(masters, kept, 8, axis=0)),
        (got[1], dy, heddle.prune(masters, kept, 8, axis=1).T),
    ):
        elements = heddle.to_dense(pack(weights, config.format))
        assert np.array_equal(found, (values @ elements.astype(float)).astype("f4"))


@pytest.mark.parametrize("config", DEVICES, ids=lambda c: c.name)
def test_shares(config):
    """Every word of both payloads is some share's, and but for the indices' last ones one's only;
    what is no whole words goes at once."""
    pruning = TrainingBuilder(config).pruned(Tensor(config, 0, 64, 24, 32), 2)
    shares = pruning.shares(32)
    assert [(share.first, share.rows) for share in shares] == [(0, 32), (32, 32)]
    written = [word for share in shares for words in share.writes for word in words]
    assert sorted(written) == sorted(w for words in pruning.whole.writes for w in words)
    assert len(set(written)) == len(written)
    assert set(written) <= set(range(pruning.address, pruning.address + pruning.space))
    assert pruning.shares(4) == [pruning.whole]


def test_what_is_refused():
    builder = TrainingBuilder(LEARNER)
    with pytest.raises(FormatError, match="12 x 16 elements of 32 bits have not whole groups"):
        builder.pruned(builder.tensor(12, 16, 32), 2)
    with pytest.raises(FormatError, match="16 x 16 elements of 16 bits have not whole groups"):
        builder.pruned(builder.tensor(16, 16, 16), 2)
    whole = replace(LEARNER, name="whole", format=INT8)
    with pytest.raises(FormatError, match=r"'whole' has no pruner: build one with training"):
        TrainingBuilder(whole).pruned(TrainingBuilder(whole).tensor(16, 16, 32), 2)
    with pytest.raises(FormatError, match="does not fit|do not fit: it takes"):
        builder.pruned(builder.tensor(256, 64, 32), 8)


def test_weights_of_more_than_a_page():
    builder = TrainingBuilder(replace(LEARNER, tensor_words=16384))
    masters, x = builder.tensor(640, 8, 32), builder.tensor(8, 640)
    forward = builder.pruned(masters, 2).forward
    with pytest.raises(FormatError, match="80 groups of K do not fit into a page of weights"):
        builder.product(
            x, forward, settings_of(LEARNER, 8), False, OutputFormat.FP16, builder.tensor(8, 8)
        )


def test_indices_that_are_no_whole_words():
    """A load that begins within a word of indices."""
    wide = replace(LEARNER, name="wide", lanes=8)
    builder = TrainingBuilder(wide)
    forward = builder.pruned(builder.tensor(256, 8, 32), 2).forward
    load = Load(PAGES[0], Target.VALUES, 0, np.arange(8, 24)[:, None], False)
    with pytest.raises(FormatError, match="8 lanes of 'wide': take less lanes"):
        forward.fills(load)
    (fill,) = forward.fills(replace(load, words=np.arange(32, 48)[:, None]))
    assert (fill.source, fill.words) == (forward.parts[0] + 4, 2)
    assert (fill.indices, fill.index_words) == (forward.parts[0] + forward.words + 1, 1)


def test_a_long_prune_is_no_hang(monkeypatch):
    """A device that answers nothing for long, and whose array has nothing to do, is at work."""
    monkeypatch.setattr("heddle.sw.transports.simulated.longest_silence", lambda config: 100)
    builder = TrainingBuilder(LEARNER)
    pruning = builder.pruned(builder.tensor(64, 64, 32), 2)
    builder.prune(pruning.whole)
    with Device(SimulatedTransport(LEARNER), LEARNER.name) as device:
        counters = programs.run(device, builder.program())
        assert counters["errors"] == 0 and counters["running"] > 500
