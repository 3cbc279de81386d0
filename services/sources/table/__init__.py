"""Tables of readings, from a file or as they come in on standard input."""
