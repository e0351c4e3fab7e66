// A lane of the vector unit, an operation a cycle: results and flags of all of them.

#include <cstdint>

#include "Vtop.h"
#include "verilated.h"

extern "C" void lane_run(
    uint8_t op, uint32_t const *a, uint32_t const *b, uint8_t const *mask, uint32_t *data,
    uint8_t *flags, uint64_t count, uint64_t latency) {
    VerilatedContext context;
    Vtop top(&context);
    top.clk = 0;
    top.rst = 0;
    top.op = op;
    for (uint64_t cycle = 0; cycle < count + latency; ++cycle) {
        uint64_t const next = cycle < count ? cycle : count - 1;
        top.a = a[next];
        top.b = b[next];
        top.mask = mask[next];
        top.eval();
        if (cycle >= latency) {
            data[cycle - latency] = top.data;
            flags[cycle - latency] = top.overflow | top.saturated << 1;
        }
        top.clk = 1;
        top.eval();
        top.clk = 0;
    }
}
