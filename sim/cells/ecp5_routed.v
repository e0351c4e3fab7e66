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

// Block RAM, 2048 x 9 bits, with one port that writes (A) and one that reads (B), neither with
// output registers. At 36 bits, both ports' data pins belong to one word. What is read while it
// is written is undefined (TN-02204): here, every bit of it is inverted.
module DP16KD #(
  parameter DATA_WIDTH_A = 18, parameter DATA_WIDTH_B = 18,
  parameter [18431:0] CONTENT = 0
) (
  input CLKA, CEA, WEA, CSA0, CSA1, CSA2, CLKB, CEB, WEB, CSB0, CSB1, CSB2,
  input [13:0] ADA, ADB,
  input [17:0] DIA, DIB,
  output [17:0] DOA, DOB
);
  reg [8:0] bytes [0:2047];
  reg [35:0] stored;
  reg collided;
  integer i;
  initial begin
    stored = 0;
    collided = 0;
    for (i = 0; i < 2048; i = i + 1) bytes[i] = CONTENT[9 * i +: 9];
  end
  wire writes_some = DATA_WIDTH_A == 36 ? |ADA[3:0] : DATA_WIDTH_A == 18 ? |ADA[1:0] : 1'b1;
  wire writes = CEA && WEA && !CSA0 && !CSA1 && !CSA2 && writes_some;
  wire reads = CEB && !CSB0 && !CSB1 && !CSB2;
  wire [10:0] at = ADA[13:3];
  always @(posedge CLKA) if (writes) case (DATA_WIDTH_A)
    36: begin
      if (ADA[0]) bytes[{ADA[13:5], 2'd0}] <= DIA[8:0];
      if (ADA[1]) bytes[{ADA[13:5], 2'd1}] <= DIA[17:9];
      if (ADA[2]) bytes[{ADA[13:5], 2'd2}] <= DIB[8:0];
      if (ADA[3]) bytes[{ADA[13:5], 2'd3}] <= DIB[17:9];
    end
    18: begin
      if (ADA[0]) bytes[{ADA[13:4], 1'd0}] <= DIA[8:0];
      if (ADA[1]) bytes[{ADA[13:4], 1'd1}] <= DIA[17:9];
    end
    9: bytes[at] <= DIA[8:0];
    4: bytes[at][4 * ADA[2] +: 4] <= DIA[3:0];
    2: bytes[at][2 * ADA[2:1] +: 2] <= DIA[1:0];
    1: bytes[at][ADA[2:0]] <= DIA[0];
    default: ;
  endcase
  wire [8:0] byte_b = bytes[ADB[13:3]];
  always @(posedge CLKB) if (reads) case (DATA_WIDTH_B)
    36: stored <= {bytes[{ADB[13:5], 2'd3}], bytes[{ADB[13:5], 2'd2}],
                   bytes[{ADB[13:5], 2'd1}], bytes[{ADB[13:5], 2'd0}]};
    18: stored <= {18'd0, bytes[{ADB[13:4], 1'd1}], bytes[{ADB[13:4], 1'd0}]};
    9: stored <= {27'd0, byte_b};
    4: stored <= {32'd0, byte_b[4 * ADB[2] +: 4]};
    2: stored <= {34'd0, byte_b[2 * ADB[2:1] +: 2]};
    1: stored <= {35'd0, byte_b[ADB[2:0]]};
    default: ;
  endcase
  // The words overlap if the addresses are equal but for the places within the wider one.
  localparam WIDER = DATA_WIDTH_A > DATA_WIDTH_B ? DATA_WIDTH_A : DATA_WIDTH_B;
  localparam PLACES = $clog2(WIDER + 1) - 1;
  always @(posedge CLKB) if (reads) collided <= writes && (ADA ^ ADB) >> PLACES == 0;
  wire [35:0] word = stored ^ {36{collided}};
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

// Locked from the start; the output is taken for the input, whatever the dividers say.
module EHXPLLL (input CLKI, output CLKOP, LOCK);
  assign CLKOP = CLKI;
  assign LOCK = 1;
endmodule
