"""The compose file: what starts with and without profiles, in what order, and what outlives it.

What it has in common with the Makefile and the settings is in test_packaging.py, monitoring's files in test_deploy.py.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from indexer.__main__ import main as indexer
from service.settings import Settings, load_settings, variable

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVING = [name for name, service in SERVICES.items() if service.get("command") == ["make", "serve"]]
TAKEN = [name for name, service in SERVICES.items() if "build" not in service]


def started(*profiles):
    return {n for n, service in SERVICES.items() if not service.get("profiles") or {*service["profiles"]} & {*profiles}}


def seconds(stated):
    return int(re.fullmatch(r"(\d+)s", stated)[1])


def read(stated):
    """Read a compose file by its specification; merges of YAML are done before, as compose does them."""
    return PyCompose.from_json(json.dumps(stated))


def test_the_file_is_what_the_specification_allows():
    assert set(read(COMPOSE).service_names()) == set(SERVICES)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"restrt": "always"}, "extension key `restrt`"),
        ({"stop_grace_period": "soon"}, "duration `soon`"),
        ({"depends_on": {"redis": {"condition": "there"}}}, "unknown variant `there`"),
    ],
)
def test_the_specification_allows_not_everything(wrong, said):
    with pytest.raises(ValueError, match=said):
        read({"services": {"redis": {"image": "redis"}, "service": {"image": "catalens", **wrong}}})


def test_up_is_the_whole_demo_and_profiles_add_to_it():
    demo = {"redis", "index", "service", "prometheus", "grafana"}
    assert started() == demo
    assert started("gpu") - demo == {"service-gpu"}
    assert started("milvus") - demo == {"service-milvus", "milvus", "milvus-etcd", "milvus-minio"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_starts_with_it_and_says_of_its_health(name):
    service = SERVICES[name]
    for other, wait in service.get("depends_on", {}).items():
        assert other in started(*service.get("profiles", []))
        assert wait["condition"] == ("service_completed_successfully" if other == "index" else "service_healthy")
    checked = service.get("healthcheck", {"test": "HEALTHCHECK" in DOCKERFILE and "build" in service})
    assert checked.get("disable") if name == "index" else checked["test"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "index"])
def test_what_runs_on_is_started_again(name):
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", TAKEN)
def test_images_of_others_are_pinned_to_a_release(name):
    assert re.search(r":(v?\d+\.\d+\.\d+(-alpine)?|RELEASE\.[\dTZ-]+)$", SERVICES[name]["image"])


def test_images_that_differ_in_what_is_installed_have_names_of_their_own():
    built = {service["image"]: service["build"]["args"] for service in SERVICES.values() if "build" in service}
    kinds = [(args["HARDWARE"], args.get("EXTRAS")) for args in built.values()]
    assert len(set(kinds)) == len(kinds) == 3
    for args in built.values():
        assert all(f"ARG {name}" in DOCKERFILE for name in args)


def test_the_extras_of_an_image_are_the_projects():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    stated = [args for service in SERVICES.values() if (args := service.get("build", {}).get("args"))]
    assert {args["HARDWARE"] for args in stated} == {"cpu", "gpu"}
    assert {args["HARDWARE"] for args in stated} | {a["EXTRAS"] for a in stated if "EXTRAS" in a} <= set(extras)


@pytest.mark.parametrize("name", SERVING)
def test_the_settings_accept_the_environment(name, monkeypatch):
    for key, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    assert variable("milvus_uri") in SERVICES[name]["environment"] or settings.milvus_uri is None
    assert settings.redis_url.get_secret_value() == "redis://redis:6379/0"


def test_the_shop_in_milvus_finds_the_milvus_of_compose():
    host, port = re.fullmatch(
        r"http://([\w-]+):(\d+)", SERVICES["service-milvus"]["environment"]["CATALENS_MILVUS_URI"]
    ).groups()
    assert SERVICES[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    for setting, inside in {"ETCD_ENDPOINTS": 2379, "MINIO_ADDRESS": 9000}.items():
        other, stated = SERVICES[host]["environment"][setting].split(":")
        assert other in SERVICES[host]["depends_on"]
        assert int(stated) == inside
    assert "http://milvus-etcd:2379" in SERVICES["milvus-etcd"]["command"]


@pytest.mark.parametrize("name", SERVING)
def test_stopping_leaves_time_to_drain_and_to_finish(name):
    fields = Settings.model_fields
    needed_ms = fields["drain_ms"].default + fields["shutdown_timeout_ms"].default
    assert seconds(SERVICES[name]["stop_grace_period"]) * 1000 > needed_ms


def test_ports_are_taken_once_and_only_shops_face_the_network():
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    outside = [port.rsplit(":", 2)[-2] for stated in ports.values() for port in stated]
    assert len(set(outside)) == len(outside)
    assert {name for name, stated in ports.items() for port in stated if not port.startswith("127.0.0.1:")} == {
        *SERVING
    }


@pytest.mark.parametrize(
    ("name", "folder"),
    {
        "redis": "/data", "service": "/app/data", "service-gpu": "/app/data", "service-milvus": "/app/data",
        "prometheus": "/prometheus", "grafana": "/var/lib/grafana", "milvus": "/var/lib/milvus", "milvus-etcd": "/etcd",
        "milvus-minio": "/minio_data",
    }.items(),
)  # fmt: skip
def test_what_is_kept_lies_in_a_volume_that_survives(name, folder):
    [volume] = [v.split(":")[0] for v in SERVICES[name]["volumes"] if v.split(":")[1] == folder]
    assert volume in COMPOSE["volumes"]
    stated = SERVICES[name].get("command", "")
    said = re.findall(r"(?:--data-dir=|minio server )(\S+)", stated if isinstance(stated, str) else "")
    assert said in ([], [folder])


def test_the_heads_own_commands_are_commands():
    said = re.findall(r"^# (docker compose .*?)(?:  .*)?$", TEXT, flags=re.MULTILINE)
    assert len(said) == 5
    for words in map(str.split, said):
        profiles = [words[i + 1] for i, word in enumerate(words) if word == "--profile"]
        named = [word for word in words[words.index(*{"up", "run"} & {*words}) + 1 :] if word in SERVICES]
        assert {*named} <= started(*profiles)
        if "indexer" in words:
            name, *args = words[words.index("indexer") + 1 :]
            group = indexer.get_command(None, name)
            environment = SERVICES["service-milvus"]["environment"]
            push = group.get_command(None, args[0])
            push.make_context("push", [*args[1:], f"--uri={environment['CATALENS_MILVUS_URI']}"])
