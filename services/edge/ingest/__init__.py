"""From MQTT messages to whole samples."""
