"""The files of a site as text: templates of our own filled in, and the shipped configurations with its paths."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from services.sites.plan import WORKER, SitePlan

__all__ = [
    "SECRETS",
    "cloud_settings",
    "console_settings",
    "edge_settings",
    "home_assistant",
    "mosquitto_conf",
    "next_commands",
    "prometheus_yml",
    "readme",
    "redis_conf",
    "shipped",
    "unit",
]

SECRETS: Final = "secrets"
_UNITS: Final = ("dewpoint-mosquitto.service", "dewpoint-redis.service", "dewpoint-edge.service")
_TLS_LINE: Final = re.compile(r"^(certfile|keyfile|tls_version) .*\n", re.M)


def shipped(path: str) -> str:
    """A configuration as it is shipped, as `redis/users.acl`."""
    return (files("services.sites") / "files" / path).read_text()


def edge_settings(plan: SitePlan) -> str:
    """The edge worker's TOML."""
    return _filled("edge.toml", plan, input=_input(plan), mqtt_tls=_mqtt_tls(plan))


def cloud_settings(plan: SitePlan) -> str:
    """The cloud workers' TOML."""
    bundles = plan.bundle if plan.bundle_file is None else f"{plan.folder}/bundles"
    return _filled("cloud.toml", plan, cloud_bundle=bundles)


def console_settings(plan: SitePlan) -> str:
    """The TOML of the console and of `dewpoint control`."""
    ports = (plan.ports.edge_metrics, *plan.ports.cloud_metrics)
    urls = ", ".join(f'"http://127.0.0.1:{port}"' for port in ports)
    return _filled("console.toml", plan, input=_input(plan), mqtt_tls=_mqtt_tls(plan), metrics_urls=urls)


def mosquitto_conf(plan: SitePlan) -> str:
    """Mosquitto's configuration: the shipped secure.conf in this folder, the workers' listener on the loopback address.

    Without certificates both listeners speak plain text, and are on the loopback address.
    """
    folder = plan.folder
    text = shipped("mosquitto/secure.conf")
    text = text.replace("/mosquitto/secrets/server.", f"{folder}/{SECRETS}/mosquitto.")
    text = text.replace("/mosquitto/secrets/", f"{folder}/{SECRETS}/").replace(
        "/mosquitto/config/", f"{folder}/mosquitto/"
    )
    text = text.replace("/mosquitto/data/", f"{folder}/data/mosquitto/")
    text = text.replace("listener 8883", f"listener {plan.ports.devices}" + ("" if plan.tls else " 127.0.0.1"))
    text = text.replace("listener 8884", f"listener {plan.ports.workers} 127.0.0.1")
    if not plan.tls:
        text = _TLS_LINE.sub("", text)
    head = f"# Mosquitto for Dewpoint, site {plan.site}, with passwords and access control.\n"
    text = head + text[text.index("\n\n") + 1 :]
    sizes = "# What waits, and how it is kept: docs/how-to/deployment.md says what to size it by."
    text = text.replace("# From here on as in mosquitto.conf, which says why.", sizes)
    return text + f"\n# Mosquitto heeds it where root starts it.\nuser {plan.facts.account}\n"


def redis_conf(plan: SitePlan) -> str:
    """Redis' configuration: the shipped one on the loopback address, with users."""
    text = shipped("redis/redis.conf")
    text = re.sub(r"\n# Reachable inside.*?\nprotected-mode no\n", "", text, flags=re.S)
    text = re.sub(r"# The data lie in the working directory.*\n# Every write", "# Every write", text)
    return (
        f"{text}\n# Workers on other machines need TLS: docs/how-to/security.md\n"
        f"bind 127.0.0.1\nport {plan.ports.redis}\nprotected-mode yes\n"
        f"aclfile {plan.folder}/redis/users.acl\ndir {plan.folder}/data/redis\n"
    )


def prometheus_yml(plan: SitePlan) -> str:
    """Prometheus' configuration: the shipped one with this site's targets in place of names in a network."""
    targets = {"edge": (plan.ports.edge_metrics,), "cloud": plan.ports.cloud_metrics}
    jobs = []
    for job, ports in targets.items():
        addresses = ", ".join(f"127.0.0.1:{port}" for port in ports)
        jobs.append(f"  - job_name: {job}\n    static_configs:\n      - targets: [{addresses}]\n")
    text = shipped("prometheus/prometheus.yml")
    text = text[text.index("\nglobal:") + 1 : text.index("scrape_configs:")]
    return f"# Prometheus for Dewpoint, site {plan.site}.\n{text}scrape_configs:\n" + "\n".join(jobs)


def unit(name: str, plan: SitePlan) -> str:
    """A systemd unit."""
    return _filled(name, plan)


def home_assistant(plan: SitePlan) -> str:
    """Sensors of Home Assistant by MQTT, one for each device."""
    sensors = "".join(_filled("home-assistant-sensor.yaml", plan, device=device) for device in plan.devices)
    hint = f", certificate authority {SECRETS}/ca.pem" if plan.tls else ""
    return _filled("home-assistant.yaml", plan, sensors=sensors.rstrip("\n"), ca_hint=hint)


def next_commands(plan: SitePlan) -> list[str]:
    """The three commands that start the site and check it."""
    folder, facts, words = plan.folder, plan.facts, " ".join(plan.facts.dewpoint)
    check = f"{words} doctor --config {folder}/edge.toml"
    if facts.systemd:
        instances = " ".join(f"dewpoint-cloud@{number}" for number in range(1, plan.cloud_workers + 1))
        return [
            "sudo systemctl enable --now " + " ".join(f"{folder}/systemd/{name}" for name in _UNITS),
            f"sudo systemctl link {folder}/systemd/dewpoint-cloud@.service && sudo systemctl enable --now {instances}",
            check,
        ]
    return [
        f"{facts.mosquitto or 'mosquitto'} -d -c {folder}/mosquitto/mosquitto.conf && "
        f"{facts.redis_server or 'redis-server'} {folder}/redis/redis.conf --daemonize yes",
        f"{words} cloud --config {folder}/cloud.toml & {words} edge --config {folder}/edge.toml &",
        check,
    ]


def readme(plan: SitePlan) -> str:
    """What is in the folder, and what to do next."""
    listed = {
        "`systemd/`": "units of the broker, Redis, the edge worker and the cloud workers",
        "`bundles/`": "the network; give the cloud workers a new one before the edge",
        "`home-assistant.yaml`": "labels as sensors of Home Assistant",
    }
    there = {"`systemd/`": plan.facts.systemd, "`bundles/`": plan.bundle_file is not None}
    there["`home-assistant.yaml`"] = plan.home_assistant
    sent = "picture files" if plan.kind == "images" else "readings as JSON"
    return _filled(
        "README.md",
        plan,
        host=plan.facts.host,
        what=f"One edge worker answers {plan.kind} by the network `{plan.bundle}`.",
        commands="\n".join(next_commands(plan)),
        answer=f"Then `{plan.devices[0]}` publishes {sent}, and gets labels back: see below.",
        missing=_missing(plan),
        exchange="\n".join(exchange_commands(plan)),
        notes=_notes(plan),
        listed="".join(f"| {name} | {what} |\n" for name, what in listed.items() if there[name]),
        reload="sudo systemctl reload dewpoint-mosquitto"
        if plan.facts.systemd
        else f"pkill -HUP -f {plan.folder}/mosquitto/mosquitto.conf",
    )


def exchange_commands(plan: SitePlan) -> list[str]:
    """Two commands of mosquitto-clients: one shows labels as they come, the other sends what they are of."""
    folder, device = plan.folder, plan.devices[0]
    trust = f" --cafile {folder}/{SECRETS}/ca.pem" if plan.tls else ""

    def to(port: int, user: str) -> str:
        return f'-h 127.0.0.1 -p {port}{trust} -u {user} -i {user} -P "$(cat {folder}/{SECRETS}/{user}.mqtt)" -q 1'

    sent = "-f picture.jpg" if plan.kind == "images" else "-l < readings.jsonl"
    return [
        f"mosquitto_sub {to(plan.ports.workers, 'consumer')} -v -t 'dewpoint/{plan.site}/label/#'",
        f"mosquitto_pub {to(plan.ports.devices, device)} -t dewpoint/{plan.site}/in/{device} {sent}",
    ]


def _missing(plan: SitePlan) -> str:
    packages = {"mosquitto": plan.facts.mosquitto, "redis-server": plan.facts.redis_server}
    lacking = [name for name, path in packages.items() if path is None]
    if not lacking:
        return ""
    names = " ".join(lacking)
    return (
        f"First install what is missing, `sudo apt-get install {names}`, and switch off the services that come along: "
        f"`sudo systemctl disable --now {names}`.\n\n"
    )


def _notes(plan: SitePlan) -> str:
    notes = []
    if plan.tls:
        notes.append(
            f"Devices verify the broker by `{SECRETS}/ca.pem`; its certificate is for `{plan.facts.host}`, "
            f"`localhost` and `127.0.0.1`. Move "
            f"`{SECRETS}/ca.key` off this machine: whoever has it can pass for the broker."
        )
    else:
        notes.append(
            "There is no openssl 3 here to make certificates, so the broker speaks plain text, on the loopback address "
            "alone: devices elsewhere cannot reach it. docs/how-to/security.md adds certificates."
        )
    if not plan.facts.torch:
        notes.append(
            "Cloud workers need torch, which is not installed here: `pip install 'dewpoint[cloud]'`. Without any, hard "
            "samples wait."
        )
    if plan.facts.account == "root" and plan.facts.systemd:
        notes.append("The units run as root, who wrote this: better run `dewpoint new` as an account of its own.")
    return "".join(f"- {note}\n" for note in notes) + "\n"


def _input(plan: SitePlan) -> str:
    hop = max(1, (plan.window_length or 1) // 2)
    channels = ", ".join(plan.channels or ()) or "the network has no names for them"
    return _filled(f"input-{plan.kind}.toml", plan, hop=hop, length=plan.window_length, channels=channels).rstrip("\n")


def _mqtt_tls(plan: SitePlan) -> str:
    return (
        f'tls = {{ enabled = true, ca_file = "{plan.folder}/{SECRETS}/ca.pem" }}'
        if plan.tls
        else "# plain text: loopback"
    )


def _filled(name: str, plan: SitePlan, **more: object) -> str:
    template = Template((files("services.sites") / "templates" / name).read_text())
    return template.substitute(_common(plan) | more)


def _is_temporary(folder: Path) -> bool:
    return any(folder.is_relative_to(place) for place in ("/tmp", "/var/tmp"))


def _common(plan: SitePlan) -> dict[str, object]:
    facts, ports = plan.facts, plan.ports
    return {
        "site": plan.site,
        "worker": WORKER,
        "folder": plan.folder,
        "bundle": plan.bundle,
        # A site below /tmp could not see itself.
        "private_tmp": f"PrivateTmp={'no' if _is_temporary(plan.folder) else 'yes'}",
        "device": plan.devices[0],
        "account": facts.account,
        "cores": facts.cores,
        "threads": max(1, facts.cores // 4),
        "cloud_threads": max(1, facts.cores // (2 * plan.cloud_workers)),
        "dewpoint": " ".join(facts.dewpoint),
        "mosquitto": facts.mosquitto or "/usr/sbin/mosquitto",
        "redis_server": facts.redis_server or "/usr/bin/redis-server",
        "devices_port": ports.devices,
        "workers_port": ports.workers,
        "redis_port": ports.redis,
        "console_port": ports.console,
        "edge_metrics_port": ports.edge_metrics,
        "cloud_metrics_port": ports.cloud_metrics[0],
        "cloud_metrics_prefix": ports.cloud_metrics[0] // 10,
    }
