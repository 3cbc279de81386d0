"""What is measured, and against whom. One command each; numbers as JSON."""
