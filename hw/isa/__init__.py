"""What host and device agree on: commands, registers, the frames of the serial link."""
