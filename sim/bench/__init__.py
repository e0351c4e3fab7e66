"""Measurements: each module gives rows of one kind."""
