"""The MQTT connection of a process. The only package that imports paho.

with MqttLink(settings.mqtt, client_id="demo", filters=[Filter("dewpoint/+/label/#")], on_message=show) as link:
    link.publish("dewpoint/home/in/camera-1", payload, timeout_s=5)
    link.flush(timeout_s=5)
"""

from services.mqtt.link import MqttLink
from services.mqtt.messages import Delivery, Filter, Message, MqttError

__all__ = ["Delivery", "Filter", "Message", "MqttError", "MqttLink"]
