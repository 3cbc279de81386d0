"""What writes the generated half of the documentation."""
