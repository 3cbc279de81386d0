from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from services.servers import RedisServer
from tests.conftest import WaitFor
from tests.services.cloud.rig import Rig


@pytest.fixture
def rig(redis_server: RedisServer, wait_for: WaitFor) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(redis_server, wait_for, stack)
