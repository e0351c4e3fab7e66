"""`heddle explain`, as a user meets it."""

import json

import numpy as np

from heddle.hw.formats import FP16
from heddle.sw.compiler import packing
from heddle.sw.host.causes import CAUSES
from heddle.sw.nn import container
from heddle.sw.nn.network import shipped


def test_a_product(heddle):
    code, text = heddle("explain", "--shape", "20x100x20", "--zeros", "0.75", "--device", "model")
    assert code == 0
    for cause in CAUSES:
        assert cause in text
    assert "Try pattern N:M: a group's fullest column keeps" in text


def test_as_json(heddle, capsys):
    code, text = heddle(
        *("explain", "--shape", "6x64x9", "--nm", "2:8", "--device", "model", "--json")
    )
    (product,) = json.loads(text)
    assert code == 0 and product["shape"] == [6, 64, 9] and product["pattern"] == "2:8"
    assert sum(product["causes"].values()) == product["cycles"]
    # 9 outputs on blocks of 8 columns idle more than 6 rows on blocks of 8.
    assert product["largest"] == "columns_idle" and product["setting"] == "columns = 3"


def test_files(heddle, tmp_path):
    packed = packing.pack(np.eye(16), "fp16", 1, 8)
    container.save(tmp_path / "w.safetensors", {"first": packed, "second": packed})
    code, text = heddle("explain", "w.safetensors", "--device", "model", "--batch", "8")
    assert code == 0 and "first: 8x16x16, 1:8" in text and "second: 8x16x16, 1:8" in text
    code, text = heddle("explain", shipped(FP16), "--device", "model", "--batch", "2")
    assert code == 0 and "layer 2: 2x256x10, 8:8" in text


def test_without_counters(heddle):
    code, text = heddle("explain", "--shape", "2x8x2", "--device", "model", "--compact")
    assert code == 0 and "no counters" in text


def test_mistakes(heddle):
    for arguments, words in (
        ((), "name a packed file, or a product with --shape"),
        (("--shape", "4x4"), "a shape is BxKxC, like 128x1536x384"),
        (("--shape", "0x4x4"), "a shape is BxKxC"),
        (("--shape", "4x8x4", "--nm", "2:8", "--zeros", "0.5"), "name one"),
        (("--shape", "4x8x4", "--nm", "3:5"), "a pattern N:M needs"),
        (("missing.safetensors",), "missing.safetensors"),
        (("missing.safetensors", "--nm", "2:8"), "--nm and --zeros go with --shape"),
        (("missing.safetensors", "--zeros", "0.5"), "--nm and --zeros go with --shape"),
    ):
        code, text = heddle("explain", *arguments, "--device", "model")
        assert code == 1 and words in text, text
