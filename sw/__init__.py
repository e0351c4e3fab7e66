"""What runs on the host: driver, N:M compression, training recipes and the `heddle` command."""
