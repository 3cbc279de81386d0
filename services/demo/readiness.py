"""Whether a worker says that it is ready."""

from __future__ import annotations

import http.client

_TIMEOUT_S = 1.0


def ready(metrics_port: int) -> bool:
    """Ask a worker on this machine by HTTP, on the port of its metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", metrics_port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
