"""Which devices Home Assistant is told of: announced once they have a label, withdrawn where that is switched off."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import Final

from services.common.logs import SparseLog
from services.common.version import own_version
from services.edge.errors import EdgeError
from services.edge.journal import Spool
from services.messages import DeviceAnnouncement, LabelStatus, announcement_topic
from services.metrics import EdgeMetrics
from services.mqtt import MqttLink, Outcome
from services.settings import Settings

__all__ = ["Announcements"]

#: Labels have the rest of the connection's window.
_UNDER_WAY_MAX: Final = 8
_WINDOW_SHARE: Final = 8
#: After a refusal, or a spool that could not be written, seconds until the next attempt.
_PAUSE_S: Final = 30.0
_ONLINE: Final = b"online"


class Announcements:
    """Announces devices on retained topics, and withdraws what it has announced. Labels never wait for it.

    What is announced is noted in the spool before it is sent: so it can be withdrawn by a later start with other
    settings. A message that is refused, or that there is no room for, is sent again.

    Args:
        settings: All of them.
        spool: Where it is noted what is announced.
        link: Publishes.
        metrics: What is counted.

    Raises:
        EdgeError: where the note in the spool cannot be read.
    """

    def __init__(self, *, settings: Settings, spool: Spool, link: MqttLink, metrics: EdgeMetrics) -> None:
        self._settings, self._site = settings.edge.home_assistant, settings.site.name
        self._excluded = frozenset(self._settings.exclude)
        self._spool, self._link = spool, link
        self._log = SparseLog("edge", burst=1, period_s=60.0)
        statuses: list[LabelStatus] = ["final"]
        statuses += ["provisional"] if self._settings.provisional and settings.edge.provisional else []
        statuses += ["correction"] if settings.edge.correction else []
        self._announcement = partial(
            DeviceAnnouncement,
            site=self._site,
            worker=spool.worker,
            shown=statuses,
            corrected=settings.edge.correction,
            version=own_version(),
        )
        self._under_way_max = max(1, min(_UNDER_WAY_MAX, settings.mqtt.inflight_max // _WINDOW_SHARE))
        self._messages = metrics.home_assistant_messages
        self._labels_beyond = metrics.home_assistant_labels_beyond
        self._beyond_told = False
        self._lock = threading.Lock()
        #: By topic the device that is announced there; none where it is being withdrawn.
        self._wanted: dict[str, str | None] = {}
        self._devices: set[str] = set()
        self._due: dict[str, None] = {}  # in order
        self._under_way: set[str] = set()
        self._asked_meanwhile: set[str] = set()
        self._refused: deque[tuple[float, str]] = deque()
        self._unwritten, self._write_at = False, 0.0
        for topic, device in spool.announced().items():
            if self._settings.enabled and topic == self._topic(device) and self._may_be_announced(device):
                self._devices.add(device)
                self._wanted[topic] = device
            else:
                self._wanted[topic] = None
            self._due[topic] = None

    def seen(self, device: str) -> None:
        """A label of this device was published. Any thread may say so, as often as there are labels."""
        if not self._settings.enabled or device in self._devices or device in self._excluded:
            return
        with self._lock:
            if not self._may_be_announced(device):
                self._labels_beyond.inc()
                told, self._beyond_told = self._beyond_told, True
            else:
                told = True
                self._devices.add(device)
                topic = self._topic(device)
                self._wanted[topic] = device
                self._unwritten = True
                self._ask(topic)
        if not told:
            remedy = "raise edge.home_assistant.devices_max, or exclude devices that are gone"
            self._log.warning("home_assistant_devices_max", devices_max=self._settings.devices_max, remedy=remedy)

    def hear(self, payload: bytes) -> None:
        """Home Assistant has told its own status: where it has just started, it is told of all devices again."""
        if payload == _ONLINE:
            with self._lock:
                for topic in self._wanted:
                    self._ask(topic)

    def tell(self) -> None:
        """Send what is due. Call it often, in one thread; it may write to the spool."""
        if not (self._due or self._refused or self._unwritten) or not self._link.connected:
            return
        now = time.monotonic()
        if not self._noted(now):
            return
        with self._lock:
            while self._refused and self._refused[0][0] <= now:
                self._ask(self._refused.popleft()[1])
            while self._due and len(self._under_way) < self._under_way_max:
                topic = next(iter(self._due))
                device = self._wanted[topic]
                payload = b"" if device is None else self._announcement(device=device).encode()
                answered = partial(self._answered, topic, device)
                if not self._link.publish(topic, payload, qos=1, retain=True, on_done=answered):
                    return  # there is no room: another time
                del self._due[topic]
                self._under_way.add(topic)

    def _answered(self, topic: str, device: str | None, outcome: Outcome) -> None:
        """In the link's thread."""
        with self._lock:
            self._under_way.discard(topic)
            if topic in self._asked_meanwhile:
                self._asked_meanwhile.discard(topic)
                self._due[topic] = None
            elif not outcome.taken:
                self._refused.append((time.monotonic() + _PAUSE_S, topic))
            elif device is None:
                del self._wanted[topic]
                self._unwritten = True
        if outcome.taken:
            self._messages.labels(outcome="withdrawn" if device is None else "announced").inc()
        else:
            self._messages.labels(outcome="refused").inc()
            remedy = "allow the worker to write below edge.home_assistant.prefix at the broker"
            self._log.warning("home_assistant_refused", topic=topic, remedy=remedy)

    def _noted(self, now: float) -> bool:
        """Whether all that may be sent is in the spool."""
        if not self._unwritten:
            return True
        if now < self._write_at:
            return False
        with self._lock:
            announced = {topic: device or "" for topic, device in self._wanted.items()}
            self._unwritten = False
        try:
            self._spool.remember_announced(announced)
        except EdgeError as error:
            self._unwritten, self._write_at = True, now + _PAUSE_S
            self._log.warning("home_assistant_not_noted", error=str(error))
            return False
        return True

    def _ask(self, topic: str) -> None:
        """With the lock held: send this topic's message as it is now, also where an earlier one is under way."""
        if topic in self._under_way:
            self._asked_meanwhile.add(topic)
        elif topic in self._wanted:
            self._due[topic] = None

    def _may_be_announced(self, device: str) -> bool:
        return device not in self._excluded and len(self._devices) < self._settings.devices_max

    def _topic(self, device: str) -> str:
        return announcement_topic(self._settings.prefix, self._site, device)
