"""Health of a worker in a container: is it ready, that is, does it do its work now? Exit status 0 if so, else 1."""

import os
import sys
import urllib.request

TIMEOUT_S = 3.0


def main() -> int:
    """Ask the worker of this container."""
    url = f"http://127.0.0.1:{os.environ['DEWPOINT_METRICS__PORT']}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S):
            return 0
    except OSError as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
