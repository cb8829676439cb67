"""The manifests: what Kubernetes' schemas, the settings, the routes and the commands themselves say of them."""

import json
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from demo.__main__ import main as demo
from indexer.__main__ import main as indexer
from service.__main__ import main as service
from service.auth import KeyRing, read_keys
from service.errors import StartupError
from service.settings import Anonymous, load_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
APART = {"demo-shop.yaml", "servicemonitor.yaml"}  # applied by hand
FILES = [*KUSTOMIZATION["resources"], *sorted(APART)]
OBJECTS = [(name, found) for name in FILES for found in yaml.safe_load_all((FOLDER / name).read_text())]
KNOWN = [found for _, found in OBJECTS if found["kind"] != "ServiceMonitor"]  # which an operator defines
COMMANDS = {"indexer": indexer, "demo": demo, "service": service}
ROUTES = set(json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"])  # kept so by a test
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def objects(kind):
    return {found["metadata"]["name"]: found for _, found in OBJECTS if found["kind"] == kind}


def pod_of(found):
    spec = found["spec"]
    spec = spec["jobTemplate"]["spec"] if found["kind"] == "CronJob" else spec
    return spec["template"]


DEPLOYMENT = objects("Deployment")["catalens"]
PODS = {
    found["metadata"]["name"]: pod_of(found)
    for _, found in OBJECTS
    if found["kind"] in {"Deployment", "StatefulSet", "CronJob", "Job"}
}
CONTAINERS = {
    f"{pod}/{container['name']}": (PODS[pod]["spec"], container)
    for pod in PODS
    for container in [*PODS[pod]["spec"].get("initContainers", []), *PODS[pod]["spec"]["containers"]]
}
OURS = {name: stated for name, stated in CONTAINERS.items() if "catalens" in stated[1]["image"]}
SERVICE = CONTAINERS["catalens/service"][1]


def environment(container):
    return {variable["name"]: variable["value"] for variable in container.get("env", [])}


def settings_of(container, monkeypatch, **more):
    for name, value in {**environment(container), **more}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_every_file_is_applied_or_said_to_be_apart():
    assert {path.name for path in FOLDER.glob("*.yaml")} == {"kustomization.yaml", *FILES}
    assert not APART & set(KUSTOMIZATION["resources"])
    assert KUSTOMIZATION["namespace"] in objects("Namespace")


@pytest.mark.parametrize("version", ["1.27", "1.37"])
@pytest.mark.parametrize("found", KNOWN, ids=lambda found: f"{found['kind']}-{found['metadata']['name']}")
def test_an_object_is_what_the_schema_of_a_release_allows(found, version):
    assert kubernetes_validate.validate(found, version, strict=True) == version


def test_the_schemas_allow_not_everything():
    wrong = json.loads(json.dumps(DEPLOYMENT))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


@pytest.mark.parametrize("name", CONTAINERS)
def test_images_are_pinned(name):
    image = CONTAINERS[name][1]["image"]
    replaced = {stated["name"]: f"{stated['newName']}:{stated['newTag']}" for stated in KUSTOMIZATION["images"]}
    assert re.search(r":\d+\.\d+\.\d+(-alpine)?$", replaced.get(image, image))


def test_the_image_is_of_this_release_and_redis_is_that_of_compose():
    [stated] = KUSTOMIZATION["images"]
    assert f'version = "{stated["newTag"]}"' in (ROOT / "pyproject.toml").read_text()
    redis = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]
    container = CONTAINERS["redis/redis"][1]
    assert container["image"] == redis["image"]
    assert " ".join(container["args"]).split() == redis["command"].replace('""', "").split()


@pytest.mark.parametrize("name", CONTAINERS)
def test_nothing_runs_as_root_writes_the_image_or_takes_more_memory_than_it_says(name):
    pod, container = CONTAINERS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert {"cpu", "memory"} == set(container["resources"]["requests"])
    assert set(container["resources"]["limits"]) == {"memory"}
    assert {mount["name"] for mount in container["volumeMounts"]} <= {
        *(volume["name"] for volume in pod.get("volumes", [])),
        *(claim["metadata"]["name"] for claim in objects("StatefulSet")["redis"]["spec"]["volumeClaimTemplates"]),
    }


@pytest.mark.parametrize("name", OURS)
def test_ours_run_as_the_user_of_the_image(name):
    [uid] = re.findall(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert OURS[name][0]["securityContext"]["runAsUser"] == int(uid)
    assert OURS[name][0]["securityContext"]["fsGroup"] == int(uid)


@pytest.mark.parametrize("name", [name for name in OURS if name != "catalens/wait-for-index"])
def test_a_command_takes_its_arguments(name, monkeypatch):
    container = OURS[name][1]
    python, flag, module, *args = [*container["command"], *container.get("args", [])]
    assert (python, flag) == ("/app/.venv/bin/python", "-m")
    for key, value in environment(container).items():
        monkeypatch.setenv(key, value)
    # What lies in volumes is not here: any file will do.
    args = [arg.replace("/feed/catalogue.parquet", __file__) for arg in args]
    command = COMMANDS[module]
    if args:
        command, args = command.commands[args[0]], args[1:]
    stated = command.make_context(module, args).params
    if module == "indexer":
        assert stated["publish_it"]
        assert stated["data_dir"] == Path("/app/data/index")


def test_the_wait_ends_with_the_first_index(tmp_path):
    [shell, flag, script] = CONTAINERS["catalens/wait-for-index"][1]["command"]
    folder = environment(SERVICE)["CATALENS_DATA_DIR"]
    assert f"{folder}/current" in script
    here = script.replace(folder, str(tmp_path)).replace("sleep 2", "sleep 0.05")
    waiting = subprocess.Popen([shell, flag, here])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=0.2)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "current").symlink_to("bundle")
    assert waiting.wait(timeout=5) == 0


def test_the_settings_accept_the_environment_and_only_searching_is_open(monkeypatch):
    settings = settings_of(SERVICE, monkeypatch)
    assert settings.anonymous is Anonymous.SEARCH
    assert settings.host == "0.0.0.0"
    index = environment(CONTAINERS["catalens-index/index"][1])
    assert {name: value for name, value in index.items() if name.startswith("CATALENS_")}.items() <= environment(
        SERVICE
    ).items()
    redis = objects("Service")["redis"]
    assert settings.redis_url.get_secret_value() == f"redis://redis:{redis['spec']['ports'][0]['port']}/0"


@pytest.mark.parametrize("name", PODS)
def test_the_variables_that_kubernetes_makes_of_services_are_kept_out(name):
    assert PODS[name]["spec"]["enableServiceLinks"] is False


def test_those_variables_would_end_the_start(monkeypatch):
    name = next(name for name in objects("Service") if name != "redis").upper()
    with pytest.raises(StartupError, match=f"unknown setting {name}_SERVICE_HOST"):
        settings_of(SERVICE, monkeypatch, **{f"{name}_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize("probe", PROBES)
def test_probes_ask_routes_at_the_port_that_is_listened_on(probe, monkeypatch):
    asked = SERVICE[probe]["httpGet"]
    assert asked["path"] in ROUTES
    assert asked["path"] == ("/readyz" if probe == "readinessProbe" else "/livez")
    ports = {port["name"]: port["containerPort"] for port in SERVICE["ports"]}
    assert ports[asked["port"]] == settings_of(SERVICE, monkeypatch).port


def test_the_service_and_its_monitor_lead_to_the_pods():
    for name, found in objects("Service").items():
        chosen = PODS[name]
        assert found["spec"]["selector"].items() <= chosen["metadata"]["labels"].items()
        named = {port["name"] for port in chosen["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in found["spec"]["ports"]} <= named
    monitor = objects("ServiceMonitor")["catalens"]["spec"]
    shop = objects("Service")["catalens"]
    assert monitor["selector"]["matchLabels"].items() <= shop["metadata"]["labels"].items()
    [endpoint] = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in shop["spec"]["ports"]}
    assert endpoint["path"] in ROUTES
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    assert set(re.findall(r'job="(\w+)"', alerts)) == {shop["metadata"]["name"]}


def test_an_update_takes_no_replica_away_before_its_successor_is_ready():
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"].items() <= labels.items()
    budget = objects("PodDisruptionBudget")["catalens"]["spec"]
    assert budget["selector"] == DEPLOYMENT["spec"]["selector"]
    scaler = objects("HorizontalPodAutoscaler")["catalens"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    assert "replicas" not in DEPLOYMENT["spec"]
    assert scaler["minReplicas"] > budget["maxUnavailable"]


def test_a_replica_answers_until_everyone_knows_that_it_goes_and_is_not_killed_before(monkeypatch):
    settings = settings_of(SERVICE, monkeypatch)
    probe = SERVICE["readinessProbe"]
    known_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert settings.drain_ms >= 2_000 * known_s
    grace_s = DEPLOYMENT["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s * 1000 > settings.drain_ms + settings.shutdown_timeout_ms
    assert settings.ready_cache_ms <= probe["periodSeconds"] * 1000


def test_what_is_claimed_is_there_and_shared():
    claims = objects("PersistentVolumeClaim")
    for pod in PODS.values():
        for volume in pod["spec"].get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert "ReadWriteMany" in claims[volume["persistentVolumeClaim"]["claimName"]]["spec"]["accessModes"]


def test_the_keys_are_a_file_that_closes_all_but_searching():
    [secret] = KUSTOMIZATION["secretGenerator"]
    assert KUSTOMIZATION["generatorOptions"]["disableNameSuffixHash"]
    [volume] = [v for v in DEPLOYMENT["spec"]["template"]["spec"]["volumes"] if "secret" in v]
    assert volume["secret"]["secretName"] == secret["name"]
    [mount] = [mount for mount in SERVICE["volumeMounts"] if mount["name"] == volume["name"]]
    [name] = secret["files"]
    assert environment(SERVICE)["CATALENS_KEYS_FILE"] == f"{mount['mountPath']}/{name}"
    assert read_keys(FOLDER / name) == ()
    assert KeyRing(FOLDER / name).guarded


def test_only_catalens_reaches_redis():
    policy = objects("NetworkPolicy")["redis"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= PODS["redis"]["metadata"]["labels"].items()
    [[allowed]] = [rule["from"] for rule in policy["ingress"]]
    for name in set(PODS) - {"redis"}:
        assert allowed["podSelector"]["matchLabels"].items() <= PODS[name]["metadata"]["labels"].items()
