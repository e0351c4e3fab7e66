"""The commands for arrays and packed files, as a user meets them."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from heddle.sw.compiler import nm, packing
from heddle.sw.nn import container


def linear(outputs, inputs, seed=1):
    """A PyTorch Linear's weight [out, in], 2:8 along its inputs; FP16 holds it exactly."""
    weight = np.random.default_rng(seed).standard_normal((outputs, inputs)).astype(np.float16)
    return nm.prune(weight, 2, 8, axis=1).astype(np.float32)


@pytest.fixture
def model(heddle):
    tensors = {"fc1.weight": linear(5, 16), "fc2.weight": linear(8, 8), "[/x]": np.ones(3)}
    save_file(tensors, "model.safetensors")
    return tensors


def test_a_model_is_packed_and_unpacked(heddle, model):
    arguments = ("--nm", "2:8", "--transpose")
    code, text = heddle("pack", "model.safetensors", "w.safetensors", *arguments)
    assert code == 0 and "wrote w.safetensors: 2 of 3 tensors, taken as [C, K]" in text
    assert "fc1.weight F32 16 x 5 25.0% " in text and "[/x] F64 3 of rank 1" in text
    code, text = heddle("unpack", "w.safetensors", "back.npy")
    assert code == 1 and "is not named (--name); it has fc1.weight, fc2.weight" in text
    for name in ("fc1.weight", "fc2.weight"):
        assert heddle("unpack", "w.safetensors", "back.npy", "--name", name, "--force")[0] == 0
        assert np.array_equal(np.load("back.npy").T, model[name])


def test_one_tensor_of_a_model(heddle, model):
    options = ("--nm", "2:8", "--tensor", "fc2.weight")
    code, text = heddle("pack", "model.safetensors", "w.safetensors", *options)
    assert code == 1 and "tensor 'fc2.weight': not 2:8" in text
    code, text = heddle("pack", "model.safetensors", "w.safetensors", *options, "--transpose")
    assert code == 0 and "1 of 1 tensors" in text
    assert heddle("unpack", "w.safetensors", "back.npy")[0] == 0
    assert np.array_equal(np.load("back.npy").T, model["fc2.weight"])


def test_without_transpose_its_orientation_is_said(heddle, model):
    code, text = heddle("pack", "model.safetensors", "w.safetensors")
    assert code == 0 and "taken as [K, C]; --transpose takes PyTorch's [out, in]" in text
    assert container.load("w.safetensors")[0]["fc1.weight"].shape == (5, 16)


def test_a_model_without_a_matrix_makes_no_file(heddle):
    save_file({"bias": np.zeros(3)}, "model.safetensors")
    code, text = heddle("pack", "model.safetensors", "folder/w.safetensors")
    assert code == 1 and "nothing of model.safetensors could be packed" in text
    assert not Path("folder").exists()
    np.save("w.npy", np.ones((2, 2)))
    code, text = heddle("pack", "w.npy", "w.safetensors", "--tensor", "x")
    assert code == 1 and "--tensor is for a .safetensors file" in text


def test_a_npy_matrix_may_be_transposed(heddle):
    weight = linear(5, 16)
    np.save("w.npy", weight)
    assert heddle("pack", "w.npy", "w.safetensors", "--nm", "2:8", "--transpose")[0] == 0
    assert heddle("unpack", "w.safetensors", "back.npy", "--name", "weights")[0] == 0
    assert np.array_equal(np.load("back.npy"), weight.T)


def test_prune_and_check_send_models_to_pack(heddle, model):
    for arguments in (("prune", "model.safetensors", "o.npy"), ("check", "model.safetensors")):
        code, text = heddle(*arguments)
        assert code == 1 and "heddle pack takes a model's safetensors file" in text
        assert "pickle" not in text
    assert not Path("o.npy").exists()


def test_unpack_forced_keeps_the_old_file_if_it_cannot_write(heddle, monkeypatch):
    container.save("w.safetensors", {"weights": packing.pack(np.ones((8, 2)))})
    np.save("old.npy", np.arange(3))
    whole = Path("old.npy").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        code, text = heddle("unpack", "w.safetensors", "old.npy", "--force")
    assert code == 1 and "cannot write old.npy: No space left on device" in text
    assert Path("old.npy").read_bytes() == whole
    assert sorted(os.listdir()) == ["old.npy", "w.safetensors"]


def test_brackets_in_names_are_shown(heddle):
    container.save("[/x].safetensors", {"[/x]": packing.pack(np.ones((8, 2)))}, {"[/b]": [1.0]})
    code, text = heddle("info", "[/x].safetensors")
    assert code == 0 and "[/x].safetensors" in text and "[/x] 8 x 2" in text and "[/b]" in text
    code, text = heddle("unpack", "[/x].safetensors", "[/x].npy")
    assert code == 0 and "wrote [/x].npy" in text
    code, text = heddle("prune", "[/x].npy", "[/y].npy")
    assert code == 0 and "wrote [/y].npy" in text
    code, text = heddle("check", "[/y].npy")
    assert code == 0 and "[/y].npy is 2:8" in text
    code, text = heddle("pack", "[/y].npy", "[/z]")
    assert code == 0 and "wrote [/z]" in text


@pytest.mark.parametrize("command", ["info", "unpack", "run", "pack", "check", "prune"])
@pytest.mark.parametrize("name", ["x.npy", "x.safetensors"])
def test_a_file_that_is_something_else_is_one_line(heddle, command, name):
    more = {"unpack": ["o"], "pack": ["o"], "prune": ["o"]}.get(command, [])
    for content in (b"", b"\x93NUMPY", b"\xff" * 100, b"PK\3\4", os.urandom(200)):
        Path(name).write_bytes(content)
        if command == "run":
            code, text = heddle("run", "--device", "model", "--network", name)
        else:
            code, text = heddle(command, name, *more)
        assert code == 1 and text.startswith("heddle: ") and name in text
        assert not Path("o").exists()
