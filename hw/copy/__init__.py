"""The copy engine: rows of bytes between external memory and tensor memory."""
