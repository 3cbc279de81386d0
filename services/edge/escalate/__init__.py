"""The way up to the cloud, and the way back of its replies."""
