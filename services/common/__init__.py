"""What every process of the pipeline stands on: log lines, errors, back-off, its own version."""
