"""The MQTT connection of a process. The only package that imports paho.

labels = Filter("dewpoint/+/label/#")
with MqttLink(settings.mqtt, client_id="demo", filters=[labels], listener=OnMessage(show)) as link:
    link.publish("dewpoint/home/in/camera-1", payload, timeout_s=5)
    link.flush(timeout_s=5)
"""

from services.mqtt.link import MqttLink
from services.mqtt.listener import Listener, OnMessage
from services.mqtt.messages import Delivery, Filter, Message, MqttError, Outcome

__all__ = ["Delivery", "Filter", "Listener", "Message", "MqttError", "MqttLink", "OnMessage", "Outcome"]
