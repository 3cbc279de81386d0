"""A TCP server that answers each connection with given bytes, HTTP or not."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Literal, Self

#: Answers that are no HTTP, or not all of it, by name.
NO_HTTP = {
    "nothing": b"",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "redis": b"-ERR wrong number of arguments for 'get' command\r\n",
    "binary": b"\x00\xff\x15\x03" * 100,
    "no status": b"HTTP/1.1 abc OK\r\n\r\n",
    "half a status line": b"HTTP/1.",
    "long status line": b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "body broken off": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "no body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "chunk broken off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{}",
    "no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
}
_WAIT_S = 60.0


class RawServer:
    """Listens on 127.0.0.1. `then`: after the answer, `close`, `wait` with the connection open, or `drip` bytes.

    `address` is host:port, `requests` what was asked.
    """

    def __init__(self, reply: bytes, *, then: Literal["close", "wait", "drip"] = "close") -> None:
        self.requests: list[bytes] = []
        self._reply, self._then = reply, then
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """Its address for HTTP."""
        return f"http://{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError), socket.create_connection(self._socket.getsockname(), timeout=5.0):
            pass  # wakes accept
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, contextlib.suppress(OSError):
                if self._stopped.is_set():
                    return
                connection.settimeout(_WAIT_S)
                self.requests.append(self._request(connection))
                connection.sendall(self._reply)
                if self._then == "wait":
                    self._stopped.wait(_WAIT_S)
                while self._then == "drip" and not self._stopped.wait(0.05):
                    connection.sendall(b"x")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):  # until the other side closes: no reset overtakes the answer
                    pass

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request and (piece := connection.recv(1 << 16)):
            request += piece
        return request
