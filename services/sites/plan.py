"""What a new site shall be: wishes, and what follows from them and from the machine."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import Input
from hybrid_model.errors import DewpointError
from services.messages import level_of_device
from services.sites.accounts import MQTT_WORKERS
from services.sites.facts import Facts, free_port_from

__all__ = ["PlanError", "Ports", "SitePlan", "SiteWish", "plan_site"]

Kind = Literal["images", "sensors"]

#: The worker of a new site, as `workers.acl` and `users.acl` name it.
WORKER: Final = "edge-1"
_SHIPPED: Final[dict[Kind, str]] = {"images": "digits", "sensors": "har"}
_DEVICE: Final[dict[Kind, str]] = {"images": "camera-1", "sensors": "sensor-1"}
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Signs that mean the same in TOML, in systemd's units and in the servers' configurations.
_PATH: Final = re.compile(r"[\w/.,+@=~-]+")
_CLOUD_WORKERS_MAX: Final = 2
_CORES_FOR_TWO: Final = 4


class PlanError(DewpointError):
    """A site that cannot be as it is wished; the message says why and what to do."""


@dataclass(frozen=True)
class SiteWish:
    """What was asked for. `kind` and `site` are found out where they are None; `bundle`: a file or a shipped name."""

    folder: Path
    kind: Kind | None = None
    bundle: str | None = None
    site: str | None = None
    devices: tuple[str, ...] = ()
    home_assistant: bool = False


@dataclass(frozen=True)
class Ports:
    """TCP ports: of the broker for devices and for workers, of Redis, of the console, of metrics."""

    devices: int
    workers: int
    redis: int
    console: int
    edge_metrics: int
    cloud_metrics: tuple[int, ...]


@dataclass(frozen=True)
class SitePlan:
    """Everything that is written follows from this. `bundle_file` is None for a shipped bundle."""

    folder: Path
    kind: Kind
    site: str
    devices: tuple[str, ...]
    bundle: str
    bundle_file: Path | None
    window_length: int | None
    channels: tuple[str, ...] | None
    home_assistant: bool
    ports: Ports
    facts: Facts

    @property
    def tls(self) -> bool:
        """Whether there can be certificates: openssl makes them."""
        return self.facts.openssl is not None

    @property
    def cloud_workers(self) -> int:
        """How many cloud workers this machine shall run."""
        return len(self.ports.cloud_metrics)


def plan_site(wish: SiteWish, facts: Facts) -> SitePlan:
    """A site on this machine.

    Raises PlanError for a folder that is not empty or a name that cannot be, BundleError for a bundle that is none.
    """
    folder = _folder(wish.folder)
    bundle, kind, expected = _bundle(wish)
    site = wish.site or _site_of(facts.host)
    if not _NAME.fullmatch(site):
        raise PlanError(f"site {site!r}: a name has letters, digits, '_', '.' and '-', 64 at most")
    file = None if _is_shipped(bundle) else bundle_file.resolve(bundle)
    if file is not None and not _PATH.fullmatch(file.name):
        raise PlanError(f"{file}: give the bundle a name of letters, digits, '_', '.' and '-'")
    return SitePlan(
        folder=folder,
        kind=kind,
        site=site,
        devices=_devices(wish.devices or (_DEVICE[kind],)),
        bundle=bundle if file is None else str(folder / "bundles" / file.name),
        bundle_file=file,
        window_length=expected.shape[1] if kind == "sensors" else None,
        channels=expected.channels,
        home_assistant=wish.home_assistant,
        ports=_ports(facts),
        facts=facts,
    )


def _folder(folder: Path) -> Path:
    found = folder.absolute()
    if not _PATH.fullmatch(str(found)):
        raise PlanError(f"{found}: a site's path has letters, digits and _ . , + @ = ~ - alone; choose another")
    if found.exists() and not found.is_dir():
        raise PlanError(f"{found} is a file; give a new folder")
    if found.is_dir() and any(found.iterdir()):
        raise PlanError(f"{found} is not empty; give a new folder, nothing is ever overwritten")
    if not found.parent.is_dir():
        raise PlanError(f"{found.parent}: no such folder; make it, or choose another")
    return found


def _bundle(wish: SiteWish) -> tuple[str, Kind, Input]:
    """The bundle, the kind of site that it makes, and what it takes."""
    bundle = wish.bundle or _SHIPPED[wish.kind or "images"]
    manifest = bundle_file.load(bundle_file.resolve(bundle)).manifest
    if manifest.input.kind not in ("image", "sensor"):
        raise PlanError(f"{bundle} takes arrays: write its settings by hand, docs/reference/settings.md lists them")
    kind: Kind = "images" if manifest.input.kind == "image" else "sensors"
    if wish.kind not in (None, kind):
        raise PlanError(f"{bundle} is a network for {kind}; leave out --{wish.kind}, or give another --bundle")
    return bundle, kind, manifest.input


def _is_shipped(bundle: str) -> bool:
    return bundle_file.resolve(bundle).parent == bundle_file.resolve("digits").parent and not Path(bundle).is_file()


def _site_of(host: str) -> str:
    """The host's name as a site's: its first part, other signs left out."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", host.partition(".")[0]).strip("-")[:64] or "site"


def _devices(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _NAME.fullmatch(name) or level_of_device(name) != name:
            raise PlanError(f"device {name!r}: a name has letters, digits, '_', '.' and '-', 64 at most")
        if name in MQTT_WORKERS:
            raise PlanError(f"device {name!r} has the name of a worker's account; take another")
        if names.count(name) > 1:
            raise PlanError(f"device {name!r} is named twice")
    return names


def _ports(facts: Facts) -> Ports:
    taken: set[int] = set()

    def free(port: int) -> int:
        found = free_port_from(port, taken)
        taken.add(found)
        return found

    workers = _CLOUD_WORKERS_MAX if facts.cores >= _CORES_FOR_TWO else 1
    return Ports(
        devices=free(8883),
        workers=free(8884),
        redis=free(6379),
        console=free(8080),
        edge_metrics=free(9464),
        cloud_metrics=_numbered(workers, taken),
    )


def _numbered(workers: int, taken: Collection[int]) -> tuple[int, ...]:
    """Ports of metrics that end in the worker's number, from 1: a unit's instance knows no more of itself."""
    choices = ([10 * tens + number for number in range(1, workers + 1)] for tens in range(947, 1000))
    return tuple(next(ports for ports in choices if all(free_port_from(port, taken) == port for port in ports)))
