"""What is deployed to watch the service: files that belong together, alerts one can act on, panels one can read."""

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "catalens.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
GUIDE = (ROOT / "docs" / "observability.md").read_text()


def mounts(service):
    return {inside: ROOT / outside for outside, inside, *_ in (m.split(":") for m in COMPOSE[service]["volumes"])}


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_monitoring_starts_with_the_shop_on_this_machine_alone_and_cannot_change_its_files(service):
    assert "profiles" not in COMPOSE[service]
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE[service]["ports"])
    assert all(m.endswith(":ro") for m in COMPOSE[service]["volumes"] if m.startswith("./"))
    assert re.search(r":v?\d+\.\d+\.\d+$", COMPOSE[service]["image"])


def test_prometheus_reads_its_rules_and_every_service_of_compose():
    folder = mounts("prometheus")["/etc/prometheus"]
    assert all((folder / name).is_file() for name in PROMETHEUS["rule_files"])
    [job] = PROMETHEUS["scrape_configs"]
    [found] = job["dns_sd_configs"]
    serving = {name for name, service in COMPOSE.items() if service.get("command") == ["make", "serve"]}
    assert set(found["names"]) == serving
    assert found["port"] == Settings.model_fields["port"].default
    assert job["job_name"] == "catalens"


def test_grafana_finds_its_data_source_and_its_dashboards():
    inside = mounts("grafana")
    provisioning = inside["/etc/grafana/provisioning"]
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()
    assert COMPOSE[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert source["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]
    [provider] = yaml.safe_load((provisioning / "dashboards" / "catalens.yml").read_text())["providers"]
    home = COMPOSE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/catalens.json"
    assert (inside[provider["options"]["path"]] / "catalens.json").is_file()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_the_guide_what_to_do(alert):
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"\d+m", alert["for"])
    assert alert["annotations"]["summary"].endswith(".")
    assert "{{ $" in alert["annotations"]["description"]
    assert re.search(rf"^\| `{alert['alert']}` \| {alert['labels']['severity']} \| .{{40,}} \|$", GUIDE, re.MULTILINE)


def test_there_are_no_other_alerts_in_the_guide():
    assert set(re.findall(r"^\| `(Catalens\w+)` ", GUIDE, re.MULTILINE)) == {alert["alert"] for alert in ALERTS}
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_can_be_read_by_somebody_who_has_just_been_woken(panel):
    assert len(panel["description"]) > 10
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert "$instance" in target["expr"]


def test_panels_stand_in_rows_beside_each_other():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for row in ROWS:
        below = [place for place in places if place["y"] == row["gridPos"]["y"] + 1]
        assert sum(place["w"] for place in below) == 24, row["title"]


def test_the_dashboard_asks_for_its_data_source_and_its_replicas():
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["instance"]["includeAll"]
    assert DASHBOARD["schemaVersion"] >= 39
    assert "id" not in DASHBOARD
