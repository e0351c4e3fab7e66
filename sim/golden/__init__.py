"""The golden model: what every result must be, in plain integer arithmetic.

It imports no gateware; it reads only the pure descriptions of formats and commands.
"""
