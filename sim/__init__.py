"""The golden model, the cocotb testbenches and the simulator build."""
