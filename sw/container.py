"""Packed weights in a file: safetensors with a versioned header and a checksum (docs/format.md)."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from ..hw.formats import FORMATS
from ..sim.golden.numbers import is_finite, raw_dtype
from .errors import FormatError
from .packing import PackedWeights, check_pattern

KIND = "heddle.packed"
VERSION = 1


def save(
    path: str | Path,
    matrices: dict[str, PackedWeights],
    arrays: dict[str, np.ndarray] | None = None,
    notes: dict | None = None,
) -> None:
    """Write packed matrices, plain arrays that belong to them (biases), and notes (a JSON object).

    The file appears whole or not at all.
    """
    tensors: dict[str, np.ndarray] = {}
    described = {}
    for name, packed in matrices.items():
        described[name] = {
            "format": packed.format.name,
            "group": packed.group,
            "pattern": packed.pattern,
            "shape": packed.shape,
        }
        tensors[f"{name}.counts"] = packed.counts
        tensors[f"{name}.values"] = packed.values
        tensors[f"{name}.indices"] = packed.indices
    for name, array in (arrays or {}).items():
        tensors[f"array.{name}"] = np.ascontiguousarray(array)
    header = json.dumps({"matrices": described, "notes": notes or {}}, sort_keys=True)
    metadata = {
        "kind": KIND,
        "version": str(VERSION),
        "header": header,
        "checksum": _checksum(header, tensors),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(serialise(tensors, metadata))
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | Path) -> tuple[dict[str, PackedWeights], dict[str, np.ndarray], dict]:
    """What `save` wrote: matrices, arrays, notes.

    Raises `FormatError` for a file that is missing, truncated, damaged, of another kind or of
    another version.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != KIND:
                raise FormatError(f"{path} holds no packed weights (make some with `heddle pack`)")
            if metadata.get("version") != str(VERSION):
                raise FormatError(
                    f"{path} is of version {metadata.get('version')}, this release reads version "
                    f"{VERSION}: pack the weights again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise FormatError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise FormatError(f"{path} is a folder, not a file") from None
    except (SafetensorError, OSError, UnicodeDecodeError, TypeError) as reason:
        raise FormatError(
            f"{path} is truncated or no safetensors file ({reason}); copy it again"
        ) from None
    header = metadata.get("header", "")
    if metadata.get("checksum") != _checksum(header, tensors):
        raise FormatError(f"{path} is damaged: its checksum is wrong; copy it again")
    try:
        described = json.loads(header)
        entries, notes = dict(described["matrices"]), dict(described["notes"])
    except (KeyError, TypeError, ValueError) as reason:
        raise FormatError(f"{path}: the header is written wrongly ({reason!r})") from None
    matrices = {name: _checked(path, name, entry, tensors) for name, entry in entries.items()}
    arrays = {n.removeprefix("array."): t for n, t in tensors.items() if n.startswith("array.")}
    return matrices, arrays, notes


def _checked(path, name: str, entry: dict, tensors: dict[str, np.ndarray]) -> PackedWeights:
    """A matrix whose parts agree, so that nothing downstream has to doubt it."""
    try:
        format = FORMATS[entry["format"]]
        group, (rows, columns) = entry["group"], entry["shape"]
        if not all(type(size) is int and size > 0 for size in (group, rows, columns)):
            raise ValueError("sizes are whole numbers from 1")
        if (pattern := entry["pattern"]) is not None:
            n, m = pattern
            check_pattern(n, m, group)
            pattern = n, m
        counts, values, indices = (tensors[f"{name}.{p}"] for p in ("counts", "values", "indices"))
    except (KeyError, TypeError, ValueError, FormatError) as reason:
        raise FormatError(f"{path}: matrix {name!r} is described wrongly ({reason})") from None
    if (
        not counts.dtype == indices.dtype == np.uint8
        or counts.shape != (-(-rows // group), columns)
        or counts.max(initial=0) > group
        or not values.shape == indices.shape == (counts.sum(dtype=np.int64),)
        or values.dtype != raw_dtype(format)
        or indices.max(initial=0) >= group
        or not is_finite(format, values).all()
    ):
        raise FormatError(f"{path}: the parts of matrix {name!r} do not fit together")
    return PackedWeights(format, group, pattern, (rows, columns), counts, values, indices)


def _checksum(header: str, tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over the header and every tensor: name, type, shape, bytes."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
