"""Layouts and signatures that more than one module of the gateware speaks."""
