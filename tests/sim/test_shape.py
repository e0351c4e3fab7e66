"""What Verilog becomes for Verilator, and the arithmetic of wide numbers there."""

import ctypes
import random

import pytest

from heddle.sim.engines import shape, verilator

MODULE = r"""module held(clk, rst, load, i, o, p);
  reg [7:0] \$1 ;
  reg [7:0] \$2 ;
  reg [7:0] \$3 ;
  wire [7:0] \$4 ;
  reg [7:0] o = 8'h00;
  reg [7:0] p = 8'h00;
  reg [7:0] \q$5  = 8'h00;
  always @(posedge clk)
    o <= \$1 ;
  always @(posedge clk)
    p <= \$2 ;
  always @(posedge clk)
    \q$5  <= \$3 ;
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$1  = o;
    if (load) begin
      \$1  = i;
    end
    if (rst) begin
      \$1  = 8'h00;
    end
  end
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$2  = i;
  end
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$3  = 8'h01;
    casez (i)
      8'h02:
          \$3 [3:0] = o[3:0];
    endcase
  end
  assign \$4  = \$2 ;
endmodule
"""

LOADED = r"""
  always @(posedge clk ) begin
    if (load) begin
      o  <= i;
    end
    if (rst) begin
      o  <= 8'h00;
    end
  end
"""
CASES = r"""
  always @(posedge clk ) begin
    \q$5  <= 8'h01;
    casez (i)
      8'h02:
          \q$5 [3:0] <= o[3:0];
    endcase
  end
"""


def test_a_register_becomes_one_process():
    text = shape.merged(MODULE)
    assert LOADED in text
    assert CASES in text
    assert "\\$1" not in text and "\\$3" not in text


def test_a_next_value_that_others_read_stays():
    text = shape.merged(MODULE)
    for kept in (
        "  reg [7:0] \\$2 ;\n",
        "    p <= \\$2 ;\n",
        "    \\$2  = i;\n",
        "  assign \\$4  = \\$2 ;\n",
    ):
        assert kept in text


def test_two_processes_for_one_next_value_stay():
    twice = MODULE.replace("\\$3 [3:0] = o[3:0];", "\\$1 [3:0] = o[3:0];")
    assert shape.merged(twice).count("<= \\$") == 3


def contents(values) -> str:
    cells = "".join(f"    \\m$1 [{at}] = 8'h{value:02x};\n" for at, value in values)
    return f"  initial begin\n{cells}  end\n"


def test_words_alike_are_set_in_a_loop():
    loop = "    for (int at = {}; at <= {}; at = at + 1) \\m$1 [at] = 8'h{:02x};\n"
    values = [(0, 7), *((at, 0) for at in range(1, 201)), *((at, 9) for at in range(201, 301))]
    assert shape.filled(contents(values)) == (
        f"  initial begin\n    \\m$1 [0] = 8'h07;\n{loop.format(1, 200, 0)}"
        f"{loop.format(201, 300, 9)}  end\n"
    )


@pytest.mark.parametrize(
    "values", [[(at, at) for at in range(200)], [(2 * at, 0) for at in range(200)]]
)
def test_other_contents_stay(values):
    assert shape.filled(contents(values)) == contents(values)


HARNESS = """
#include "Vtop.h"
extern "C" void evaluate(const uint32_t* a, const uint32_t* b, uint32_t by, uint32_t* o) {
    static VerilatedContext context;
    static Vtop top{&context};
    std::memcpy(&top.a, a, sizeof top.a);
    std::memcpy(&top.b, b, sizeof top.b);
    top.by = by;
    top.eval();
    std::memcpy(o, &top.o, sizeof top.o);
}
"""
WIDTHS = (65, 81, 96, 97, 128, 129, 144, 160, 193)
PLACE = 256
"""Bits that each result has in the output."""


@pytest.mark.skipif(not verilator.available(), reason="needs a C++ compiler")
def test_wide_numbers(tmp_path):
    """Sums, shifts and sign extensions of several words, beside Python's integers."""
    assigns = [
        f"{PLACE}'b0 | {expression}"
        for bits in WIDTHS
        for expression in (f"sum_{bits}", f"left_{bits}", f"right_{bits}", f"wide_{bits}")
    ] + [f"{PLACE}'b0 | wide_30"]
    lines = [
        f"wire [{bits - 1}:0] sum_{bits} = a[{bits - 1}:0] + b[{bits - 1}:0];\n"
        f"wire [{bits - 1}:0] left_{bits} = a[{bits - 1}:0] << by;\n"
        f"wire [{bits - 1}:0] right_{bits} = a[{bits - 1}:0] >> by;\n"
        f"wire signed [{PLACE - 1}:0] wide_{bits} = $signed(a[{bits - 1}:0]);"
        for bits in WIDTHS
    ] + [f"wire signed [{PLACE - 1}:0] wide_30 = $signed(a[29:0]);"]
    verilog = (
        f"module wide(input [{PLACE - 1}:0] a, b, input [8:0] by, "
        f"output [{PLACE * len(assigns) - 1}:0] o);\n"
        + "\n".join(lines)
        + f"\nassign o = {{{', '.join(reversed(assigns))}}};\nendmodule\n"
    )
    source = tmp_path / "wide.cpp"
    source.write_text(HARNESS)
    built = verilator.build(verilator.Build(verilog, "wide", (source,), "wide.so"))
    evaluate = verilator.library(built).evaluate

    def words(value: int):
        return (ctypes.c_char * (PLACE // 8)).from_buffer_copy(value.to_bytes(PLACE // 8, "little"))

    def extended(value: int, bits: int) -> int:
        value %= 1 << bits
        return (value - (value >> (bits - 1) << bits)) % (1 << PLACE)

    rng = random.Random(1)
    output = (ctypes.c_char * (PLACE // 8 * len(assigns)))()
    some = [rng.getrandbits(PLACE) for _ in range(40)] + [0, (1 << PLACE) - 1]
    for by in [*range(200), 255, 256, 257, 511]:
        a, b = rng.choice(some), rng.choice(some)
        evaluate(words(a), words(b), ctypes.c_uint32(by), output)
        expected = []
        for bits in WIDTHS:
            low = a % (1 << bits)
            expected += [(a + b) % (1 << bits), (low << by) % (1 << bits), low >> by]
            expected += [extended(a, bits)]
        expected += [extended(a, 30)]
        found = [
            int.from_bytes(output.raw[at : at + PLACE // 8], "little")
            for at in range(0, len(output), PLACE // 8)
        ]
        assert found == expected, by
