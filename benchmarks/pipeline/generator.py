"""The process that sends samples and times labels: a command a line on standard input, figures a line on its output.

Commands are JSON: `probe` sends one row again and again until its label is there, `measure` runs one cell. In a *closed
loop* so many samples are in flight, and each label is followed by the next sample. In an *open loop* samples leave at a
fixed rate whatever comes back, and a latency counts from when a sample was to be sent, so that a stall shows in all
that it held up.
"""

from __future__ import annotations

import json
import math
import os
import select
import socket
import sys
import time
from typing import Any

import redis

from benchmarks.pipeline import packets
from benchmarks.pipeline.latencies import Latencies
from benchmarks.pipeline.processes import cpu_s, families, rss_bytes
from benchmarks.pipeline.samples import ID_CHARS, Message, samples_of
from services.messages import label_topic

_ID_AT = len(b'{"id":"')
_PROVISIONAL = b'"status":"provisional"'
_READ_BYTES = 1 << 18
_SETTLED, _WARM_UP_MAX_S = 5, 5.0


class Ids:
    """Ids of one width that no other generator gives."""

    def __init__(self) -> None:
        self._run, self._number = os.urandom(3).hex().encode(), 0

    def next(self) -> bytes:
        """The next one."""
        self._number += 1
        return self._run + b"%0*d" % (ID_CHARS - len(self._run), self._number)


class Connection:
    """The devices and the reader of labels, on one socket: rows out, finals in.

    Attributes:
        pending: By sample id: when the sample was, or was to be, sent; and its row.
        answered: (row, seconds, payload) of the finals since `forget`.
    """

    def __init__(self, mqtt_port: int, site: str, messages: list[Message], qos: int, ids: Ids) -> None:
        self._socket = socket.create_connection(("127.0.0.1", mqtt_port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._messages, self._qos, self._ids = messages, qos, ids
        self._in, self._out = bytearray(), bytearray()
        self._packet_id = self._row = 0
        self.pending: dict[bytes, tuple[float, int]] = {}
        self.answered: list[tuple[int, float, bytes]] = []
        self.bytes_sent = self.bytes_received = 0
        self._socket.setblocking(False)
        self._out += packets.connect(f"generator-{site}-{os.getpid()}")
        self._out += packets.subscribe(label_topic(site, "x").rpartition("/")[0] + "/+", qos)
        self._subscribed = False
        deadline = time.perf_counter() + 10
        while not self._subscribed:
            self.turn(0.1)
            if time.perf_counter() > deadline:
                raise SystemExit("the broker does not answer the load generator")

    def send(self, at: float, row: int | None = None) -> None:
        """Put a sample in line: this row, or the next. `at`: when it is, or was to be, sent."""
        if row is None:
            row = self._row
            self._row = (row + 1) % len(self._messages)
        sample_id = self._ids.next()
        self.pending[sample_id] = (at, row)
        if self._qos:
            self._packet_id = self._packet_id % 65535 + 1
            self._out += self._messages[row].packet(self._packet_id.to_bytes(2, "big"), sample_id)
        else:
            self._out += self._messages[row].packet(b"", sample_id)

    def turn(self, timeout_s: float) -> int:
        """Write and read what can be, waiting at most so long for something to read; how many finals came."""
        if self._out:
            self._write()
        wants = [self._socket] if self._out else []
        if not select.select([self._socket], wants, [], max(0.0, timeout_s))[0]:
            return 0
        read = self._socket.recv(_READ_BYTES)
        if not read:
            raise SystemExit("the broker ended the load generator's connection")
        self.bytes_received += len(read)
        self._in += read
        now, finals = time.perf_counter(), 0
        for packet in packets.packets(self._in):
            if packet.kind == packets.PUBLISH:
                if packet.packet_id:
                    self._out += packets.puback(packet.packet_id)
                finals += self._take(packet.payload, now)
            elif packet.kind == packets.SUBACK:
                self._subscribed = True
        return finals

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            return
        self.bytes_sent += sent
        del self._out[:sent]

    def _take(self, payload: bytes, now: float) -> int:
        if _PROVISIONAL in payload:
            return 0
        known = self.pending.pop(payload[_ID_AT : _ID_AT + ID_CHARS], None)
        if known is None:
            return 0
        self.answered.append((known[1], now - known[0], payload))
        return 1

    def drain(self, timeout_s: float, quiet_s: float = math.inf) -> int:
        """Wait for what is under way, at most until no label has come for `quiet_s`; how many stay unanswered."""
        now = last = time.perf_counter()
        deadline = now + timeout_s
        while self.pending and now < min(deadline, last + quiet_s):
            came = self.turn(0.05)
            now = time.perf_counter()
            last = now if came else last
        return len(self.pending)

    def close(self) -> None:
        """Say good-bye."""
        self._out += packets.disconnect()
        self._write()
        self._socket.close()


class Meter:
    """What was used until now: time, processor time by role, bytes."""

    def __init__(self, connection: Connection, roles: dict[str, list[int]], redis_port: int) -> None:
        stats: Any = redis.Redis(port=redis_port).info("stats")
        self.at = time.perf_counter()
        self.cpu_s = {role: cpu_s(pids) for role, pids in roles.items()}
        self.redis_bytes = stats["total_net_input_bytes"] + stats["total_net_output_bytes"]
        self.device_bytes = connection.bytes_sent + connection.bytes_received
        self.finals = len(connection.answered)


def probe(command: dict[str, Any], ids: Ids) -> dict[str, Any]:
    """Send one row every so often until its label is there: how long that took, since the given time."""
    connection = _connection(command, ids)
    deadline, due = time.perf_counter() + command["timeout_s"], 0.0
    while not connection.answered:
        now = time.perf_counter()
        if now > deadline:
            connection.close()
            return {"first_label_s": None}
        if now >= due:
            connection.send(now, command["row"])
            due = now + command["every_s"]
        connection.turn(due - now)
    first_label_s = time.time() - command["since"]
    connection.drain(5.0, quiet_s=0.5)  # nobody had subscribed yet when the first ones were sent
    connection.close()
    return {"first_label_s": first_label_s}


def measure(command: dict[str, Any], ids: Ids) -> dict[str, Any]:
    """One cell: warm up, then count for so long."""
    connection = _connection(command, ids)
    roles = families(command["roles"] | {"generator": [os.getpid()]})
    rate_hz, in_flight = command.get("rate_hz"), command.get("in_flight")
    begun = time.perf_counter()
    starts, ends, sent = begun + command["warm_up_s"], math.inf, 0
    # The labels by which what is in flight has settled: where hard samples wait longer, they gather there.
    settled = _SETTLED * (in_flight or 0)
    before: Meter | None = None
    for _ in range(in_flight or 0):
        connection.send(time.perf_counter())
    while True:
        now = time.perf_counter()
        if before is None and now >= starts and (len(connection.answered) >= settled or now >= begun + _WARM_UP_MAX_S):
            ends = now + command["seconds"]
            before = Meter(connection, roles, command["redis_port"])
        if now >= ends:
            break
        if rate_hz is None:
            for _ in range(connection.turn(0.01)):
                connection.send(time.perf_counter())
        else:
            while begun + sent / rate_hz <= now:
                connection.send(begun + sent / rate_hz)
                sent += 1
            connection.turn(min(0.01, begun + sent / rate_hz - now))
    after = Meter(connection, roles, command["redis_port"])
    memory = {role: rss_bytes(pids) for role, pids in roles.items()}
    unanswered = connection.drain(command["drain_s"])
    connection.close()
    if before is None:
        raise SystemExit("the load generator had no time to measure")
    # An open loop's latencies are those of the samples that were to be sent in the window, however late they came.
    counted = connection.answered[before.finals : after.finals if rate_hz is None else None]
    return _figures(counted, before, after, memory, unanswered, samples_of(command["net"]).y)


def _figures(
    counted: list[tuple[int, float, bytes]],
    before: Meter,
    after: Meter,
    memory: dict[str, int],
    unanswered: int,
    truth: Any,
) -> dict[str, Any]:
    finals = after.finals - before.finals
    labels = [(row, json.loads(payload)) for row, _, payload in counted]
    each = max(1, finals)
    return {
        "labels": finals,
        "labels_per_s": finals / (after.at - before.at),
        "cpu_us": {role: 1e6 * (after.cpu_s[role] - before.cpu_s[role]) / each for role in after.cpu_s},
        "device_bytes": (after.device_bytes - before.device_bytes) / each,
        "redis_bytes": (after.redis_bytes - before.redis_bytes) / each,
        "rss_bytes": memory,
        "latency_ms": Latencies([seconds for _, seconds, _ in counted]).quantiles_ms(),
        "unanswered": unanswered,
        "right": sum(label["class"] == int(truth[row]) for row, label in labels) / max(1, len(labels)),
        "cloud": sum(label["exit"] == "cloud" for _, label in labels) / max(1, len(labels)),
        "edge_latency_ms": Latencies(
            [s for (_, s, _), (_, label) in zip(counted, labels, strict=True) if label["exit"] != "cloud"]
        ).quantiles_ms(),
    }


def _connection(command: dict[str, Any], ids: Ids) -> Connection:
    messages = samples_of(command["net"]).messages(command["site"], command["payload"], command["qos"])
    return Connection(command["mqtt_port"], command["site"], messages, command["qos"], ids)


def load(command: dict[str, Any], _: Ids) -> dict[str, Any]:
    """Make the samples of a network, which takes a while the first time."""
    return {"rows": len(samples_of(command["net"]).y)}


DOES = {"load": load, "probe": probe, "measure": measure}


def main() -> None:
    """Answer each line by a line until the input ends."""
    ids = Ids()
    for line in sys.stdin:
        command = json.loads(line)
        sys.stdout.write(json.dumps(DOES[command["do"]](command, ids)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
