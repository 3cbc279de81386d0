"""Grafana's provisioning fits together. Grafana itself is not run: that every query has data is tested elsewhere."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
import yaml

from services.metrics import CloudMetrics, EdgeMetrics
from tests.deploy.conftest import DEPLOY

PROVISIONING = DEPLOY / "grafana" / "provisioning"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(request.param.read_text())
    return content


def provisioned(path: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PROVISIONING / path).read_text())
    return content


def test_the_data_source_is_the_prometheus_of_the_compose_file(compose):
    [source] = provisioned("datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose["services"]


def test_dashboards_are_mounted_where_the_provider_looks(compose):
    [provider] = provisioned("dashboards/dewpoint.yml")["providers"]
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"


def test_the_home_dashboard_is_one_of_ours(compose):
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    [provider] = provisioned("dashboards/dewpoint.yml")["providers"]
    folder, _, name = home.rpartition("/")
    assert folder == provider["options"]["path"]
    assert (DEPLOY / "grafana" / "dashboards" / name).is_file()


def test_every_panel_asks_the_provisioned_data_source(dashboard):
    [source] = provisioned("datasources/prometheus.yml")["datasources"]
    asking = [*dashboard["panels"], *dashboard["templating"]["list"]]
    asking += [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    for one in asking:
        if one["type" if "type" in one else "refId"] != "row":
            assert one["datasource"] == {"type": source["type"], "uid": source["uid"]}, one.get("title")


def test_panels_have_a_title_a_description_and_an_id_of_their_own(dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"].endswith(".")


def test_panels_do_not_overlap_and_fit_the_width(dashboard):
    for one, other in itertools.combinations([panel["gridPos"] for panel in dashboard["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in dashboard["panels"])


def test_only_metrics_that_exist_are_asked_for(dashboard):
    families = itertools.chain(EdgeMetrics().registry.collect(), CloudMetrics().registry.collect())
    known = {family.name for family in families}
    endings = ("", "_total", "_info", "_bucket", "_sum", "_count")
    names = {name + ending for name in known for ending in endings}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            for metric in re.findall(r"\bdewpoint_\w+", target["expr"]):
                assert metric in names, f"{panel['title']}: {metric}"
