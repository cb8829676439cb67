"""Logs in one format whoever writes them, and metrics that parse."""

import json
import logging

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from service.settings import LogFormat, LogLevel
from service.telemetry import Metrics, configure_logging


@pytest.fixture
def logging_restored():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    before = structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    for name in ("catalens", "uvicorn"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.configure(**before)


def lines_of(capsys):
    return capsys.readouterr().err.splitlines()


def test_lines_of_all_loggers_are_json_with_the_request_id(capsys, logging_restored):
    configure_logging(LogLevel.INFO, LogFormat.JSON)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.stdlib.get_logger("catalens.test").info("hello", answer=42)
        logging.getLogger("uvicorn.error").warning("from %s", "elsewhere")
        structlog.stdlib.get_logger("catalens.test").debug("too fine")
        logging.getLogger("faiss.loader").info("chatter")
    first, second = map(json.loads, lines_of(capsys))
    assert (first["event"], first["answer"], first["level"], first["request_id"]) == ("hello", 42, "info", "r1")
    assert first["logger"] == "catalens.test"
    assert (second["event"], second["level"], second["request_id"]) == ("from elsewhere", "warning", "r1")
    assert first["timestamp"].endswith("Z")


def test_an_exception_is_one_line_of_json_without_local_variables(capsys, logging_restored):
    configure_logging(LogLevel.DEBUG, LogFormat.JSON)

    def fails(password):
        raise ValueError("boom")

    try:
        fails("hunter2")
    except ValueError:
        structlog.stdlib.get_logger("catalens.test").exception("failed")
    [line] = lines_of(capsys)
    assert "ValueError: boom" in json.loads(line)["exception"]
    assert "hunter2" not in line.replace('fails(\\"hunter2\\")', "")


def test_lines_for_a_console_can_be_read(capsys, logging_restored):
    configure_logging(LogLevel.WARNING, LogFormat.CONSOLE)
    structlog.stdlib.get_logger("catalens.test").warning("look", here=1)
    structlog.stdlib.get_logger("catalens.test").info("not this")
    [line] = lines_of(capsys)
    assert "look" in line
    assert "here" in line


def test_metrics_parse_and_the_served_index_replaces_the_one_before():
    metrics = Metrics()
    metrics.serving(bundle="one", model="m", fingerprint="f")
    metrics.serving(bundle="two", model="m", fingerprint="f")
    metrics.watch_products(lambda: 5)
    metrics.watch_depth("rank", lambda: 7)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    assert [sample.labels["bundle"] for sample in families["catalens_index_info"].samples] == ["two"]
    assert families["catalens_index_products"].samples[0].value == 5
    assert families["catalens_queue_depth"].samples[0].value == 7
    assert "process_resident_memory_bytes" in families
