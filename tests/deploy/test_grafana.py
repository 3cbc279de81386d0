"""Grafana's provisioning fits together. Grafana itself is not run: that every query has data is tested elsewhere."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from deploy.grafana import build
from services.metrics import CloudMetrics, EdgeMetrics
from tests.deploy.conftest import DEPLOY, ROOT

PROVISIONING = DEPLOY / "grafana" / "provisioning"
UNITS = {"Bps", "cps", "joule", "percentunit", "s", "short", "watt"}
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(request.param.read_text())
    return content


def recorded() -> set[str]:
    """What the recording rules record."""
    files = (DEPLOY / "prometheus" / "rules").glob("*.yml")
    groups = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


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
    asking = [panel for panel in dashboard["panels"] if panel["type"] != "row"] + dashboard["templating"]["list"]
    asking += [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    for one in asking:
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
    names = {name + ending for name in known for ending in endings} | recorded()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            for metric in re.findall(r"\bdewpoint[_:][\w:]+", target["expr"]):
                assert metric in names, f"{panel['title']}: {metric}"


def test_there_is_a_dashboard_for_every_question():
    titles = {path.stem: json.loads(path.read_text())["title"] for path in DASHBOARDS}
    assert titles == {name: f"Dewpoint {name}" for name in ("audit", "cloud", "devices", "overview")}


def test_the_files_are_as_the_code_makes_them():
    command = [sys.executable, "-m", "deploy.grafana.build", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_file_that_the_code_does_not_make_is_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "cloud.json").write_text("{}")
    stale = build.stale_files()
    assert stale[tmp_path / "old.json"] is None
    assert {path.stem for path in stale} == {"old", *(path.stem for path in DASHBOARDS)}


def test_sites_bundles_and_devices_can_be_chosen(dashboard):
    chosen = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert chosen == {"site", "bundle", "device"}
    for variable in dashboard["templating"]["list"]:
        assert variable["includeAll"]
        assert variable["allValue"] == ".*"


def test_a_panel_is_of_a_kind_and_a_unit_that_grafana_knows(dashboard):
    """As in Grafana 11.5: its panel plugins, its units, and a schema that it need not migrate backwards."""
    assert dashboard["schemaVersion"] == 39
    for panel in dashboard["panels"]:
        assert panel["type"] in {"row", "stat", "timeseries", "table", "xychart"}
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(refs)) == len(refs)


def test_a_dashboard_can_be_found_again(dashboard):
    assert re.fullmatch(r"dewpoint-[a-z]+", dashboard["uid"])
    assert "dewpoint" in dashboard["tags"]
    assert "id" not in dashboard, "Grafana gives it"
