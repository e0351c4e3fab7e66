// Two circuits, `a` and `b`, on the same random input: how often they differ, and how often `a` is 1.

#include <cstdio>
#include <random>

#include "Vtop.h"
#include "verilated.h"

int main() {
    Vtop top;
    std::mt19937 random(1);
    long differ = 0, ones = 0;
    for (int cycle = 0; cycle < 100000; ++cycle) {
        top.clk = 0;
        top.i = random() & 1;
        top.rst = cycle < 2 || random() % 5000 == 0;
        top.eval();
        top.clk = 1;
        top.eval();
        differ += top.a != top.b;
        ones += top.a;
    }
    std::printf("%ld %ld\n", differ, ones);
}
