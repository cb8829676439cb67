"""Code in the documentation: it parses, and names commands, options, settings, routes and fields that there are.

Running them is left to tests/integration/test_docs_blocks.py and, of `docs/clients.md`, test_recipes.py.
"""

import ast
import json
import re
import tomllib
from pathlib import Path

import click
import pytest

from benchmarks.__main__ import main as benchmarks
from demo.__main__ import main as demo
from indexer.__main__ import main as indexer
from models.__main__ import main as models
from service.__main__ import main as service
from service.settings import Settings, variable

ROOT = Path(__file__).parents[3]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
COMMANDS = {"benchmarks": benchmarks, "demo": demo, "indexer": indexer, "models": models, "service": service}
FIELDS = {variable(field): field for field in Settings.model_fields}
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
API = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def markdown(support):
    return support("markdown")


def blocks(markdown, page, *languages):
    return [block for block in markdown.blocks(ROOT / page) if block.language in languages]


def wrong_call(arguments):
    """What is wrong with the arguments of `python -m`; None if click would take them."""
    name, *rest = arguments
    if name not in COMMANDS:
        return None if name in {"pip", "pytest", "venv"} else f"no module {name}"
    command, context = COMMANDS[name], click.Context(COMMANDS[name], info_name=name)
    while True:
        try:
            given, left, _ = command.make_parser(context).parse_args(list(rest))
        except click.UsageError as error:
            return error.format_message()
        faults = _wrong_values(command, context, given)
        if faults or not isinstance(command, click.Group):
            return faults or (f"{left[0]} is too much" if left else None)
        if not left:
            return None if name == "service" or given.get("help") else "no command"
        if left[0] not in command.commands:
            return f"no command {left[0]}"
        command, rest = command.commands[left[0]], left[1:]
        context = click.Context(command, info_name=left[0], parent=context)


def _wrong_values(command, context, given):
    if given.get("help"):
        return None
    if command is service:
        Settings.model_validate(given)
    for parameter in command.params:
        value = given.get(parameter.name)
        if parameter.required and not parameter.envvar and value in (None, (), []):
            return f"{parameter.name} is missing"
        if isinstance(parameter.type, click.Choice | click.types.IntParamType | click.types.FloatParamType):
            for one in value if isinstance(value, list | tuple) else [value]:
                if isinstance(one, str) and "$" not in one:
                    try:
                        parameter.type.convert(one, parameter, context)
                    except click.UsageError as error:
                        return error.format_message()
    return None


def wrong_request(command):
    """What is wrong with a request to the API, by its OpenAPI document; None if nothing is."""
    url = next((word for word in command if re.match(r"(localhost:8080|\$REPLICA)/", word)), None)
    if url is None:
        return None
    path = re.sub(r"^[^/]*|\?.*$", "", url)
    body = next((command[n + 1] for n, word in enumerate(command) if word == "-d"), None)
    form = [command[n + 1].partition("=")[0] for n, word in enumerate(command) if word == "-F"]
    method = command[command.index("-X") + 1].lower() if "-X" in command else "post" if body or form else "get"
    routes = [route for route in API["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)]
    operations = [API["paths"][route][method] for route in routes if method in API["paths"][route]]
    if not operations:
        return f"no route {method} {path}"
    if body is None and not form:
        return None
    [content] = operations[0]["requestBody"]["content"].values()
    known = API["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]["properties"]
    unknown = {*(json.loads(body) if body else form)} - set(known)
    return f"{path} has no {sorted(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES)
def test_json_toml_and_python_parse(markdown, page):
    for block in blocks(markdown, page, "json"):
        json.loads(block.code)
    for block in blocks(markdown, page, "toml"):
        tomllib.loads(block.code)
    for block in blocks(markdown, page, "python"):
        compile(block.code, f"{page}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_what_language_they_are_in_if_somebody_may_paste_them(markdown, page):
    pasted = re.compile(r"^\s*(curl|make|docker|pip|\$|(\S+/)?python3?) ", flags=re.MULTILINE)
    assert [block.line for block in blocks(markdown, page, "") if pasted.search(block.code)] == []
    known = {"", "sh", "json", "toml", "python", "js", "promql", "{toctree}"}
    assert {block.language for block in markdown.blocks(ROOT / page)} <= known


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist_and_take_their_options(markdown, page):
    wrong = []
    for block in blocks(markdown, page, "sh"):
        for command in markdown.commands(block.code):
            if "-m" in command and re.search(r"(^|/)python3?$", command[command.index("-m") - 1]):
                wrong.append(wrong_call(command[command.index("-m") + 1 :]))
            if command[:1] == ["make"]:
                asked = [word for word in command[1:] if "=" not in word and word not in TARGETS]
                wrong += [f"no target {word}" for word in asked]
    assert [fault for fault in wrong if fault] == []


@pytest.mark.parametrize("page", PAGES)
def test_requests_fit_the_api(markdown, page):
    wrong = [wrong_request(command) for b in blocks(markdown, page, "sh") for command in markdown.commands(b.code)]
    assert [fault for fault in wrong if fault] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist(markdown, page):
    for span in markdown.spans(ROOT / page):
        found = re.match(r"(?:\S*python3? -m )(\w+)(.*)", span)
        if found and found[1] in COMMANDS:
            command = COMMANDS[found[1]]
            for word in found[2].split():
                if isinstance(command, click.Group) and word in command.commands:
                    command = command.commands[word]
                elif word.startswith("--") and word != "--help":
                    options = {flag for p in command.params for flag in [*p.opts, *p.secondary_opts]}
                    assert word.partition("=")[0] in options, span


@pytest.mark.parametrize("page", PAGES)
def test_variables_are_settings_and_take_their_values(markdown, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"\bCATALENS_[A-Z_]*[A-Z]\b", text)) <= set(FIELDS)
    code = [block.code for block in blocks(markdown, page, "sh")] + markdown.spans(ROOT / page)
    for name, value in re.findall(r"\b(CATALENS_[A-Z_]+)=([^\s`'\"]+)", "\n".join(code)):
        if "..." not in value:
            Settings.model_validate({FIELDS[name]: value})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("python -m indexer build --catalogue a.csv", None),
        ("X=1 .venv/bin/python -m indexer build \\\n  --catalogue a.csv --publish  # --nothing", None),
        ("python -m indexer build --catalog-ue a.csv", "--catalog-ue"),
        ("python -m indexer build", "catalogue is missing"),
        ("python -m indexer bild --catalogue a.csv", "no command bild"),
        ("python -m indexer build --catalogue a.csv more", "more is too much"),
        ("python -m demo generate --products many --out data/shop", "'many' is not a valid"),
        ("python -m service --port 8090", None),
        ("python -m servce", "no module servce"),
    ],
)
def test_what_is_wrong_with_a_command_is_told(markdown, line, told):
    [command] = [command for command in markdown.commands(line) if command]
    said = wrong_call(command[command.index("-m") + 1 :])
    assert said is told if told is None else told in said


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("""curl localhost:8080/v1/search -d '{"q": "a"}'""", None),
        ("""curl localhost:8080/v1/serch -d '{"q": "a"}'""", "no route post /v1/serch"),
        ("""curl localhost:8080/v1/search -d '{"query_text": "a"}'""", "query_text"),
        ("curl -X PUT localhost:8080/v1/bundles/rollback-x/activate", "no route put"),
        ("curl localhost:8080/v1/search/image -F picture=@a.jpg", "picture"),
    ],
)
def test_what_is_wrong_with_a_request_is_told(markdown, line, told):
    [command] = list(markdown.commands(line))
    said = wrong_request(command)
    assert said is told if told is None else told in said
