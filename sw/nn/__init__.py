"""Networks: data, training, quantisation, and the files that weights are kept in."""
