"""Is the edge still right: its confident labels beside the cloud's, what other thresholds would do, exit control."""

from __future__ import annotations

from deploy.grafana.board import Board, Query, every_edge, every_network, networks_of_edges

_OVER = "[$__rate_interval]"
_SITE = '{site=~"$site"}'
_OF_DEVICES = '{site=~"$site",device=~"$device"}'


def audit() -> Board:
    """Disagreement, coverage, what-if curve, control."""
    board = Board("audit", "Dewpoint audit", (__doc__ or "").strip())
    _disagreement(board)
    _audits(board)
    _what_if(board)
    _control(board)
    return board


def _disagreement(board: Board) -> None:
    board.row("Disagreement with the cloud, over an hour: no error rate, the true labels are not known")
    board.stat(
        "Disagreement",
        "Of the audited confident labels, those that the cloud would not give.",
        f"max({networks_of_edges('dewpoint:disagreement:ratio_1h' + _SITE)})",
        "percentunit",
        decimals=2,
    )
    board.stat(
        "At least (95 %)",
        "Lower end of Wilson's interval.",
        f"max({networks_of_edges('dewpoint:disagreement:wilson95_lower_1h' + _SITE)})",
        "percentunit",
        decimals=2,
    )
    board.stat(
        "At most (95 %)",
        "Upper end of Wilson's interval.",
        f"max({networks_of_edges('dewpoint:disagreement:wilson95_upper_1h' + _SITE)})",
        "percentunit",
        decimals=2,
    )
    board.stat(
        "Audited",
        "Samples that the disagreement is of.",
        f"sum({networks_of_edges('dewpoint:audited:increase1h' + _SITE)})",
        "short",
    )
    board.stat(
        "Coverage",
        "Of the samples that were selected, those that have been audited.",
        f"min({networks_of_edges('dewpoint:audit_coverage:ratio_1h' + _SITE)})",
        "percentunit",
        decimals=1,
    )
    board.stat(
        "Biased",
        "1 where less than 95 % of the selected were audited: what is dropped under load is not random.",
        f"max({networks_of_edges('dewpoint:audit_biased:bool_1h' + _SITE)})",
        "short",
    )
    board.graph(
        "Disagreement and its interval",
        "By network and site, with Wilson's 95 % interval, and the bound above which there is an alert.",
        "percentunit",
        Query(networks_of_edges("dewpoint:disagreement:ratio_1h" + _SITE), "{{site}} {{network}}"),
        Query(networks_of_edges("dewpoint:disagreement:wilson95_lower_1h" + _SITE), "{{site}} {{network}} at least"),
        Query(networks_of_edges("dewpoint:disagreement:wilson95_upper_1h" + _SITE), "{{site}} {{network}} at most"),
        Query("dewpoint:disagreement_bound:ratio", "bound"),
        width=12,
    )
    board.table(
        "By device",
        "Disagreement of the last hour, and of how many audited samples it is; few mean little.",
        "short",
        Query(
            f"sum by (device) (increase(dewpoint_cloud_disagreed_total{_OF_DEVICES}[1h]))"
            f" / sum by (device) (increase(dewpoint_cloud_audited_total{_OF_DEVICES}[1h]))",
            "disagreement",
            "percentunit",
        ),
        Query(f"sum by (device) (increase(dewpoint_cloud_audited_total{_OF_DEVICES}[1h]))", "audited"),
        by="device",
        width=6,
    )
    board.table(
        "By exit",
        "The same by the exit at which the samples left.",
        "short",
        Query(
            f"sum by (exit) (increase(dewpoint_cloud_disagreed_total{_OF_DEVICES}[1h]))"
            f" / sum by (exit) (increase(dewpoint_cloud_audited_total{_OF_DEVICES}[1h]))",
            "disagreement",
            "percentunit",
        ),
        Query(f"sum by (exit) (increase(dewpoint_cloud_audited_total{_OF_DEVICES}[1h]))", "audited"),
        by="exit",
        width=6,
    )


def _audits(board: Board) -> None:
    board.row("Audits")
    selected = every_edge(f'rate(dewpoint_audits_selected_total{{device=~"$device"}}{_OVER})')
    board.graph(
        "From selection to audit",
        "Samples selected at random, sent up, and audited by cloud workers.",
        "cps",
        Query(f"sum({selected})", "selected"),
        Query(f"sum({every_edge(f'rate(dewpoint_audits_sent_total{_OVER})')})", "sent"),
        Query(f"sum(rate(dewpoint_cloud_audited_total{_OF_DEVICES}{_OVER}))", "audited"),
    )
    board.graph(
        "Audits lost",
        "Chosen and not sent, by reason; sent and of no use in the cloud.",
        "cps",
        Query(f"sum(rate(dewpoint_audits_dropped_total{_OVER})) or vector(0)", "edge"),
        Query(f"sum(rate(dewpoint_cloud_audit_drops_total{_OVER})) or vector(0)", "cloud"),
    )
    board.graph(
        "Energy of audits",
        "Estimated joules of computing that audits cost, beside those that the samples themselves cost.",
        "watt",
        Query(f"sum({every_edge(f'rate(dewpoint_audit_energy_joules_total{_OVER})')})", "edge"),
        Query(f"sum(rate(dewpoint_cloud_audit_energy_joules_total{_OVER}))", "cloud"),
    )


def _what_if(board: Board) -> None:
    board.row("What if: other points of the bundle's path, by the samples of the last hour")
    weight = f"sum by (network) ({_counted('weight')})"
    left, agreed = (f"sum by (network, point) ({_counted(name)})" for name in ("left_weight", "agreed_weight"))
    per_sample = f"/ on (network) group_left () {weight}"
    share = Query(_by_point(f"{left} {per_sample}"), "edge share")
    agreement = Query(_by_point(f"1 - ({left} - {agreed}) {per_sample}"), "estimated agreement")
    board.curve(
        "Edge share against agreement",
        "At every point of the bundle's path: the share that would leave at the edge, and of all labels the share that"
        " would be the cloud's.",
        share,
        agreement,
        by="at",
    )
    board.table(
        "The points",
        "The same in figures: point 0 sends all samples up.",
        "percentunit",
        share,
        agreement,
        by="at",
        width=12,
    )


def _counted(name: str) -> str:
    return networks_of_edges(f"increase(dewpoint_cloud_what_if_{name}_total[1h])")


def _by_point(expression: str) -> str:
    """With one label, `at`, that names network and point: what tables and curves are joined by."""
    return f'sum by (at) (label_join({expression}, "at", " point ", "network", "point"))'


def _control(board: Board) -> None:
    board.row("Exit control")
    board.graph(
        "Position",
        "Where the exits stand on the bundle's calibrated path; between two points samples are split at random.",
        "short",
        Query(every_network("dewpoint_control_position"), "{{instance}} {{bundle}}"),
    )
    board.graph(
        "Budget: measured against target",
        "Measured over 10 seconds as a multiple of the budget's value: 1 is on target.",
        "short",
        Query(
            every_network("(dewpoint_control_measured / on (job, instance, network, budget) dewpoint_control_target)"),
            "{{instance}} {{bundle}} {{budget}}",
        ),
        Query("dewpoint:budget_overrun_bound:ratio", "too much"),
    )
    board.graph(
        "Budget, in its own unit",
        "What is to be kept, and what was measured.",
        "short",
        Query(every_network("dewpoint_control_target"), "{{instance}} {{bundle}} {{budget}} target"),
        Query(every_network("dewpoint_control_measured"), "{{instance}} {{bundle}} {{budget}} measured"),
    )
    board.graph(
        "State",
        "Whether the exits stand where the bundle passed calibration; whether they stand at their limit with the budget"
        " not kept; what is left of the budget while the cloud is overloaded.",
        "short",
        Query(every_network("dewpoint_control_calibrated"), "{{instance}} {{bundle}} calibrated"),
        Query(every_network("dewpoint_control_saturated"), "{{instance}} {{bundle}} saturated"),
        Query(every_network("dewpoint_control_budget_factor"), "{{instance}} {{bundle}} budget factor"),
        maximum=1,
    )
    board.graph(
        "Exit thresholds",
        "Those of the point next to the position.",
        "short",
        Query(every_network("dewpoint_exit_threshold"), "{{instance}} {{bundle}} exit {{exit}}"),
    )
    board.graph(
        "Set-points and uncalibrated time",
        "Set-points of the last hour by outcome; seconds of the last hour that the exits stood where the bundle did not"
        " pass calibration.",
        "short",
        Query(
            f"sum by (outcome) ({every_edge('increase(dewpoint_control_set_points_total[1h])')})",
            "set-points {{outcome}}",
        ),
        Query(f"sum({every_edge('increase(dewpoint_control_uncalibrated_seconds_total[1h])')})", "uncalibrated, s"),
    )
