"""What is in a waveform file: as much of the two formats as it takes to see that a trace is one.

Sources: IEEE 1364-2005, clause 18 (VCD); GTKWave's documentation of its FST format; the LZ4 block
format.
"""

import struct
import zlib
from itertools import groupby
from pathlib import Path

HEADER, HIERARCHY, HIERARCHY_LZ4, HIERARCHY_LZ4_TWICE = 0, 4, 6, 7
CHANGES = (1, 5, 8)
SCOPE, UP, ATTRIBUTE, END_OF_ATTRIBUTE = 254, 255, 252, 253
"""Tags of an FST hierarchy; the others are kinds of variables."""


def vcd(path: Path) -> tuple[dict[str, str], list[tuple[int, str, int]]]:
    """The identifier of each signal of the outermost modules, and every change: time, identifier,
    value (unknown bits are zeros)."""
    signals: dict[str, str] = {}
    changes = []
    time = 0
    head, _, body = path.read_text().partition("$enddefinitions $end")
    for line in head.splitlines():
        words = line.split()
        if words[:1] == ["$var"]:
            signals.setdefault(words[4], words[3])
    for line in body.split("\n"):
        if line[:1] == "#":
            time = int(line[1:])
        elif line[:1] == "b":
            bits, identifier = line[1:].split()
            changes.append((time, identifier, int(bits.translate({120: "0", 122: "0"}), 2)))
        elif line[:1] in ("0", "1"):
            changes.append((time, line[1:], int(line[0])))
    return signals, changes


def beats(path: Path, prefix: str) -> list[tuple[int, int]]:
    """Data and last of each beat that crossed an AXI4-Stream port, read off a VCD."""
    signals, changes = vcd(path)
    names = ("tvalid", "tready", "tdata", "tlast")
    wanted = {signals[f"{prefix}_{name}"]: name for name in names}
    now, crossed = dict.fromkeys(names, 0), []
    for _, together in groupby(changes, key=lambda change: change[0]):
        new = {identifier: value for _, identifier, value in together}
        # What is taken is what was there before the edge.
        if new.get(signals["clk"]) and now["tvalid"] and now["tready"]:
            crossed.append((now["tdata"], now["tlast"]))
        now |= {
            wanted[identifier]: value for identifier, value in new.items() if identifier in wanted
        }
    return crossed


def fst(path: Path) -> tuple[int, list[str], list[int]]:
    """The last time, the names of the signals and the times of changes."""
    data, at = path.read_bytes(), 0
    end, names, times = -1, [], []
    while at < len(data):
        kind, length = data[at], int.from_bytes(data[at + 1 : at + 9], "big")
        block = data[at + 9 : at + 1 + length]
        if kind == HEADER:
            end = int.from_bytes(block[8:16], "big")
        elif kind in (HIERARCHY, HIERARCHY_LZ4):
            names = _names(zlib.decompress(block[8:], 31) if kind == HIERARCHY else _lz4(block[8:]))
        elif kind == HIERARCHY_LZ4_TWICE:
            _, once = _varint(block, 8)
            names = _names(_lz4(_lz4(block[once:])))
        elif kind in CHANGES:
            times += _times(block)
        at += 1 + length
    return end, names, times


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def _times(block: bytes) -> list[int]:
    """Those of a block of changes: differences, at its end."""
    size, packed, count = struct.unpack(">QQQ", block[-24:])
    data = block[-24 - packed : -24]
    if packed != size:
        data = zlib.decompress(data)
    times, at, time = [], 0, 0
    for _ in range(count):
        step, at = _varint(data, at)
        time += step
        times.append(time)
    return times


def _names(data: bytes) -> list[str]:
    """Variables of a hierarchy, in order."""
    names, at = [], 0

    def text() -> str:
        nonlocal at
        begin, at = at, data.index(0, at) + 1
        return data[begin : at - 1].decode()

    while at < len(data):
        tag, at = data[at], at + 1
        if tag == SCOPE:
            at += 1
            text(), text()
        elif tag == ATTRIBUTE:
            at += 2
            text()
            _, at = _varint(data, at)
        elif tag not in (UP, END_OF_ATTRIBUTE):
            at += 1  # direction
            names.append(text().split()[0])
            _, at = _varint(data, at)  # bits
            _, at = _varint(data, at)  # another variable that it is, or 0
    return names


def _lz4(data: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(data):
        token, at = data[at], at + 1
        literals = token >> 4
        if literals == 15:
            while data[at] == 255:
                literals, at = literals + 255, at + 1
            literals, at = literals + data[at], at + 1
        out += data[at : at + literals]
        at += literals
        if at >= len(data):
            break
        distance, at = int.from_bytes(data[at : at + 2], "little"), at + 2
        length = token & 15
        if length == 15:
            while data[at] == 255:
                length, at = length + 255, at + 1
            length, at = length + data[at], at + 1
        for _ in range(length + 4):
            out.append(out[-distance])
    return bytes(out)
