"""What leaves at the edge, what it costs, how long it takes, and whether anything is wrong."""

from __future__ import annotations

from deploy.grafana.board import Board, Query, every_edge

_OVER = "[$__rate_interval]"
_SAMPLES = f'sum({every_edge(f"""rate(dewpoint_samples_received_total{{device=~"$device"}}{_OVER})""")})'
_ALL_SAMPLES = f"sum({every_edge(f'rate(dewpoint_samples_received_total{_OVER})')})"
_FINALS = f'sum({every_edge(f"""rate(dewpoint_exits_total{{device=~"$device"}}{_OVER})""")})'
_CONFIDENT = f"""sum({every_edge(f'rate(dewpoint_exits_total{{device=~"$device",reason="confident"}}{_OVER})')})"""
_EDGE_J = f"""sum({every_edge(f'rate(dewpoint_energy_joules_total{{stage!="cloud"}}{_OVER})')})"""
_TWIN_J = f"sum({every_edge(f'rate(dewpoint_energy_baseline_joules_total{_OVER})')})"
# The cloud's workers serve all sites: of their joules, the part that the chosen edges' escalations are of all.
_CLOUD_J = (
    f"(sum(rate(dewpoint_cloud_energy_joules_total{_OVER}))"
    f" * sum({every_edge(f'rate(dewpoint_escalations_total{_OVER})')})"
    f" / (sum(rate(dewpoint_escalations_total{_OVER})) > 0) or vector(0))"
)
_SENT = f"sum({every_edge(f'rate(dewpoint_feature_bytes_total{_OVER})')})"
_PAYLOADS = f"sum({every_edge(f'rate(dewpoint_payload_bytes_total{_OVER})')})"
_AUDITED = 'dewpoint:audited:increase1h{site=~"$site"}'
_DISAGREED = 'dewpoint:disagreed:increase1h{site=~"$site"}'


def _latency(quantile: float, paths: str = ".*") -> str:
    buckets = every_edge(f'rate(dewpoint_label_latency_seconds_bucket{{path=~"{paths}"}}{_OVER})')
    return f"histogram_quantile({quantile}, sum by (le, path) ({buckets}))"


def overview() -> Board:
    """The dashboard that Grafana opens with."""
    board = Board("overview", "Dewpoint overview", (__doc__ or "").strip())
    _at_a_glance(board)
    _answers(board)
    _costs(board)
    _latencies(board)
    _trouble(board)
    return board


def _at_a_glance(board: Board) -> None:
    board.row("At a glance")
    board.stat("Samples", "Whole samples received and decoded.", _SAMPLES, "cps", decimals=1)
    board.stat(
        "Edge share",
        "Final labels with the reason confident, over all finals.",
        f"{_CONFIDENT} / {_FINALS}",
        "percentunit",
        decimals=1,
    )
    board.stat(
        "Energy saved",
        "Estimated computing energy, edge and cloud, against all samples in full precision in the cloud: 1 - spent /"
        " baseline. Arithmetic alone, nothing measured; audits are not in it.",
        f"1 - ({_EDGE_J} + {_CLOUD_J}) / {_TWIN_J}",
        "percentunit",
        decimals=1,
    )
    board.stat(
        "Bytes saved",
        "Bytes of features sent up against the payloads as they came: 1 - sent / received.",
        f"1 - {_SENT} / {_PAYLOADS}",
        "percentunit",
        decimals=1,
    )
    board.stat(
        "Agreement with the cloud",
        "Of the audited confident labels of the last hour, the share that the cloud gives too. An estimate of accuracy"
        " only as far as the cloud is right: the true labels are not known.",
        f"1 - sum({_DISAGREED}) / sum({_AUDITED})",
        "percentunit",
        decimals=2,
    )
    board.stat(
        "Edge latency p99",
        "From receipt to the final label of samples that the edge answered.",
        _latency(0.99, "edge"),
        "s",
        decimals=1,
    )


def _answers(board: Board) -> None:
    board.row("Answers")
    by_reason = every_edge(f'rate(dewpoint_exits_total{{device=~"$device"}}{_OVER})')
    board.graph(
        "Final labels by reason",
        "Why each label is final.",
        "cps",
        Query(f"sum by (reason) ({by_reason})", "{{reason}}"),
        stacked=True,
    )
    board.graph(
        "Final labels by exit",
        "Where samples leave: at an edge exit, or in the cloud; a reused answer is the cloud's.",
        "cps",
        Query(f"sum by (exit) ({by_reason})", "exit {{exit}}"),
        stacked=True,
    )
    corrected = every_edge(f'rate(dewpoint_corrections_total{{device=~"$device"}}{_OVER})')
    risen = every_edge(f'rate(dewpoint_exits_total{{device=~"$device",exit="cloud"}}{_OVER})')
    board.graph(
        "Corrections",
        "Of the labels from the cloud, reused ones among them, those that differ from the edge's provisional one.",
        "percentunit",
        Query(f"(sum({corrected}) or vector(0)) / sum({risen})", "of the cloud's answers"),
        maximum=1,
    )


def _costs(board: Board) -> None:
    board.row("Energy and bytes")
    board.graph(
        "Energy a sample",
        "Estimated joules of computing for a sample, edge and cloud, and what it would take in full precision in the"
        " cloud.",
        "joule",
        Query(f"({_EDGE_J} + {_CLOUD_J}) / {_ALL_SAMPLES}", "spent"),
        Query(f"{_TWIN_J} / {_ALL_SAMPLES}", "all in the cloud, full precision"),
    )
    stages = every_edge(f'rate(dewpoint_energy_joules_total{{stage!="cloud"}}{_OVER})')
    board.graph(
        "Energy by stage",
        "Where the joules go: each exit's stage, the cut, the cloud.",
        "watt",
        Query(f"sum by (stage) ({stages})", "edge {{stage}}"),
        Query(_CLOUD_J, "cloud"),
        stacked=True,
    )
    board.graph(
        "Bytes",
        "Payloads received from devices, features sent up.",
        "Bps",
        Query(_PAYLOADS, "received"),
        Query(_SENT, "sent up"),
    )


def _latencies(board: Board) -> None:
    board.row("Latency")
    board.graph(
        "Label latency by path",
        "From receipt to a label: edge, provisional, cloud. Points are traces, where traces are on.",
        "s",
        Query(_latency(0.5), "{{path}} p50"),
        Query(_latency(0.99), "{{path}} p99"),
        width=12,
        exemplars=True,
    )
    steps = every_edge(f"rate(dewpoint_edge_batch_seconds_bucket{_OVER})")
    board.graph(
        "Steps of an edge batch",
        "Decoding, computing and committing a batch, 90th percentile.",
        "s",
        Query(f"histogram_quantile(0.9, sum by (le, step) ({steps}))", "{{step}}"),
        width=12,
    )


def _trouble(board: Board) -> None:
    board.row("Trouble")
    board.table(
        "Alerts that fire",
        "Since when is told by Prometheus; what to do, by docs/how-to/operations.md.",
        "short",
        Query('sum by (alertname) (ALERTS{alertname=~"Dewpoint.*",alertstate="firing"})', "alerts"),
        by="alertname",
    )
    board.graph(
        "Drops by reason",
        "Messages refused, rejected or dropped, and labels not sent.",
        "cps",
        Query(f"sum by (reason) ({every_edge(f'rate(dewpoint_drops_total{_OVER})')})", "edge {{reason}}"),
        Query(f"sum by (reason) (rate(dewpoint_cloud_drops_total{_OVER}))", "cloud {{reason}}"),
    )
    board.graph(
        "Connections",
        "1 while a worker has its broker or Redis, 0 while it has not.",
        "short",
        Query(every_edge("dewpoint_mqtt_connected"), "{{instance}} MQTT"),
        Query(every_edge("dewpoint_redis_reachable"), "{{instance}} Redis"),
        Query("dewpoint_cloud_redis_reachable", "{{instance}} Redis"),
        maximum=1,
    )
    board.graph(
        "Spool",
        "Hard samples that await the cloud against their bound, and the journal's size against its own; finished rows"
        " fill the journal, and go first.",
        "percentunit",
        Query(every_edge("dewpoint_journal_waiting_ratio"), "{{instance}} waiting"),
        Query(every_edge("dewpoint_journal_bytes / dewpoint_journal_bytes_max"), "{{instance}} journal"),
    )
    board.graph(
        "Journal rows",
        "Rows by state: waiting, final, done, rejected.",
        "short",
        Query(f"sum by (state) ({every_edge('dewpoint_journal_rows')})", "{{state}}"),
    )
    board.graph(
        "Edge load",
        "Messages received and not handled yet, labels sent and not acknowledged yet.",
        "short",
        Query(f"sum({every_edge('dewpoint_inbox_length')})", "inbox"),
        Query(f"sum({every_edge('dewpoint_publishes_in_flight')})", "labels in flight"),
    )
