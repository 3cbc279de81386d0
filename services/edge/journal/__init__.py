"""What the edge has decided, on disk before anyone hears of it."""
