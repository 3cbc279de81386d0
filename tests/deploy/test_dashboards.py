"""Every panel of every dashboard has data: a real Prometheus scrapes a real pipeline while samples stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import DEPLOY
from tests.deploy.pipeline import until, watched_pipeline
from tests.deploy.prometheus import Prometheus
from tools.queries import QUERIES

SERIES_TIMEOUT_S = 60.0
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """The panels that draw something."""
    return [panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"]


def variables(dashboard: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dashboard.read_text())["templating"]["list"]
    return found


def targets() -> Iterator[Any]:
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield pytest.param(
                    dashboard, target["expr"], id=f"{dashboard.stem}: {panel['title']} {target['refId']}"
                )


def filled(dashboard: Path, query: str) -> str:
    """The query as Grafana sends it: every variable stands at "all", the interval covers many scrapes."""
    for variable in variables(dashboard):
        query = query.replace(f"${variable['name']}", ".*")
    return query.replace("$__rate_interval", "20s")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with watched_pipeline(tmp_path_factory.mktemp("pipeline")) as prometheus:
        yield prometheus


@pytest.mark.parametrize(("dashboard", "expression"), list(targets()))
def test_a_panels_query_returns_a_series(scraped, dashboard, expression):
    query = filled(dashboard, expression)
    assert "$" not in query
    until(lambda: scraped.values(query), f"a value of {query}", SERIES_TIMEOUT_S)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_variable_has_values_to_choose_from(scraped, dashboard):
    for variable in variables(dashboard):
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", filled(dashboard, variable["query"]["query"]))
        assert match is not None, variable["query"]
        series, label = match.groups()
        until(partial(scraped.label_values, label, series), match[0], SERIES_TIMEOUT_S)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_choice_that_matches_nothing_shows_nothing_of_the_edges(scraped, dashboard):
    for panel in panels(dashboard):
        for target in panel["targets"]:
            if "$site" in target["expr"] and "vector(0)" not in target["expr"] and " or " not in target["expr"]:
                query = filled(dashboard, target["expr"].replace("$site", "nowhere"))
                assert not scraped.values(query), f"{panel['title']}: {query}"


@pytest.mark.parametrize("metric", QUERIES)
def test_a_documented_query_is_one_that_prometheus_understands(scraped, metric):
    scraped.values(QUERIES[metric])  # raises QueryRefusedError where it is not


def test_every_worker_is_scraped(scraped):
    until(lambda: scraped.values("sum(up)") == [3.0], "three workers that are up", SERIES_TIMEOUT_S)


def test_every_worker_says_what_it_is(scraped):
    names = 'role="edge",site="demo",worker="edge-1",bundle="digits"'
    edge = f'dewpoint_worker_info{{{names},network=~"[0-9a-f]{{12}}",kernel!="",version!=""}}'
    cloud = 'dewpoint_worker_info{role="cloud",site="",bundle="",network="",kernel="cpu",version!=""}'
    for query, workers in ((edge, 1), (cloud, 2)):
        until(lambda query=query, workers=workers: scraped.values(query) == [1.0] * workers, query, SERIES_TIMEOUT_S)


def test_what_the_edge_escalates_the_cloud_answers(scraped):
    until(lambda: scraped.values("sum(dewpoint_cloud_answered_total)"), "answers", SERIES_TIMEOUT_S)
    until(
        lambda: scraped.values('sum(dewpoint_exits_total{exit="cloud",reason="escalated"})'),
        "finals from the cloud",
        SERIES_TIMEOUT_S,
    )


def test_every_rule_is_evaluated_without_error(scraped):
    rules = scraped.rules()
    assert len(rules) > 30
    until(lambda: all(one["health"] == "ok" for one in scraped.rules()), "all rules evaluated", SERIES_TIMEOUT_S)
    assert not [one for one in scraped.rules() if one.get("lastError")]


def test_an_alert_says_what_is_wrong(scraped):
    def fired() -> list[dict[str, Any]]:
        rules = scraped.rules()
        return [alert for one in rules if one["name"] == "DewpointDeadLetters" for alert in one["alerts"]]

    until(fired, "the spoiled entry is a dead letter", SERIES_TIMEOUT_S)
    [alert] = fired()
    assert re.fullmatch(r"1 dead letters of network [0-9a-f]{12}", alert["annotations"]["summary"])
    assert alert["labels"]["severity"] == "warning"
