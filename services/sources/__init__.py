"""Sources: real data replayed to MQTT as the devices that would have recorded them."""
