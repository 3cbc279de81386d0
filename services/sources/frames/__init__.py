"""What is done to a picture before it is sent: a part of it, a size, an encoding."""
