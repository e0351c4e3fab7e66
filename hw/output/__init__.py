"""The way out of the array: lane groups and the epilogue."""
