"""What goes on between batches: housekeeping, limits, deadlines, the watchdog."""
