"""Recording rules and alerts, by promtool: each alert fires, each stays silent, each has its paragraph."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_model.intervals import wilson_interval
from tests.deploy.alert_cases import CASES, Series
from tests.deploy.conftest import DEPLOY, ROOT
from tests.deploy.promtool import promtool
from tests.docs.pages import anchors

FOLDER = DEPLOY / "prometheus" / "rules"
FILES = sorted(FOLDER.glob("*.yml"))
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
each_alert = pytest.mark.parametrize("alert", ALERTS)


@dataclass(frozen=True)
class Expected:
    """With `series`, `query` gives `samples` at the time `at`."""

    series: Series
    at: str
    query: str
    samples: list[dict[str, Any]]


def run(folder: Path, *expected: Expected) -> None:
    """Let promtool feed the rules and compare; each by itself."""
    tests = [
        {
            "interval": "15s",
            "input_series": [{"series": name, "values": values} for name, values in one.series.items()],
            "promql_expr_test": [{"expr": one.query, "eval_time": one.at, "exp_samples": one.samples}],
        }
        for one in expected
    ]
    path = folder / "test.yml"
    content = {"rule_files": [str(path) for path in FILES], "evaluation_interval": "15s", "tests": tests}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    command = [promtool(), "test", "rules", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def firing(alert: str) -> str:
    return f'ALERTS{{alertname="{alert}",alertstate="firing"}}'


def test_the_rules_are_valid():
    result = subprocess.run(
        [promtool(), "check", "rules", "--lint-fatal", *FILES], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_case():
    assert ALERTS.keys() == CASES.keys()


def test_each_fires_when_it_should(tmp_path):
    expected = []
    for alert, case in CASES.items():
        labels = {"alertname": alert, "alertstate": "firing", "severity": ALERTS[alert]["labels"]["severity"]}
        inside = ",".join(f'{name}="{value}"' for name, value in (labels | case.labels).items())
        expected.append(Expected(case.fires, case.at, firing(alert), [{"labels": f"ALERTS{{{inside}}}", "value": 1}]))
    run(tmp_path, *expected)


def test_each_stays_silent_when_it_should(tmp_path):
    run(tmp_path, *(Expected(case.stays_silent, case.at, firing(alert), []) for alert, case in CASES.items()))


def test_who_is_gone_for_good_and_who_has_no_edge_is_not_told_of(tmp_path):
    seen = CASES["DewpointDeviceSilent"].fires
    gone = {name: "-90000x90" if "last_seen" in name else values for name, values in seen.items()}
    alone = {'dewpoint_cloud_redis_reachable{job="cloud",instance="c:1"}': "0x90"}
    run(
        tmp_path,
        Expected(gone, "6m", firing("DewpointDeviceSilent"), []),
        Expected(alone, "6m", firing("DewpointNoCloudWorker"), []),
    )


@each_alert
def test_it_says_what_to_do(alert):
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == alert.lower()
    assert anchor in anchors(ROOT / page)


def test_the_recorded_interval_is_wilsons(tmp_path):
    rules = yaml.safe_load((FOLDER / "recording.yml").read_text())["groups"]
    expressions = {rule["record"]: rule["expr"] for group in rules for rule in group["rules"]}
    share = f"({expressions['dewpoint:disagreement:ratio_1h']})"
    where, expected = '{network="b0",site="home"}', []
    for audited, disagreed in ((50, 0), (50, 3), (7, 7), (4000, 123)):
        counted = {
            f"dewpoint:audited:increase1h{where}": f"{audited}x10",
            f"dewpoint:disagreed:increase1h{where}": f"{disagreed}x10",
        }
        for end, bound in zip(("lower", "upper"), wilson_interval(disagreed / audited, audited), strict=True):
            query = expressions[f"dewpoint:disagreement:wilson95_{end}_1h"]
            query = query.replace("dewpoint:disagreement:ratio_1h", share)
            close = f"abs(({query}) - {bound}) < bool 1e-5"
            expected.append(Expected(counted, "2m", close, [{"labels": where, "value": 1}]))
    run(tmp_path, *expected)


def test_a_device_is_silent_too_where_its_worker_is_gone(tmp_path):
    series = {
        name: f"{values.partition('x')[0]}x4 stale" for name, values in CASES["DewpointDeviceSilent"].fires.items()
    }
    labels = '{alertname="DewpointDeviceSilent",alertstate="firing",severity="warning",site="home",device="cam"}'
    run(tmp_path, Expected(series, "8m", firing("DewpointDeviceSilent"), [{"labels": f"ALERTS{labels}", "value": 1}]))


def test_coverage_counts_what_was_selected_and_what_was_audited(tmp_path):
    series, where = CASES["DewpointAuditBiased"].fires, '{network="b0",site="home"}'
    coverage, biased = "round(dewpoint:audit_coverage:ratio_1h, 0.001)", "dewpoint:audit_biased:bool_1h"
    run(
        tmp_path,
        Expected(series, "6m", coverage, [{"labels": where, "value": 0.9}]),
        Expected(series, "6m", biased, [{"labels": f"{biased}{where}", "value": 1}]),
    )


def test_where_no_cloud_worker_has_audited_anything_coverage_is_0(tmp_path):
    series = {name: values for name, values in CASES["DewpointAuditBiased"].fires.items() if "_cloud_" not in name}
    where, biased = '{network="b0",site="home"}', "dewpoint:audit_biased:bool_1h"
    run(tmp_path, Expected(series, "6m", biased, [{"labels": f"{biased}{where}", "value": 1}]))


def test_how_many_cloud_workers_are_needed(tmp_path):
    # 40 samples a second of 0.05 s each: two workers' whole time, and 0.7 of it is wanted.
    cloud = '{job="cloud",instance="c:1"}'
    series = {
        'dewpoint_escalations_total{job="edge",instance="e:1",device="cam",again="no"}': "0+600x90",
        f"dewpoint_cloud_batch_seconds_sum{cloud}": "0+15x90",
        f"dewpoint_cloud_batch_size_sum{cloud}": "0+300x90",
        f"dewpoint_cloud_redis_reachable{cloud}": "1x90",
    }
    needed, busy = "dewpoint:cloud_workers_needed:count", "round(dewpoint:cloud_utilisation:ratio_rate5m, 0.001)"
    run(
        tmp_path,
        Expected(series, "6m", needed, [{"labels": needed, "value": 3}]),
        Expected(series, "6m", busy, [{"labels": "{}", "value": 1}]),
    )
