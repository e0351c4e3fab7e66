"""Commands and responses as bytes, written out here from docs/commands.md."""

from binascii import crc_hqx

import pytest

from heddle.hw.isa import commands
from heddle.hw.isa.codes import Refused, Status
from heddle.hw.isa.commands import ColumnSettings, Load, Read, Response, Run, Side, Sync, Write
from heddle.hw.isa.descriptors import Copy, Fill, Image, Rows
from heddle.hw.isa.engines import Engine, after
from heddle.hw.isa.header import crc16

RUN = {
    "finish": 1,
    "relu": 0,
    "output": 2,
    "settings_page": 0x23,
    "activation_base": 0x0201,
    "activation_stride": 0x0403,
    "row_blocks": 0x0605,
    "slot_base": 0x0807,
    "schedule_base": 0x0A09,
    "schedule_count": 0x0C0B,
}
STORE = {
    "store": 1,
    "pad": 1,
    "destination": 0x0E0D,
    "words": 0x100F,
    "pitch": 0x1211,
    "groups": 0x1413,
    "offset": 0x1615,
}
ROWS = {
    "source": (16, 0xFEDC),
    "words": (32, 0xA987),
    "address": (48, 0x6543),
    "groups": (64, 0x210F),
    "rows": (80, 0x81),
    "column": (88, 0xABC),
    "line": (100, 0xDEF),
    "x": (112, -3),
    "y": (125, -4000),
    "start_words": (138, 0xFF01),
    "start_lanes": (154, 9),
    "tap_x": (158, 5),
    "tap_y": (162, 10),
    "group": (166, 0x3A5A),
    "offset_words": (180, 0x8765),
    "offset_lanes": (196, 12),
}
IMAGE = {
    "width": (16, 0xABC),
    "height": (28, 0xDEF),
    "out_width": (40, 0x123),
    "out_height": (52, 0x456),
    "first_x": (64, -200),
    "first_y": (73, -1),
    "stride_x": (82, 5),
    "stride_y": (85, 2),
    "kernel_width": (88, 9),
    "kernel_height": (92, 6),
    "dilation_x": (96, 13),
    "dilation_y": (100, 3),
    "groups": (104, 0x2BCD),
    "pitch": (118, 0x8001),
    "column_words": (134, 0xFFFE),
    "column_lanes": (150, 7),
    "line_words": (154, 0x1234),
    "line_lanes": (170, 11),
    "image_words": (174, 0x8765),
    "image_lanes": (190, 4),
    "tap_words": (194, 0x0F0F),
    "tap_lanes": (210, 1),
    "tap_line_words": (214, 0xC3C3),
    "tap_line_lanes": (230, 14),
    "abreast": (234, 5),
}
"""First bit and value of each field: what does not fit into two's complement is negative."""


def placed(start: int, fields: dict[str, tuple[int, int]], more: int = 0) -> str:
    """The thirty bytes of a header that ends with no field: sums of values at their places, where a
    negative one borrows from the next field, which has it added again."""
    word = start | more
    places = sorted(at for at, _ in fields.values())
    for at, value in fields.values():
        after = places[places.index(at) + 1] if at != places[-1] else 0
        word += (value << at) + (1 << after if value < 0 else 0)
    return word.to_bytes(30, "little").hex()


CASES = {
    "load": (Load(3, 0x0201, 0x8003), "015a 0300 0102 0380"),
    "settings": (
        ColumnSettings(0xFFFF, 5, 0xFEDC, -3, -(1 << 95) + 1),
        "025a ffff 0500 dcfe fdff 0100 0000 0000 0000 0000 0080",
    ),
    # Finish is bit 0, ReLU bit 1, the format bits 2 and 3, store bit 4, pad bit 5, the page of
    # settings bits 6 to 12; addend is bit 13, RAW addend bit 14, mask bit 15.
    "run": (Run(**RUN), "035a c908 0102 0304 0506 0708 090a 0b0c"),
    "relu": (Run(**RUN | {"finish": 0, "relu": 1}), "035a ca08 0102 0304 0506 0708 090a 0b0c"),
    "store": (
        Run(**RUN | STORE),
        "035a f908 0102 0304 0506 0708 090a 0b0c 0d0e 0f10 1112 1314 1516",
    ),
    "addend": (
        Run(**RUN | STORE | {"addend": 1, "mask": 1}),
        "035a f9a8 0102 0304 0506 0708 090a 0b0c 0d0e 0f10 1112 1314 1516",
    ),
    "raw addend": (
        Run(**RUN | {"output": 3, "raw_addend": 1}),
        "035a cd48 0102 0304 0506 0708 090a 0b0c",
    ),
    "side": (
        Side(
            addend_offset=0x0201,
            addend_words=0x0403,
            addend_pitch=0x0605,
            addend_groups=0x0807,
            addend_plane=0x0A09,
            mask_offset=0x0C0B,
            output_plane=0x0E0D,
        ),
        "0a5a 0102 0304 0506 0708 090a 0b0c 0d0e",
    ),
    "sync": (Sync(), "045a"),
    "write": (Write(0x04030201, 0x08070605), "055a 0102 0304 0506 0708"),
    # What it waits for lies in bytes 26 to 29: five bits for each engine, one more than its number.
    "fill": (
        Fill(
            *(3, 0x0201, 0x0403, 0x08070605, 0x0C0B0A09),
            waits=after({Engine.FILL: 0, Engine.ARRAY: 30}),
        ),
        "075a 0300 0102 0304 0506 0708 090a 0b0c" + 10 * "00" + "017c 0000",
    ),
    "fill with indices": (
        Fill(3, 1, 2, 3, 4, indices=0x04030201, index_words=0x08070605),
        "075a 0300 0100 0200 0300 0000 0400 0000 0102 0304 0506 0708",
    ),
    "rows": (
        Rows(**{name: value for name, (_, value) in ROWS.items()}, waits=after({Engine.ROWS: 2})),
        placed(0x5A08, ROWS, 3 << 208 + 5),
    ),
    "image": (
        Image(**{name: value for name, (_, value) in IMAGE.items()}),
        placed(0x5A09, IMAGE),
    ),
    "read": (Read(0x04030201, 0x08070605), "065a 0102 0304 0506 0708"),
    "write outside": (Write(0x04030201, 0x08070605, 1), "055a 0102 0304 0506 0708 01"),
    "read outside": (Read(0x04030201, 0x08070605, 1), "065a 0102 0304 0506 0708 01"),
    # Outward is bit 0, whole bit 1, the line from bit 2 on.
    "copy": (
        Copy(
            outward=1,
            whole=0,
            line=0x1234,
            external=0x0504030201,
            row_bytes=0x080706,
            stride=0x0C0B0A09,
            line_stride=0x100F0E0D,
            rows=0x1211,
            tensor=0x1413,
            pitch=0x1615,
            waits=after({Engine.COPY: 1}),
        ),
        "0c5a d148 0102 0304 0506 0708 090a 0b0c 0d0e 0f10 1112 1314 1516 0000 0004",
    ),
    "whole": (
        Copy(whole=1, external=0, row_bytes=1, tensor=0),
        "0c5a 0200 0000 0000 0001 0000" + 8 * "00" + "0100",
    ),
}


def whole(text: str) -> bytes:
    body = bytes.fromhex(text.replace(" ", "")).ljust(30, b"\0")
    return body + crc_hqx(body, 0xFFFF).to_bytes(2, "little")


@pytest.mark.parametrize("command, text", CASES.values(), ids=CASES)
def test_a_command_is_these_bytes(command, text):
    assert command.encode(0x5A) == whole(text)
    assert commands.decode(whole(text)) == command


def test_a_response_is_these_bytes():
    header = whole("037b 0700 7856 3412 0900")
    response = Response(3, 0x7B, Status.BAD_SCHEDULE, 0x12345678, 9)
    assert response.encode() == header and Response.decode(header) == response


def test_the_check_is_ccitt_false():
    # The standard check value of CRC-16/CCITT-FALSE.
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize("bit", [0, 77, 239, 240, 255])
def test_a_flipped_bit_is_refused(bit):
    header = bytearray(whole("045a"))
    header[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused) as refused:
        commands.decode(bytes(header))
    assert refused.value.status is Status.BAD_CHECK


@pytest.mark.parametrize("opcode", [0, 99, 255])
def test_an_opcode_that_there_is_not_is_refused(opcode):
    with pytest.raises(Refused) as refused:
        commands.decode(whole(f"{opcode:02x}5a"))
    assert refused.value.status is Status.BAD_OPCODE


@pytest.mark.parametrize("left", [-1, 31])
def test_a_number_that_waits_have_no_room_for(left):
    with pytest.raises(ValueError, match=f"ROWS: all but {left} is not from 0 to 30"):
        after({Engine.ROWS: left})


def test_a_short_header_is_refused():
    for header in (b"", whole("045a")[:-1]):
        with pytest.raises(Refused, match="BAD_CHECK"):
            commands.decode(header)


@pytest.mark.parametrize(
    "command",
    [
        Load(0, 1 << 16, 1),
        Load(0, -1, 1),
        ColumnSettings(0, 0, 1 << 16, 0, 0),
        ColumnSettings(0, 0, 0, 1 << 15, 0),
        ColumnSettings(0, 0, 0, -(1 << 15) - 1, 0),
        ColumnSettings(0, 0, 0, 0, 1 << 95),
        Run(**RUN | {"output": 4}),
        Run(**RUN | {"settings_page": 1 << 7}),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused(command):
    with pytest.raises(ValueError, match=f"{type(command).__name__}: .* is not of .* bits"):
        command.encode()
