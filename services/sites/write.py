"""A site's folder: written beside its place and moved there whole, secrets readable by their owner alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from services import settings
from services.sites import texts
from services.sites.accounts import MQTT_WORKERS, REDIS_USERS, mosquitto_passwords, new_password, redis_users
from services.sites.certificates import make_certificates
from services.sites.plan import SitePlan

__all__ = ["WrittenSite", "write_site"]

_SETTINGS: Final = ("edge.toml", "cloud.toml", "console.toml")
_UNITS: Final = (
    "dewpoint-mosquitto.service",
    "dewpoint-redis.service",
    "dewpoint-edge.service",
    "dewpoint-cloud@.service",
)
_FOLDERS: Final = ("mosquitto", "redis", "prometheus/rules", "data/mosquitto", "data/redis", "spool")
#: Redis below it knows no permissions on keys.
_KEY_PERMISSIONS: Final = 7


@dataclass(frozen=True)
class WrittenSite:
    """What was written: paths within the folder, sorted; the commands that come next."""

    folder: Path
    files: tuple[str, ...]
    next_commands: tuple[str, ...]


def write_site(plan: SitePlan) -> WrittenSite:
    """Write everything, load the settings once to see that they hold, and only then give the folder its name.

    Raises SettingsError, CertificateError, or OSError where nothing can be written; then nothing is left.
    """
    draft = Path(tempfile.mkdtemp(dir=plan.folder.parent, prefix=f".{plan.folder.name}."))
    try:
        _write(plan, draft)
        for name in _SETTINGS:
            settings.load(draft / name)
        draft.chmod(0o755)
        draft.rename(plan.folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    written = sorted(path.relative_to(plan.folder).as_posix() for path in plan.folder.rglob("*") if path.is_file())
    return WrittenSite(plan.folder, tuple(written), tuple(texts.next_commands(plan)))


def _write(plan: SitePlan, draft: Path) -> None:
    for name in _FOLDERS:
        (draft / name).mkdir(parents=True)
    for name in (texts.SECRETS, "spool", "data"):
        (draft / name).mkdir(exist_ok=True)
        (draft / name).chmod(0o700)
    _settings(plan, draft)
    _accounts(plan, draft)
    _put(draft / "mosquitto/mosquitto.conf", texts.mosquitto_conf(plan))
    for role in ("devices", "workers"):
        rules = texts.shipped(f"mosquitto/{role}.acl").replace("dewpoint/site/", f"dewpoint/{plan.site}/")
        kept = "\n".join(line for line in rules.splitlines() if not line.startswith("# The site is")) + "\n"
        _put(draft / f"mosquitto/{role}.acl", kept, secret=True)
    _put(draft / "redis/redis.conf", texts.redis_conf(plan))
    _put(draft / "prometheus/prometheus.yml", texts.prometheus_yml(plan))
    for rules_file in (files("services.sites") / "files/prometheus/rules").iterdir():
        _put(draft / "prometheus/rules" / rules_file.name, rules_file.read_text())
    if plan.facts.systemd:
        (draft / "systemd").mkdir()
        for name in _UNITS:
            _put(draft / "systemd" / name, texts.unit(name, plan))
    if plan.home_assistant:
        _put(draft / "home-assistant.yaml", texts.home_assistant(plan))
    if plan.bundle_file is not None:
        (draft / "bundles").mkdir()
        shutil.copyfile(plan.bundle_file, draft / "bundles" / plan.bundle_file.name)
    _put(draft / "README.md", texts.readme(plan))


def _settings(plan: SitePlan, draft: Path) -> None:
    written = (texts.edge_settings(plan), texts.cloud_settings(plan), texts.console_settings(plan))
    for name, text in zip(_SETTINGS, written, strict=True):
        _put(draft / name, text)


def _accounts(plan: SitePlan, draft: Path) -> None:
    secrets = draft / texts.SECRETS
    workers = {name: new_password() for name in MQTT_WORKERS}
    devices = {name: new_password() for name in plan.devices}
    users = {name: new_password() for name in REDIS_USERS}
    for name, password in {**workers, **devices}.items():
        _put(secrets / f"{name}.mqtt", password + "\n", secret=True)
    for name, password in users.items():
        _put(secrets / f"{name}.redis", password + "\n", secret=True)
    _put(secrets / "workers.passwords", mosquitto_passwords(workers), secret=True)
    _put(secrets / "devices.passwords", mosquitto_passwords(devices), secret=True)
    shipped = "users.acl" if plan.facts.redis_major >= _KEY_PERMISSIONS else "users-6.2.acl"
    rules = redis_users(texts.shipped(f"redis/{shipped}"), users, site=plan.site)
    _put(draft / "redis/users.acl", rules, secret=True)
    if plan.facts.openssl is not None:
        make_certificates(plan.facts.openssl, secrets, plan.facts.host)


def _put(path: Path, text: str, *, secret: bool = False) -> None:
    """Write a new file; a secret one never exists with another mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
