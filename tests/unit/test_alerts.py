"""Alert rules, dashboard, runbooks and the list of metrics name what the code has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import promtool

DOCS = Path(__file__).parents[2] / "docs"
RULES: list[dict[str, Any]] = yaml.safe_load((promtool.ALERTS / "sendcode.rules.yml").read_text())[
    "groups"
][0]["rules"]
RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
DASHBOARD = DOCS / "grafana" / "sendcode.json"
TEXTS = [promtool.ALERTS / "sendcode.rules.yml", DASHBOARD, DOCS / "metrics.md", *RUNBOOKS]
# A series without its labels; a page may leave the ending of a histogram out.
NAMED = re.compile(r"\bsendcode_[a-z_]+\b")
NAMES = promtool.names()
SHORT = {name.removesuffix("_count") for name in NAMES if name.endswith("_count")}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_metric_that_is_named_exists(path: Path) -> None:
    """No rule, panel or page looks at a metric that nothing writes."""
    found = set(NAMED.findall(path.read_text()))
    assert found <= NAMES | SHORT, found - NAMES - SHORT


def test_a_metric_that_is_none_is_seen() -> None:
    """The test above can fail."""
    assert {"sendcode_no_such_total"} == set(NAMED.findall("rate(sendcode_no_such_total[5m])"))
    assert "sendcode_no_such_total" not in NAMES | SHORT
    assert "sendcode_attempts_total" in NAMES


def test_every_metric_is_described() -> None:
    """docs/metrics.md has every metric, with its labels."""
    table = (DOCS / "metrics.md").read_text()
    for family in promtool.families():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert f"`{name}`" in table, name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_page_and_a_test(rule: dict[str, Any]) -> None:
    """An alert says how bad it is, names its runbook, and fires in a test of the rules."""
    page = DOCS.parent / rule["annotations"]["runbook"]
    assert page.read_text().startswith(f"# {rule['alert']}\n")
    assert rule["labels"]["severity"] in ("critical", "warning")
    tests = yaml.safe_load((promtool.ALERTS / "sendcode.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert [c for c in cases if c["alertname"] == rule["alert"] and c["exp_alerts"]]


def test_every_page_has_its_alert() -> None:
    """No runbook is left of an alert that is gone."""
    named = {rule["annotations"]["runbook"] for rule in RULES}
    assert {f"docs/runbooks/{path.name}" for path in RUNBOOKS} == named


def test_the_dashboard_can_be_imported() -> None:
    """Each panel has a number and a place of its own, a query, and the source that is chosen."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["expr"] for target in panel["targets"])


def test_the_tile_of_the_oldest_code_counts_no_heartbeats() -> None:
    """What waits in the relay's queue is no code, so the first tile leaves it out."""
    (tile,) = (
        panel
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        if panel["title"] == "Oldest waiting code"
    )
    (target,) = tile["targets"]
    assert target["expr"] == 'max(sendcode_queue_oldest_age_seconds{queue!="relay"})'


@pytest.mark.parametrize(
    "metric", ["sendcode_paused_since_timestamp_seconds", "sendcode_operator_actions_total"]
)
def test_the_dashboard_shows_what_people_did(metric: str) -> None:
    """A pause and an operator's action stand beside what they change."""
    assert metric in DASHBOARD.read_text()
