"""The systolic array: processing elements, their arithmetic, and how finished sums leave."""
