"""Packed weights in a file: safetensors with a versioned header and a checksum (docs/format.md)."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save as serialise

from ...hw.formats import FORMATS
from ..compiler.packing import PackedWeights
from ..errors import FormatError
from ..lib import files
from .tensors import opened

KIND = "heddle.packed"
VERSION = 1
PARTS = ("counts", "values", "indices")
"""What of a matrix is a tensor."""
SCALE = "scale"
"""One more, of a matrix that has one."""
DESCRIBED = ("group", "pattern", "shape")
"""What of a matrix, beside its format, is in the header."""
ARRAY = "array."
"""Begins the names of plain arrays."""
TYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
"""Of plain arrays."""


def save(
    path: str | Path,
    matrices: dict[str, PackedWeights],
    arrays: dict[str, np.ndarray] | None = None,
    notes: dict | None = None,
) -> None:
    """Write packed matrices, plain arrays that belong to them (biases), and notes (a JSON object;
    NumPy's numbers and arrays become plain ones).

    The file appears whole or not at all. Raises `FormatError` for a name, an array or notes that
    could not be read back, `DataError` if the file cannot be written.
    """
    tensors: dict[str, np.ndarray] = {}
    described = {}
    for name, packed in matrices.items():
        check_name(name)
        described[name] = {"format": packed.format.name}
        described[name] |= {field: getattr(packed, field) for field in DESCRIBED}
        tensors |= {f"{name}.{part}": getattr(packed, part) for part in PARTS}
        if packed.scale is not None:
            tensors[f"{name}.{SCALE}"] = packed.scale
    for name, array in (arrays or {}).items():
        check_name(name, array=True)
        tensors[f"{ARRAY}{name}"] = _plain(name, array)
    header = _header({"matrices": described, "notes": {} if notes is None else notes})
    metadata = {
        "kind": KIND,
        "version": str(VERSION),
        "header": header,
        "checksum": _checksum(header, tensors),
    }
    files.write(path, _serialised(tensors, metadata))


def load(path: str | Path) -> tuple[dict[str, PackedWeights], dict[str, np.ndarray], dict]:
    """What `save` wrote: matrices, arrays, notes.

    Raises `FormatError` for a file that is missing, truncated, damaged, of another kind or of
    another version, and for one whose matrices are no packed weights, whatever its checksum says.
    """
    with opened(path) as file:
        metadata = file.metadata
        if metadata.get("kind") != KIND:
            raise FormatError(f"{path} holds no packed weights (make some with `heddle pack`)")
        if metadata.get("version") != str(VERSION):
            raise FormatError(
                f"{path} is of version {metadata.get('version')!r}, this release reads version "
                f"{VERSION}: pack the weights again"
            )
        tensors = {name: file.read(name) for name in file.names}
    header = metadata.get("header", "")
    if metadata.get("checksum") != _checksum(header, tensors):
        raise FormatError(f"{path} is damaged: its checksum is wrong; copy it again")
    try:
        described = json.loads(header)
        entries, notes = dict(described["matrices"]), dict(described["notes"])
    except (KeyError, TypeError, ValueError, RecursionError) as reason:
        raise FormatError(f"{path}: the header is written wrongly ({reason!r})") from None
    matrices = {name: _matrix(path, name, entry, tensors) for name, entry in entries.items()}
    arrays = {n.removeprefix(ARRAY): t for n, t in tensors.items() if n.startswith(ARRAY)}
    for name in arrays:
        check_name(name, array=True)
    return matrices, arrays, notes


def check_name(name: str, array: bool = False) -> None:
    """Raise `FormatError` unless a matrix, or an array, of a file can be called `name`."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise FormatError(f"a name in a file is made of printable characters, not {name!r}")
    if not array and f"{name}.".startswith(ARRAY):
        raise FormatError(f"a matrix cannot be called {name!r}: so begin the names of arrays")


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """`array` in the order that the file keeps: C, little-endian."""
    array = np.asarray(array)
    if array.dtype.name not in TYPES:
        raise FormatError(f"array {name!r}: a file holds no {array.dtype}, but {', '.join(TYPES)}")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _header(content: dict) -> str:
    def plain(value):
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        raise TypeError(f"{type(value).__name__} is not JSON")

    try:
        if not isinstance(content["notes"], dict):
            raise TypeError(f"a {type(content['notes']).__name__} is no object")
        return json.dumps(content, sort_keys=True, default=plain)
    except (TypeError, ValueError, RecursionError) as reason:
        raise FormatError(f"the notes of a file must be a JSON object ({reason})") from None


def _serialised(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """The file's bytes: the same for the same content (the library's order of metadata is not)."""
    made = serialise(tensors, metadata)
    start = 8 + int.from_bytes(made[:8], "little")
    header = json.loads(made[8:start]) | {"__metadata__": metadata}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + made[start:]


def _matrix(path, name: str, entry: dict, tensors: dict[str, np.ndarray]) -> PackedWeights:
    try:
        check_name(name)
        return PackedWeights(
            FORMATS[entry["format"]],
            *(entry[field] for field in DESCRIBED),
            *(tensors[f"{name}.{part}"] for part in PARTS),
            tensors.get(f"{name}.{SCALE}"),
        )
    except (KeyError, TypeError, FormatError) as reason:
        why = reason if isinstance(reason, FormatError) else repr(reason)
        raise FormatError(f"{path}: matrix {name!r} cannot be used: {why}") from None


def _checksum(header: str, tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over the header and every tensor: name, type, shape, bytes."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
