"""The runbook has a section for each alert and no other, with what to look at; and alerts lead there."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
RUNBOOK = DOCS / "runbook.md"
SECTIONS = dict(
    re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
# Name, kind and labels of each metric; a test of the running service keeps that table true.
METRICS = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in re.findall(
        r"^\| `(catalens_\w+)` \| \w+ \|(.*?)\|", (DOCS / "observability.md").read_text(encoding="utf-8"), re.MULTILINE
    )
}
SERVICE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "service").rglob("*.py")))


def test_alerts_and_sections_are_the_same_in_the_same_order():
    assert list(SECTIONS) == list(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_section_says_what_it_means_where_to_look_and_what_to_do(alert):
    meaning, check, act = re.fullmatch(
        r"\n\*\*Meaning\.\*\* (.+)\n\n\*\*Check\.\*\*\n\n(.+)\n\n\*\*Act\.\*\*\n\n(.+)\n+", SECTIONS[alert], re.DOTALL
    ).groups()
    assert len(meaning) > 60
    assert re.match(r"```(sh|promql)\n", check)
    assert len(re.findall(r"^- ", act, re.MULTILINE)) >= 2


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_its_section_on_the_site(support, alert):
    page, _, anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")
    assert DOCS / page.replace(".html", ".md") == RUNBOOK
    assert anchor in support("markdown").anchors(RUNBOOK)
    assert anchor == alert.lower()


@pytest.mark.parametrize("alert", ALERTS)
def test_queries_ask_for_metrics_and_labels_that_there_are(support, alert):
    for query in re.findall(r"^```promql\n(.*?)^```", SECTIONS[alert], re.MULTILINE | re.DOTALL):
        parsed = support("promql").parse(query)
        known = {"instance", "job", "le"}
        for name, matchers in parsed.selectors:
            if name != "process_cpu_seconds_total":
                known |= METRICS[re.sub(r"_(bucket|count|sum)$", "", name)]
            assert {label for label, *_ in matchers} <= known
        assert parsed.selectors
        assert parsed.labels <= known


@pytest.mark.parametrize("alert", ALERTS)
def test_what_is_looked_for_in_the_log_is_written_there(alert):
    lines = re.findall(r"\b[a-z]+_[a-z_]+\b", " ".join(re.findall(r"grep -E '([^']*)'", SECTIONS[alert])))
    assert [line for line in lines if f'"{line}"' not in SERVICE] == []
