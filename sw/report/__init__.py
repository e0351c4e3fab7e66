"""What a person reads: the demonstration, why it took so long, and generated pages."""
