"""What all of the host's software shares: files, locks, and results kept by content."""
