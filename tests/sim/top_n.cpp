// Lines of elements through `TopN`, one a cycle where it takes them: all that leave.
// Verilator writes two underscores of a port's name as `___05F`.

#include <cstdint>

#include "Vtop.h"
#include "verilated.h"

extern "C" uint64_t top_n_run(
    uint8_t n, uint64_t const *elements, uint64_t count, uint64_t *kept, uint64_t room) {
    VerilatedContext context;
    Vtop top(&context);
    top.clk = 0;
    top.rst = 0;
    top.n = n;
    top.o___05Fready = 1;
    uint64_t sent = 0, received = 0;
    for (int quiet = 0; quiet < 32 && received < room; ++quiet) {
        top.i___05Fvalid = sent < count;
        top.i___05Fpayload = elements[sent < count ? sent : count - 1];
        top.eval();
        if (top.o___05Fvalid) {
            kept[received++] = top.o___05Fpayload;
            quiet = 0;
        }
        bool const taken = top.i___05Fvalid && top.i___05Fready;
        top.clk = 1;
        top.eval();
        top.clk = 0;
        if (taken) {
            ++sent;
            quiet = 0;
        }
    }
    return received;
}
