// Self-checking testbench of @TOP@ (@CONFIG@): sends the commands of a file with random gaps, takes
// the responses with random gaps, and compares every beat with the golden model's. Prints PASS, or
// FAIL with the reason and ends with an error. +seed=N draws other gaps.
//
//   $ iverilog -g2012 -o bench @STEM@.v @STEM@_tb.v && vvp bench
//   $ verilator --binary --timing -Wall --top-module @TOP@_tb @STEM@.vlt @STEM@.v @STEM@_tb.v
//   $ obj_dir/V@TOP@_tb

module @TOP@_tb;
  localparam WIDTH = @WIDTH@;
  localparam COMMANDS = @COMMANDS@;
  localparam RESPONSES = @RESPONSES@;
  localparam SILENCE = @SILENCE@;  // cycles without a beat after which the device is taken to hang
  localparam AFTER = 200;          // cycles in which nothing more may come

  reg clk = 0;
  reg rst = 1;
  always #5 clk = ~clk;

  // A beat is its data, with `last` above.
  reg [WIDTH:0] commands [0:COMMANDS - 1];
  reg [WIDTH:0] responses [0:RESPONSES - 1];
  reg [WIDTH:0] command = 0;
  reg offered = 0;
  reg ready = 0;
  integer sent = 0;
  integer received = 0;
  integer silent = 0;
  reg [31:0] noise = 1;

  wire taken;
  wire [WIDTH:0] response;
  wire answered;

  /* verilator lint_off PINCONNECTEMPTY */  // the registers are left alone
  @TOP@ dut (
    .clk(clk),
    .rst(rst),
    .s_axis_tvalid(offered),
    .s_axis_tready(taken),
    .s_axis_tdata(command[WIDTH - 1:0]),
    .s_axis_tlast(command[WIDTH]),
    .m_axis_tvalid(answered),
    .m_axis_tready(ready),
    .m_axis_tdata(response[WIDTH - 1:0]),
    .m_axis_tlast(response[WIDTH]),
    .s_axil_awaddr(@ADDRESS@'d0),
    .s_axil_awvalid(1'b0),
    .s_axil_awready(),
    .s_axil_wdata(32'd0),
    .s_axil_wstrb(4'd0),
    .s_axil_wvalid(1'b0),
    .s_axil_wready(),
    .s_axil_bresp(),
    .s_axil_bvalid(),
    .s_axil_bready(1'b0),
    .s_axil_araddr(@ADDRESS@'d0),
    .s_axil_arvalid(1'b0),
    .s_axil_arready(),
    .s_axil_rdata(),
    .s_axil_rresp(),
    .s_axil_rvalid(),
    .s_axil_rready(1'b0)
  );
  /* verilator lint_on PINCONNECTEMPTY */

  // Random numbers: xorshift, Marsaglia 2003. The same in every simulator.
  function [31:0] after(input [31:0] state);
    reg [31:0] a, b;
    begin
      a = state ^ (state << 13);
      b = a ^ (a >> 17);
      after = b ^ (b << 5);
    end
  endfunction

  initial begin
    $readmemh("@STEM@_commands.hex", commands);
    $readmemh("@STEM@_responses.hex", responses);
    if (!$value$plusargs("seed=%d", noise)) noise = 32'd1;
    noise = after(noise ^ 32'h9E3779B9) | 1;
    repeat (4) @(negedge clk);
    rst = 0;
  end

  // Everything changes at the falling edge, so that nothing races with the device.
  reg beat_out, beat_in;
  reg [WIDTH:0] beat;
  always @(posedge clk) begin
    beat_out <= offered && taken;
    beat_in <= ready && answered;
    beat <= response;
  end

  /* verilator lint_off BLKSEQ */  // a program, whose steps follow one another
  always @(negedge clk)
    if (!rst) begin
      noise = after(noise);
      silent = silent + 1;
      if (beat_out) begin
        sent = sent + 1;
        offered = 0;
        silent = 0;
      end
      if (beat_in) begin
        if (received >= RESPONSES) begin
          $display("FAIL: a beat %h after the last one that was expected", beat);
          $fatal(1);
        end
        if (beat !== responses[received]) begin
          $display("FAIL: beat %0d of the responses is %h, not %h", received, beat,
                   responses[received]);
          $fatal(1);
        end
        received = received + 1;
        silent = 0;
      end
      // What is offered stays until it is taken.
      if (!offered && sent < COMMANDS && noise[1:0] != 0) begin
        offered = 1;
        command = commands[sent];
      end
      ready = noise[9:8] != 0;
      if (sent == COMMANDS && received == RESPONSES) begin
        if (silent > AFTER) begin
          $display("PASS: %0d beats in, %0d beats out, all as expected", sent, received);
          $finish;
        end
      end else if (silent > SILENCE) begin
        $display("FAIL: nothing for %0d cycles; %0d of %0d beats in, %0d of %0d out", SILENCE,
                 sent, COMMANDS, received, RESPONSES);
        $fatal(1);
      end
    end
  /* verilator lint_on BLKSEQ */
endmodule
