// A simulated board: the serial accelerator compiled by Verilator, its pins driven bit by bit.
//
// `board_run` moves bytes between buffers and the two pins of the serial line.

#include <cstdint>
#include <memory>

#include "Vtop.h"
#include "verilated.h"

extern "C" {

struct Board {
    VerilatedContext context;
    std::unique_ptr<Vtop> top;
    int divisor;
    uint64_t cycles = 0;
    // The bits still to drive (start bit lowest) and the cycles until the next.
    uint32_t drive = 0, drive_bits = 0, drive_timer = 0;
    uint32_t sample = 0, sample_bits = 0, sample_timer = 0;

    explicit Board(int divisor) : divisor(divisor) {
        top = std::make_unique<Vtop>(&context, "board");
        top->rx = 1;
        top->rst = 1;
        cycle();
        cycle();
        top->rst = 0;
    }

    void cycle() {
        top->clk = 0;
        top->eval();
        top->clk = 1;
        top->eval();
        ++cycles;
    }
};

Board* board_create(int divisor) { return new Board(divisor); }

void board_destroy(Board* board) {
    board->top->final();
    delete board;
}

uint64_t board_cycles(const Board* board) { return board->cycles; }

int board_leds(const Board* board) { return board->top->busy | board->top->error << 1; }

// Run `cycles`, or until `room` bytes have come; input that is left stays with the caller.
// Returns the bytes received; `*taken` of the `count` bytes of `input` have been sent.
uint64_t board_run(Board* board, const uint8_t* input, uint64_t count, uint64_t* taken,
                   uint8_t* output, uint64_t room, uint64_t cycles) {
    uint64_t received = 0, sent = 0;
    Vtop& top = *board->top;
    for (; cycles && received < room; --cycles) {
        if (board->drive_timer) {
            --board->drive_timer;
        } else if (board->drive_bits) {
            top.rx = board->drive & 1;
            board->drive >>= 1;
            --board->drive_bits;
            board->drive_timer = board->divisor - 1;
        } else if (sent < count) {
            board->drive = (0x100u | input[sent++]);  // the stop bit above the data
            board->drive_bits = 9;
            top.rx = 0;
            board->drive_timer = board->divisor - 1;
        }
        board->cycle();
        if (board->sample_bits) {
            if (board->sample_timer) {
                --board->sample_timer;
            } else {
                board->sample = board->sample >> 1 | uint32_t(top.tx) << 8;
                board->sample_timer = board->divisor - 1;
                if (!--board->sample_bits && board->sample >> 8) {
                    output[received++] = board->sample & 0xFF;
                }
            }
        } else if (!top.tx) {
            board->sample_bits = 9;
            board->sample_timer = board->divisor + board->divisor / 2 - 1;
        }
    }
    *taken = sent;
    return received;
}

}  // extern "C"
