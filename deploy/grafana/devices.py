"""Every camera and sensor: what it sends, where its samples leave, how sure the edge is of them, when it last spoke."""

from __future__ import annotations

from deploy.grafana.board import Board, Query, every_edge

_OVER = "[$__rate_interval]"
_LONG = "[15m]"
_CHOSEN = '{device=~"$device"}'
_HARDLY_SURE = 'le="0.7"'
_FROM_CLOUD = 'exit="cloud"'
_CONFIDENT = 'reason="confident"'
_SPARED = 'reason=~"reused|rate_limited"'


def _rate(metric: str, *labels: str, over: str = _OVER, also: str = "") -> str:
    """By `labels`, of the chosen devices."""
    by = f" by ({', '.join(labels)})" if labels else ""
    chosen = ",".join(one for one in ('device=~"$device"', also) if one)
    return f"sum{by} ({every_edge(f'rate({metric}{{{chosen}}}{over})')})"


def devices() -> Board:
    """By device."""
    board = Board("devices", "Dewpoint devices", (__doc__ or "").strip())
    board.row("Now")
    board.table(
        "Devices",
        "Samples a second, exit share, mean confidence and share out of domain over 15 minutes; seconds since the"
        " device was last heard of."
        " Devices beyond metrics.devices_max are counted together as other.",
        "short",
        Query(_rate("dewpoint_samples_received_total", "device", over=_LONG), "samples/s", "cps"),
        Query(
            f"{_rate('dewpoint_exits_total', 'device', over=_LONG, also=_CONFIDENT)}"
            f" / {_rate('dewpoint_exits_total', 'device', over=_LONG)}",
            "exit share",
            "percentunit",
        ),
        Query(
            f"{_rate('dewpoint_confidence_sum', 'device', over=_LONG)}"
            f" / {_rate('dewpoint_confidence_count', 'device', over=_LONG)}",
            "confidence",
            "percentunit",
        ),
        Query(
            'time() - max by (device) (dewpoint:last_seen:timestamp_seconds{site=~"$site",device=~"$device"})',
            "last seen",
            "s",
        ),
        Query(
            f"max by (device) ({every_edge('dewpoint_drift_psi' + _CHOSEN)})"
            f" / max by (device) ({every_edge('dewpoint_drift_psi_threshold' + _CHOSEN)})",
            "drift / threshold",
        ),
        Query(
            f"{_rate('dewpoint_samples_out_of_domain_total', 'device', over=_LONG)}"
            f" / {_rate('dewpoint_samples_received_total', 'device', over=_LONG)}",
            "out of domain",
            "percentunit",
        ),
        by="device",
        width=24,
    )
    board.row("Over time")
    board.graph(
        "Samples",
        "Whole samples received and decoded.",
        "cps",
        Query(_rate("dewpoint_samples_received_total", "device"), "{{device}}"),
    )
    board.graph(
        "Exit share",
        "Final labels with the reason confident, over all finals.",
        "percentunit",
        Query(
            f"{_rate('dewpoint_exits_total', 'device', also=_CONFIDENT)} / {_rate('dewpoint_exits_total', 'device')}",
            "{{device}}",
        ),
        maximum=1,
    )
    board.graph(
        "Mean confidence",
        "Greatest probability of the edge's own answer, of all samples, escalated ones included.",
        "percentunit",
        Query(
            f"{_rate('dewpoint_confidence_sum', 'device')} / {_rate('dewpoint_confidence_count', 'device')}",
            "{{device}}",
        ),
        maximum=1,
    )
    board.graph(
        "Samples that the edge is hardly sure of",
        "Samples of a confidence up to 0.7.",
        "percentunit",
        Query(
            f"{_rate('dewpoint_confidence_bucket', 'device', also=_HARDLY_SURE)}"
            f" / {_rate('dewpoint_confidence_count', 'device')}",
            "{{device}}",
        ),
        maximum=1,
    )
    board.graph(
        "Score drift",
        "Population stability index of the first exit's scores against those of calibration, over a device's latest"
        " samples, and its threshold: what chance alone hardly reaches at that number of samples.",
        "short",
        Query(every_edge("dewpoint_drift_psi" + _CHOSEN), "{{device}}"),
        Query(every_edge("dewpoint_drift_psi_threshold" + _CHOSEN), "{{device}} threshold"),
    )
    board.graph(
        "Out of domain",
        "Samples that the guard takes for none of what the network was trained on, over all: these rise.",
        "percentunit",
        Query(
            f"{_rate('dewpoint_samples_out_of_domain_total', 'device')}"
            f" / {_rate('dewpoint_samples_received_total', 'device')}",
            "{{device}}",
        ),
        maximum=1,
    )
    board.graph(
        "Silence",
        "Time since a device was last heard of, wherever its worker runs.",
        "s",
        Query(
            'time() - max by (site, device) (dewpoint:last_seen:timestamp_seconds{site=~"$site",device=~"$device"})',
            "{{site}} {{device}}",
        ),
    )
    board.row("Sent up")
    board.graph(
        "Escalations",
        "Hard samples sent up, again or for the first time.",
        "cps",
        Query(_rate("dewpoint_escalations_total", "device"), "{{device}}"),
    )
    board.graph(
        "Spared",
        "Hard samples that did not rise: the cloud's answer to one like it was reused, or one of the device had risen"
        " just before.",
        "cps",
        Query(_rate("dewpoint_exits_total", "device", "reason", also=_SPARED), "{{device}} {{reason}}"),
    )
    board.graph(
        "Features",
        "Bytes of features sent up.",
        "Bps",
        Query(_rate("dewpoint_feature_bytes_total", "device"), "{{device}}"),
    )
    board.graph(
        "Corrections",
        "Of the labels from the cloud, reused ones among them, those that differ from the edge's provisional one.",
        "percentunit",
        Query(
            f"{_rate('dewpoint_corrections_total', 'device')}"
            f" / {_rate('dewpoint_exits_total', 'device', also=_FROM_CLOUD)}",
            "{{device}}",
        ),
        maximum=1,
    )
    return board
