"""Cameras and videos: read by a thread of their own, of which the newest frame is sent."""
