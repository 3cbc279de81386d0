"""By which thresholds a sample is decided, and what moves them."""
