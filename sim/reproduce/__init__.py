"""Trainings whose accuracy is kept in docs/accuracy.json (`make reproduce`)."""
