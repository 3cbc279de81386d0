"""What waits for the cloud, and whether there are enough workers for it."""

from __future__ import annotations

from deploy.grafana.board import Board, Query, every_edge, networks_of_edges

_OVER = "[$__rate_interval]"


def cloud() -> Board:
    """The queue and the workers. Workers serve all sites: only the queue knows of a choice of site and bundle."""
    board = Board("cloud", "Dewpoint cloud", (__doc__ or "").strip())
    _now(board)
    _queue(board)
    _workers(board)
    _redone(board)
    return board


def _now(board: Board) -> None:
    board.row("Now")
    board.stat(
        "Hard samples waiting",
        "Escalations in the stream that no cloud worker has answered yet.",
        f"sum(max by (network) ({networks_of_edges('dewpoint_cloud_queue_depth')}))",
        "short",
    )
    board.stat(
        "Oldest",
        "Age of the oldest escalation that waits.",
        f"max({networks_of_edges('dewpoint_cloud_queue_oldest_age_seconds')})",
        "s",
        decimals=1,
    )
    board.stat("Cloud workers", "Workers that are up and have Redis.", "dewpoint:cloud_workers:count", "short")
    board.stat(
        "Workers needed",
        "Samples that come a second times the time that one takes now, over the utilisation wanted (0.7). An estimate:"
        " larger batches take less a sample.",
        "dewpoint:cloud_workers_needed:count",
        "short",
    )
    board.stat(
        "Utilisation",
        "Of the workers' time, the share in which they compute.",
        "dewpoint:cloud_utilisation:ratio_rate5m",
        "percentunit",
        decimals=1,
    )
    board.stat(
        "Dead letters",
        "Escalations that could not be answered and still lie there.",
        f"sum(max by (network) ({networks_of_edges('dewpoint_cloud_dead_letters')}))",
        "short",
    )


def _queue(board: Board) -> None:
    board.row("Queue")
    board.graph(
        "Queue length",
        "Escalations in the stream, and audits in theirs, which are read only when no hard sample waits.",
        "short",
        Query(f"max by (network) ({networks_of_edges('dewpoint_cloud_queue_depth')})", "{{network}}"),
        Query(f"max by (network) ({networks_of_edges('dewpoint_cloud_audit_queue_depth')})", "{{network}} audits"),
    )
    board.graph(
        "Oldest entry",
        "Age of the oldest escalation; and what is too old, by the shortest deadline of an edge worker's inputs.",
        "s",
        Query(f"max by (network) ({networks_of_edges('dewpoint_cloud_queue_oldest_age_seconds')})", "{{network}}"),
        Query(f"min({every_edge('dewpoint:queue_age_bound:seconds')})", "too old"),
    )
    board.graph(
        "In and out",
        "Escalations that edges have sent, and those that are answered.",
        "cps",
        Query(f"sum(rate(dewpoint_escalations_total{_OVER}))", "sent"),
        Query(f"sum by (outcome) (rate(dewpoint_cloud_answered_total{_OVER}))", "answered: {{outcome}}"),
    )
    board.graph(
        "Wait",
        "From an escalation's entry into the stream to its answer.",
        "s",
        Query(f"histogram_quantile(0.5, sum by (le) (rate(dewpoint_cloud_wait_seconds_bucket{_OVER})))", "p50"),
        Query(f"histogram_quantile(0.99, sum by (le) (rate(dewpoint_cloud_wait_seconds_bucket{_OVER})))", "p99"),
        width=12,
        exemplars=True,
    )
    board.graph(
        "As the edges see it",
        "What edge workers last heard of the length and the age of the stream.",
        "short",
        Query(f"max({every_edge('dewpoint_queue_depth')})", "length"),
        Query(f"max({every_edge('dewpoint_queue_oldest_age_seconds')})", "oldest, s"),
        width=12,
    )


def _workers(board: Board) -> None:
    board.row("Workers")
    sizes = f"rate(dewpoint_cloud_batch_size_bucket{_OVER})"
    board.graph(
        "Batch size",
        "Samples computed together.",
        "short",
        Query(
            f"sum(rate(dewpoint_cloud_batch_size_sum{_OVER})) / sum(rate(dewpoint_cloud_batch_size_count{_OVER}))",
            "mean",
        ),
        Query(f"histogram_quantile(0.9, sum by (le) ({sizes}))", "p90"),
    )
    seconds = f"rate(dewpoint_cloud_batch_seconds_bucket{_OVER})"
    board.graph(
        "Forward pass",
        "Duration of one batch's computation.",
        "s",
        Query(f"histogram_quantile(0.5, sum by (le) ({seconds}))", "p50"),
        Query(f"histogram_quantile(0.99, sum by (le) ({seconds}))", "p99"),
    )
    board.graph(
        "Answers by worker",
        "Escalations answered.",
        "cps",
        Query(f"sum by (instance) (rate(dewpoint_cloud_answered_total{_OVER}))", "{{instance}}"),
    )
    board.graph(
        "Scaling",
        "Workers that are up, and how many the samples that come need at the utilisation wanted.",
        "short",
        Query("dewpoint:cloud_workers:count", "up"),
        Query("dewpoint:cloud_workers_needed:count", "needed"),
        width=12,
    )
    board.graph(
        "Utilisation by worker",
        "Of a worker's time, the share in which it computes.",
        "percentunit",
        Query(f"sum by (instance) (rate(dewpoint_cloud_batch_seconds_sum{_OVER}))", "{{instance}}"),
        width=12,
        maximum=1,
    )


def _redone(board: Board) -> None:
    board.row("Done again, and given up")
    board.graph(
        "Redeliveries",
        "Escalations taken over after a lease ran out; answers not sent because another worker had the entry.",
        "cps",
        Query(f"sum(rate(dewpoint_cloud_redelivered_total{_OVER}))", "taken over"),
        Query(f"sum(rate(dewpoint_cloud_answers_lost_total{_OVER}))", "answers lost"),
        Query(f"sum(rate(dewpoint_cloud_leases_renewed_total{_OVER}))", "leases renewed"),
    )
    board.graph(
        "Dead letters",
        "Those that lie in the stream, and those that were added in the last hour, by reason.",
        "short",
        Query(f"max by (network) ({networks_of_edges('dewpoint_cloud_dead_letters')})", "{{network}} lie there"),
        Query("sum by (reason) (increase(dewpoint_cloud_dead_lettered_total[1h]))", "{{reason}}"),
    )
    board.graph(
        "Drops",
        "Entries and audits that could not be decoded or answered.",
        "cps",
        Query(f"sum by (reason) (rate(dewpoint_cloud_drops_total{_OVER}))", "{{reason}}"),
        Query(f"sum(rate(dewpoint_cloud_locked_total{_OVER}))", "no key for it"),
    )
