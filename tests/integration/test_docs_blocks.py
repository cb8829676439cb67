"""Every block of shell, JSON and TOML in the documentation, carried out, but for what a table says why it cannot be.

Blocks are run by bash as they stand, in a folder where all that the pages name is there, only small. Cut down, by rule:

- `localhost:8080` is a service of that small shop, and a bundle's id is that of one that is there and not current.
- Encoders by name are one without weights; `demo generate` makes a shop once, of six products.
- What else is asked for in large numbers is asked for in small ones.
- `python -m service` opens what it names, says that it is ready, and ends.
- `make` says what it would do (`-n`), and `docker compose` is held against its file.
- A block or a command that has been run, letter for letter, is not run again.

The blocks of docs/clients.md are run by test_recipes.py; queries of Prometheus are read where they stand.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, field
from itertools import dropwhile, pairwise, takewhile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from starlette.testclient import TestClient

import service.__main__ as serving
from benchmarks.__main__ import main as benchmarks
from demo.__main__ import main as demo
from indexer.__main__ import main as indexer
from indexer.bars import Bars
from indexer.bundle import Bundle
from models.__main__ import main as models
from models.capture.finder import InstanceFinder
from service.app import create_app
from service.beside import FILE as BESIDE
from service.beside import read_beside
from service.served import open_artefacts
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
RUN_ELSEWHERE = "docs/clients.md"
MODULES = {"benchmarks": benchmarks, "demo": demo, "indexer": indexer, "models": models, "service": serving.main}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

# A command is not run if it begins like one of these and has the options, or variables, that stand behind.
NOT_RUN = {
    "benchmarks": "measures for minutes",
    "models train": "trains for minutes",
    "models join": "joins what that training leaves; test_joined.py joins models",
    "models capture train": "trains for minutes",
    "models capture train-detector": "trains for minutes",
    "models capture train-head": "trains for minutes",
    "models capture evaluate": "needs what that training leaves",
    "models linking": "makes queries for minutes",
    "pytest": "is what runs this",
    "docker build": "needs Docker",
    "docker push": "needs Docker",
    "kubectl": "needs a cluster",
    "indexer build --engine ray": "needs a cluster of Ray; test_build_ray.py starts one",
    "indexer milvus": "needs Milvus; test_milvus.py has one",
    "service CATALENS_MILVUS_URI": "needs Milvus; test_milvus.py has one",
}
# What stands behind a command that has such a word.
FEWER = {"--made": ("--made", "20"), "cut": ("--limit", "2"), "classify": ("--largest", "3")}
_ID = re.compile(r"\b20\d{6}T\d+(Z-[0-9a-f]{8})?\b")
_LOGGED = '{"level":"warning","event":"log_unavailable"}\n'

pytestmark = pytest.mark.usefixtures("quick_builds")


def not_run(program, words):
    """The entry of the table that keeps a command from being run, if there is one; variables are words by name."""
    for entry in NOT_RUN:
        first, *stated = entry.split()
        names = list(takewhile(lambda word: word[0].islower(), stated))
        if program == first and words[: len(names)] == names and set(stated) <= set(words):
            return entry
    return None


def simple(command, variables=()):
    """The program or module of a simple command as the pages have it, and its words; None if it has none of ours."""
    words = list(dropwhile(re.compile(r"[A-Z_]+=|export$").match, command))
    if len(words) > 2 and re.search(r"(^|/)python3?$", words[0]):
        words = words[2:]
    return (words[0], [*words[1:], *variables]) if words else None


@dataclass(frozen=True)
class Desk:
    """Where blocks are run.

    Attributes:
        folder: Where they find all that they name.
        base: A data folder with two bundles, as it is laid there.
        live: That of the service.
        address: Where the service answers.
        shell: What runs blocks.
        printed: What commands have printed.
    """

    folder: Path
    base: Path
    live: Path
    address: str
    shell: object
    printed: dict = field(default_factory=dict)

    def fresh(self):
        """Lay the data folder anew, whatever a block has done to it."""
        shutil.rmtree(self.folder / "data" / "mine", ignore_errors=True)
        shutil.copytree(self.base, self.folder / "data" / "mine", symlinks=True)

    def here(self, code):
        """The block with the address and the ids of bundles that are there."""
        data = self.live if "/v1/bundles/" in code else self.folder / "data" / "mine"
        current = (data / "current").resolve().name
        other, *_ = sorted({path.name for path in (data / "bundles").iterdir()} - {current})
        ids = iter([other, current] if len({m[0] for m in _ID.finditer(code)}) > 1 else [other])
        known: dict[str, str] = {}
        code = _ID.sub(lambda m: known.get(m[0]) or known.setdefault(m[0], next(ids)), code)
        return re.sub(r"(http://)?localhost:8080", self.address, code)

    def run(self, code):
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        given = {"PATH": path, "HOME": str(self.folder), "REPLICA": self.address, "KEY": "none is asked for"}
        return self.shell.run(self.here(code), self.folder, given, self.answer)

    def answer(self, words, variables):
        """Do what a stand-in was asked for."""
        program, words = simple(words, variables)
        if not_run(program, words):
            return 0, ""
        if program in MODULES:
            return self.module(program, [word for word in words if word not in variables], variables)
        return getattr(self, program)(words)

    def module(self, name, words, variables):
        if "generate" in words:
            words = ["generate", "--products", "6", "--out", str(self.folder / "made")]
        command = (name, *words, *variables.items())
        if command not in self.printed:
            fewer = [part for word in words for part in FEWER.get(word, ())]
            done = CliRunner().invoke(MODULES[name], [*words, *fewer], env=variables)
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                raise done.exception
            assert done.exit_code == 0, done.output
            self.printed[command] = done.stdout
        return 0, self.printed[command]

    def make(self, words):
        done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return 0, ""

    def jq(self, words):
        """Say nothing: there is a stand-in only where the program is not installed."""
        assert words
        return 0, ""

    def pip(self, words):
        [wanted] = [word for word in words if "[" in word]
        assert re.search(r"\[(.+)\]", wanted)[1] in EXTRAS
        return 0, ""

    def docker(self, words):
        """Hold `docker compose` against its file; what runs in a container is run here."""
        assert words.pop(0) == "compose"
        profiles = {after for word, after in pairwise(words) if word == "--profile"}
        words = words[2 * len(profiles) :]
        command, *rest = [word for word in words if word not in {"-d", "--rm"}]
        assert command in {"up", "ps", "logs", "run"}, command
        if command == "run":
            service, *inner = rest
            self.answer([Path(inner[0]).name, *inner[1:]], {})
            rest = [service]
        for service in re.sub(r"--(tail|since) \S+", "", " ".join(rest)).split():
            needed = COMPOSE[service].get("profiles", [])
            assert not needed or profiles & set(needed), f"{service} is of {needed}"
        return 0, _LOGGED if command == "logs" else ""


@pytest.fixture(scope="module")
def markdown(support):
    return support("markdown")


@pytest.fixture(scope="module")
def encoder(weightless, support):
    """Whatever a page calls an encoder."""
    feeds = support("feeds")
    made = weightless(64, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    with pytest.MonkeyPatch.context() as patch:
        for place in ("models.checkpoint", "service.served"):
            patch.setattr(f"{place}.load_encoder", lambda *_: made)
        patch.setattr(serving, "serve", opened)
        yield made


def opened(settings):
    """Serve as `python -m service` does, for as long as it takes to say that it is ready."""
    encoder, bundle = open_artefacts(settings)
    with bundle, TestClient(create_app(settings, (encoder, bundle))) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def desk(encoder, support, markdown, tmp_path_factory):
    world, feeds, shell = support("small_world"), support("feeds"), support("shell")
    top = tmp_path_factory.mktemp("docs")
    rows, folder, base = world.rows_of(feeds), top / "desk", top / "base"
    shop = world.write_shop(top / "shop", feeds, rows)
    folder.mkdir()
    world.lay(folder, shop, rows, [path.read_text(encoding="utf-8") for path in markdown.pages().values()])
    for publication in ([], ["--recipe", "hnsw"]):
        words = ["build", "--catalogue", str(shop), "--data-dir", str(base), "--publish", *publication]
        done = CliRunner().invoke(indexer, words)
        assert done.exit_code == 0, done.output
    shutil.copy(shop / "catalogue.parquet", base / "catalogue.parquet")
    shutil.copytree(shop / "images", base / "images")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    words = ["evaluate", "--catalogue", str(shop), "--encoder", "pasted", "--split", "test"]
    assert CliRunner().invoke(models, [*words, "--save", str(folder / "runs" / "pasted" / "test")]).exit_code == 0
    programs = ["python", "python3", "make", "docker", "kubectl", "pip", *([] if shutil.which("jq") else ["jq"])]
    shell.stand_in(folder / ".venv" / "bin" / "python", *(folder / "bin" / name for name in programs))
    curl = folder / "bin" / "curl"
    curl.write_text(f'#!/bin/sh\nexec {shutil.which("curl")} --fail-with-body "$@"\n')
    curl.chmod(0o755)
    live = shutil.copytree(base, top / "live", symlinks=True)
    given = {"data_dir": live, "runtime": "torch"}
    finder = InstanceFinder(support("blobs").BlobDetector(), None, encoder, least_confidence=0.5, most=4)
    with Bundle.open((live / "current").resolve()) as bundle:
        app = create_app(Settings.model_validate(given), (encoder, bundle), finder=finder)
        with support("live").serving(app) as (host, port):
            desk = Desk(folder, base, live, f"http://{host}:{port}", shell)
            desk.fresh()
            yield desk


@pytest.fixture(scope="module")
def shells(markdown):
    """Each page's blocks of shell that no page before it has."""
    seen: set[str] = set()
    found = {}
    for page in PAGES:
        codes = [block.code for block in markdown.blocks(ROOT / page) if block.language == "sh"]
        found[page] = [code for code in codes if code not in seen and page != RUN_ELSEWHERE]
        seen |= set(found[page])
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if "```sh" in (ROOT / page).read_text(encoding="utf-8")])
def test_blocks_of_shell_run(desk, shells, page, monkeypatch):
    monkeypatch.chdir(desk.folder)
    desk.fresh()
    for code in shells[page]:
        ran = desk.run(code)
        assert ran.status == 0, f"{code}\n{ran.output}\n{ran.complaint}"
        assert not re.search(r'"status": ?[45]', ran.output), f"{code}\n{ran.output}"  # of an item, in a batch


@pytest.mark.parametrize(
    "code",
    [
        "curl -s localhost:8080/v1/search -H 'content-type: application/json' -d '{\"q\": \"\"}'",
        "curl -s localhost:8080/readyz | grep nothing",
        "python -m indexer build --catalogue nowhere.csv",
        "X=1 .venv/bin/python -m service --data-dir nowhere",
        "python -m indexer updates --data-dir data/mine --nothing | head -1",
        "make nothing",
        "docker compose up service-none",
        "docker compose up service-gpu",
        "pip install 'catalens[nothing]'",
        "nothing",
    ],
)
def test_what_does_not_work_is_told(desk, code, monkeypatch):
    """Each of these fails, or the blocks above prove nothing."""
    monkeypatch.chdir(desk.folder)
    with pytest.raises((AssertionError, KeyError)):
        assert desk.run(code).status == 0


def test_configuration_is_read(desk, markdown):
    """The pages' files are what they say they are, where they say that they lie."""
    found = {
        (page, block.language): block.code
        for page in PAGES
        for block in markdown.blocks(ROOT / page)
        if block.language in {"json", "toml"}
    }
    assert set(found) == {("docs/catalogue.md", "toml"), ("docs/gate.md", "toml"), ("docs/hot-swap.md", "json")}
    desk.fresh()
    mine = desk.folder / "data" / "mine"
    (mine / "gate.toml").write_text(found["docs/gate.md", "toml"])
    assert Bars.read(mine).sample == 512
    (mine / BESIDE).write_text(found["docs/hot-swap.md", "json"])
    [role] = read_beside(mine).values()
    assert (role.share, role.shadow) == (0.1, 0.5)
    mapping = desk.folder / "from-the-page.toml"
    mapping.write_text(found["docs/catalogue.md", "toml"])
    words = ["inspect", str(desk.folder / "products.csv"), "--mapping", str(mapping), "--json"]
    shown = json.loads(CliRunner().invoke(indexer, words).stdout)
    assert shown["mapping"]["defaults"] == {"currency": "EUR"}
    assert shown["products"] == shown["records"] > 0


def test_code_of_other_languages_is_on_the_page_that_is_run_elsewhere(markdown):
    others = {page for page in PAGES for block in markdown.blocks(ROOT / page) if block.language in {"js", "python"}}
    assert others == {RUN_ELSEWHERE}


def test_nothing_is_in_the_table_that_no_page_has(shells, markdown):
    kept = set()
    for code in (code for codes in shells.values() for code in codes):
        variables = re.findall(r"\bCATALENS_\w+", code)
        commands = [simple(command, variables) for command in markdown.commands(code)]
        kept |= {not_run(*command) for command in commands if command}
    assert kept - {None} == set(NOT_RUN)
