"""Labels: made, published, finalised."""
