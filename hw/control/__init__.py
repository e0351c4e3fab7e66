"""From the command stream to the array's timetable, and back to the host with answers."""
