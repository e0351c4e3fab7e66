// Models of ECP5 cells as nextpnr's netlist has them after place and route.
//
// Sources: Lattice FPGA-TN-02204 (memory), TN-02205 (DSP), the ECP5 family data sheet
// FPGA-DS-02012 (slices). Pins that are tied are resolved before (sim/routed.py).

// Half a slice's pair: a LUT, one bit of a carry chain, or one bit of a 16 x 4 RAM; with the
// multiplexers that join LUTs (F1: PFUMX; FXA, FXB: L6MUX21).
module TRELLIS_COMB #(
  parameter MODE = "LOGIC", parameter CCU2_INJECT1 = "YES", parameter JOINS = "NONE",
  parameter [15:0] INITVAL = 0
) (
  input A, B, C, D, M, F1, FXA, FXB, FCI, WCK, WRE, WD, WAD0, WAD1, WAD2, WAD3,
  output F, OFX, FCO
);
  generate
    if (MODE == "DPRAM") begin
      // The address' bits reach a LUT's inputs in the order D, B, C, A.
      reg [15:0] bits = INITVAL;
      always @(posedge WCK) if (WRE) bits[{WAD0, WAD2, WAD1, WAD3}] <= WD;
      assign F = bits[{D, C, B, A}];
      assign FCO = 0;
    end else if (MODE == "CCU2") begin
      wire propagate = INITVAL[{D, C, B, A}];
      wire generates = CCU2_INJECT1 == "NO" && INITVAL[{2'b00, B, A}];
      assign F = propagate ^ (CCU2_INJECT1 == "NO" && FCI);
      assign FCO = propagate ? FCI : generates;
    end else begin
      assign F = INITVAL[{D, C, B, A}];
      assign FCO = 0;
    end
  endgenerate
  assign OFX = JOINS == "LUTS" ? (M ? F1 : F) : M ? FXB : FXA;
endmodule

// The write side of a 16 x 4 RAM.
module TRELLIS_RAMW (
  input A0, B0, C0, D0, A1, B1, C1, D1,
  output WADO0, WADO1, WADO2, WADO3, WDO0, WDO1, WDO2, WDO3
);
  assign {WADO3, WADO2, WADO1, WADO0} = {A0, C0, B0, D0};
  assign {WDO3, WDO2, WDO1, WDO0} = {B1, D1, A1, C1};
endmodule

module TRELLIS_FF #(
  parameter SD = "0", parameter SRMODE = "LSR_OVER_CE", parameter REGSET = "RESET",
  parameter CLKMUX = "CLK"
) (
  input CLK, CE, LSR, DI, M,
  output reg Q
);
  localparam VALUE = REGSET == "SET";
  wire next = SD == "1" ? DI : M;
  initial Q = VALUE;
  generate
    if (SRMODE == "ASYNC") begin
      always @(posedge CLK or posedge LSR) if (LSR) Q <= VALUE; else if (CE) Q <= next;
    end else begin
      always @(posedge CLK) if (LSR) Q <= VALUE; else if (CE) Q <= next;
    end
  endgenerate
endmodule

// Block RAM, 512 x 36 bits, with one port that writes (A) and one that reads (B), neither with
// output registers. Words of 1, 2 and 4 bits leave every ninth bit out; at 36 bits, both ports' data
// pins belong to one word. A bit that is read while it is written is not promised to be the old or
// the new one: here, it is the old one's inverse.
module DP16KD #(
  parameter DATA_WIDTH_A = 18, parameter DATA_WIDTH_B = 18,
  parameter [18431:0] CONTENT = 0
) (
  input CLKA, CEA, WEA, CSA0, CSA1, CSA2, CLKB, CEB, WEB, CSB0, CSB1, CSB2,
  input [13:0] ADA, ADB,
  input [17:0] DIA, DIB,
  output [17:0] DOA, DOB
);
  // Where a word begins in its line.
  function [5:0] place(input integer width, input [4:0] at);
    case (width)
      36: place = 0;
      18: place = 18 * at[4];
      9: place = 9 * at[4:3];
      4: place = 9 * at[4:3] + 4 * at[2];
      2: place = 9 * at[4:3] + 2 * at[2:1];
      default: place = 9 * at[4:3] + at[2:0];
    endcase
  endfunction

  reg [35:0] lines [0:511];
  reg [35:0] word;
  integer i;
  initial begin
    word = 0;
    for (i = 0; i < 512; i = i + 1) lines[i] = CONTENT[36 * i +: 36];
  end

  wire writes = CEA && WEA && !CSA0 && !CSA1 && !CSA2;
  wire [5:0] to = place(DATA_WIDTH_A, ADA[4:0]);
  // At 18 and 36 bits, the lowest of the address enable bytes.
  wire [35:0] bytes = {{9{ADA[3]}}, {9{ADA[2]}}, {9{ADA[1]}}, {9{ADA[0]}}};
  wire [35:0] all = 36'hF_FFFF_FFFF >> 36 - DATA_WIDTH_A;
  wire [35:0] changes = writes ? (DATA_WIDTH_A < 18 ? all : all & bytes) << to : 0;
  wire [35:0] data = {DIB, DIA} << to;
  wire [8:0] line_a = ADA[13:5];
  always @(posedge CLKA) lines[line_a] <= (lines[line_a] & ~changes) | (data & changes);

  wire reads = CEB && !CSB0 && !CSB1 && !CSB2;
  wire [5:0] from = place(DATA_WIDTH_B, ADB[4:0]);
  wire [35:0] collides = ADB[13:5] == line_a ? changes : 0;
  always @(posedge CLKB) if (reads) word <= (lines[ADB[13:5]] ^ collides) >> from;

  // What port B reads leaves by its own pins, at 36 bits the lower half by port A's.
  assign DOA = word[17:0];
  assign DOB = DATA_WIDTH_B == 36 ? word[35:18] : word[17:0];
endmodule

// The multiplier without registers, cascades and pre-adder.
module MULT18X18D (
  input SIGNEDA, SIGNEDB,
  input [17:0] A, B,
  output [35:0] P
);
  wire signed [18:0] a = {SIGNEDA & A[17], A};
  wire signed [18:0] b = {SIGNEDB & B[17], B};
  wire signed [37:0] product = a * b;
  assign P = product[35:0];
endmodule

module DCCA (input CLKI, CE, output CLKO);
  assign CLKO = CLKI;
endmodule

// Locked from the start; the outputs are taken for the input, whatever the dividers say.
module EHXPLLL (input CLKI, output CLKOP, CLKOS, LOCK);
  assign CLKOP = CLKI;
  assign CLKOS = CLKI;
  assign LOCK = 1;
endmodule
