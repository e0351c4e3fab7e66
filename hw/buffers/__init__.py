"""The banks that hold activations and weights, and read them out skewed into the array."""
