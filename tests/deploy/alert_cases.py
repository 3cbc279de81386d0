"""For every alert, series under which it fires and series under which it does not; a point every 15 seconds.

The notation is promtool's: `2x40` is 2, held for 40 more points; `0+5x40` grows by 5 at each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]

_EDGE = '{job="edge",instance="e:1"}'
_HELD = "x90"
_INFO = 'dewpoint_worker_info{job="edge",instance="e:1",role="edge",site="home",network="b0"}'
_OF_NETWORK = 'job="edge",instance="e:1",network="b0"'
_NETWORK = f"{{{_OF_NETWORK}}}"
_BUDGET = f"{_OF_NETWORK},budget"


@dataclass(frozen=True)
class AlertCase:
    """Looked at after `at`; `labels`: of the one alert that fires, beside name and severity."""

    fires: Series
    stays_silent: Series
    labels: Mapping[str, str]
    at: str = "6m"


_THE_EDGE = {"job": "edge", "instance": "e:1"}
_THE_NETWORK = _THE_EDGE | {"network": "b0"}
_THE_SITE = {"site": "home", "network": "b0"}


def _edge(name: str, fires: str, stays_silent: str) -> AlertCase:
    """One series of one edge worker."""
    return AlertCase({f"{name}{_EDGE}": fires}, {f"{name}{_EDGE}": stays_silent}, _THE_EDGE)


def _network(name: str, fires: str, stays_silent: str) -> AlertCase:
    """One series of one network of an edge worker."""
    return AlertCase({f"{name}{_NETWORK}": fires}, {f"{name}{_NETWORK}": stays_silent}, _THE_NETWORK)


def _audits(selected: float, audited: float, disagreed: float) -> Series:
    """Audits in every 15 seconds, from the start."""
    where = 'network="b0",site="home",device="cam",exit="0"'
    return {
        _INFO: f"1{_HELD}",
        f'dewpoint_audits_selected_total{{{_OF_NETWORK},device="cam",exit="0"}}': f"0+{selected}{_HELD}",
        f'dewpoint_cloud_audited_total{{job="cloud",instance="c:1",{where}}}': f"0+{audited}{_HELD}",
        f'dewpoint_cloud_disagreed_total{{job="cloud",instance="c:1",{where}}}': f"0+{disagreed}{_HELD}",
    }


def _last_seen(values: str) -> Series:
    return {
        _INFO: f"1{_HELD}",
        'dewpoint_last_seen_timestamp_seconds{job="edge",instance="e:1",device="cam"}': values,
    }


def _drift(psi: str) -> Series:
    labels = '{job="edge",instance="e:1",device="cam"}'
    return {f"dewpoint_drift_psi{labels}": psi, f"dewpoint_drift_psi_threshold{labels}": f"0.2{_HELD}"}


def _out_of_domain(received: float, outside: float) -> Series:
    """Samples in every 15 seconds, from the start."""
    labels = '{job="edge",instance="e:1",device="cam"}'
    return {
        f"dewpoint_samples_received_total{labels}": f"0+{received}{_HELD}",
        f"dewpoint_samples_out_of_domain_total{labels}": f"0+{outside}{_HELD}",
    }


def _budget(name: str, measured: str) -> Series:
    return {
        f'dewpoint_control_target{{{_BUDGET}="{name}"}}': f"0.2{_HELD}",
        f'dewpoint_control_measured{{{_BUDGET}="{name}"}}': measured,
    }


CASES: Mapping[str, AlertCase] = {
    "DewpointDeviceSilent": AlertCase(
        _last_seen(f"5{_HELD}"), _last_seen(f"100{_HELD}"), {"site": "home", "device": "cam"}
    ),
    "DewpointExitShareDrifted": AlertCase(
        _drift(f"0.3{_HELD}"), _drift("0.1x20 0.3x1 0.1x20"), _THE_EDGE | {"device": "cam"}
    ),
    # 15 % of 50 samples a minute; half of so few that it may be chance.
    "DewpointOutOfDomain": AlertCase(
        _out_of_domain(12.5, 1.875), _out_of_domain(0.5, 0.25), _THE_EDGE | {"device": "cam"}
    ),
    # 100 audits a minute, of which 16 disagree; 15 % of so few that it may be chance.
    "DewpointDisagreementHigh": AlertCase(_audits(25, 25, 4), _audits(1, 1, 0.15), _THE_SITE, at="8m"),
    "DewpointAuditBiased": AlertCase(_audits(100, 90, 0), _audits(100, 98, 0), _THE_SITE, at="17m"),
    "DewpointNoCloudWorker": AlertCase(
        {_INFO: f"1{_HELD}", 'dewpoint_cloud_redis_reachable{job="cloud",instance="c:1"}': f"0{_HELD}"},
        {
            _INFO: f"1{_HELD}",
            'dewpoint_cloud_redis_reachable{job="cloud",instance="c:1"}': f"0{_HELD}",
            'dewpoint_cloud_redis_reachable{job="cloud",instance="c:2"}': f"1{_HELD}",
        },
        {},
    ),
    "DewpointQueueOld": AlertCase(
        {
            f"dewpoint_queue_oldest_age_seconds{_NETWORK}": f"12{_HELD}",
            'dewpoint_deadline_seconds{job="edge",instance="e:1",input="a"}': f"10{_HELD}",
            'dewpoint_deadline_seconds{job="edge",instance="e:1",input="b"}': f"20{_HELD}",
        },
        {f"dewpoint_queue_oldest_age_seconds{_NETWORK}": f"12{_HELD}"},
        _THE_NETWORK,
    ),
    "DewpointDeadLetters": AlertCase(
        {'dewpoint_cloud_dead_letters{job="cloud",instance="c:1",network="b0"}': f"3{_HELD}"},
        {'dewpoint_cloud_dead_letters{job="cloud",instance="c:1",network="b0"}': f"0{_HELD}"},
        {"network": "b0"},
    ),
    "DewpointBundleFailing": AlertCase(
        {'dewpoint_cloud_bundle_failing{job="cloud",instance="c:1",network="b0"}': f"1{_HELD}"},
        {'dewpoint_cloud_bundle_failing{job="cloud",instance="c:1",network="b0"}': "1x2 0x90"},
        {"job": "cloud", "instance": "c:1", "network": "b0"},
    ),
    "DewpointWorkerDown": _edge("up", f"0{_HELD}", f"1{_HELD}"),
    "DewpointBrokerAway": _edge("dewpoint_mqtt_connected", f"0{_HELD}", "1x20 0x1 1x20"),
    "DewpointNameInUse": _edge("dewpoint_mqtt_session_taken_over_total", "0x18 1x20", f"3{_HELD}"),
    "DewpointLabelsWithoutSubscriber": AlertCase(
        {
            'dewpoint_labels_without_subscriber_total{job="edge",instance="e:1",status="final"}': "0x18 5x20",
            'dewpoint_labels_without_subscriber_total{job="edge",instance="e:1",status="provisional"}': f"0{_HELD}",
        },
        {
            'dewpoint_labels_without_subscriber_total{job="edge",instance="e:1",status="final"}': f"5{_HELD}",
            'dewpoint_labels_published_total{job="edge",instance="e:1",status="final"}': f"0+5{_HELD}",
        },
        _THE_EDGE,
    ),
    "DewpointRedisAway": _edge("dewpoint_redis_reachable", f"0{_HELD}", "1x20 0x1 1x20"),
    "DewpointSpoolNearlyFull": _edge("dewpoint_journal_waiting_ratio", f"0.85{_HELD}", f"0.75{_HELD}"),
    "DewpointStorageFailing": _edge("dewpoint_storage_failing", f"1{_HELD}", f"0{_HELD}"),
    "DewpointEnergyBudgetOverrun": AlertCase(
        _budget("energy_j_per_sample", f"0.23{_HELD}"),
        {**_budget("energy_j_per_sample", f"0.21{_HELD}"), **_budget("escalated_share", f"0.3{_HELD}")},
        _THE_NETWORK | {"budget": "energy_j_per_sample"},
    ),
    "DewpointBudgetOverrun": AlertCase(
        _budget("escalated_share", f"0.23{_HELD}"),
        {**_budget("escalated_share", f"0.21{_HELD}"), **_budget("energy_j_per_sample", f"0.3{_HELD}")},
        _THE_NETWORK | {"budget": "escalated_share"},
    ),
    "DewpointControlSaturated": _network("dewpoint_control_saturated", f"1{_HELD}", "0x18 1x4 0x20"),
    "DewpointSetPointRefused": AlertCase(
        {'dewpoint_control_set_points_total{job="edge",instance="e:1",network="b0",outcome="refused"}': "0x18 1x20"},
        {'dewpoint_control_set_points_total{job="edge",instance="e:1",network="b0",outcome="accepted"}': "0x18 1x20"},
        _THE_NETWORK | {"outcome": "refused"},
    ),
    "DewpointUncalibrated": _network("dewpoint_control_calibrated", f"0{_HELD}", "1x18 0x5 1x20"),
}
