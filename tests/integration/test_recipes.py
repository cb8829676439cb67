"""Every code block of docs/clients.md, run as it is written, against a service of the small shop.

What the page takes for granted is put there first: a product of the demo shop, and a picture `photo.jpg`. Blocks of
one language go on from one another, as they would where somebody pastes them.
"""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from catalens_client import Catalens

ROOT = Path(__file__).parents[2]
JS = ROOT / "clients" / "js"
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
NODE = shutil.which("node")
WORKING_S = 120

# What a page with InstantSearch's script has, and what is looked at once the widgets have been told to start.
_IN_A_PAGE = """
import { createRequire } from "node:module";
const require = createRequire(JS + "/test/");
const { JSDOM } = require("jsdom");
const ids = ["searchbox", "brands", "prices", "sort", "hits", "pages"];
const { window } = new JSDOM(ids.map((id) => `<div id="${id}"></div>`).join(""), { url: "http://shop.test/" });
for (const name of ["window", "document", "HTMLElement", "location"]) globalThis[name] = window[name];
globalThis.instantsearch = require("instantsearch.js/dist/instantsearch.production.min.js");
"""
_LOOKED_AT = """
for (let n = 0; n < 2000 && !document.querySelector("#hits img"); n += 1) await new Promise((r) => setTimeout(r, 10));
console.log(document.querySelectorAll("#hits img").length, document.querySelectorAll("#brands label").length);
process.exit(0);
"""


def blocks(language):
    """The code of the page's blocks of a language, in order."""
    return [code for stated, code in BLOCKS if stated == language]


@pytest.fixture(scope="module")
def address(shop, bundle, support, tmp_path_factory):
    shops, live = support("live_shop"), support("live")
    folder = shops.settle(shop, tmp_path_factory.mktemp("recipes") / "data")
    with shops.open_shop(live, shop, bundle, folder) as address:
        data = base64.b64encode(shop.picture("images/p1-0.jpg")).decode()
        known = {"id": "s7-000001", "title": "Red striped shirt", "brand": "Ember", "category": "dress", "group": "g1"}
        stated = {
            **known,
            "price": 30.0,
            "currency": "USD",
            "in_stock": True,
            "images": [f"data:image/jpeg;base64,{data}"],
        }
        with Catalens(address) as catalens:
            assert catalens.put([stated], wait=True)["stored"] == 1
        yield address


@pytest.fixture
def desk(shop, tmp_path, monkeypatch):
    """Where somebody tries the page out: a picture and the JavaScript clients are at hand."""
    (tmp_path / "photo.jpg").write_bytes(shop.picture("images/p9-0.jpg"))
    for module in ("catalens.js", "instantsearch.js"):
        shutil.copy(JS / module, tmp_path / module)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def here(code, address):
    return re.sub(r"(http://)?localhost:8080", address, code)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=WORKING_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(text):
    """The JSON documents that follow one another in `text`."""
    decoder, found = json.JSONDecoder(), []
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def test_there_is_nothing_but_code_that_is_run():
    assert {language for language, _ in BLOCKS} == {"sh", "js", "python"}
    assert PAGE.count("```") == 2 * len(BLOCKS)
    assert min(len(blocks(language)) for language in ("sh", "js", "python")) >= 6


@pytest.mark.parametrize("code", blocks("sh"), ids=lambda code: re.search(r"8080(/[\w/.-]+)", code)[1])
def test_shell(code, address, desk):
    answers = documents(run("bash", "-eu", "-c", here(code, address)))
    assert len(answers) == code.count("curl ")
    refused = [answer["errors"][0]["path"] for answer in answers if str(answer.get("type", "")).startswith("urn:")]
    assert refused == (["limit"] if '"limit": 0' in code else [])
    assert all(item["status"] == 200 for answer in answers for item in answer.get("results", ()))


def test_python(address, desk, capsys):
    names = {}
    for code in blocks("python"):
        exec(compile(here(code, address), "docs/clients.md", "exec"), names)
        assert capsys.readouterr().out.strip(), code
    names["catalens"].close()
    assert names["like"]["hits"][0]["id"] == "p9"
    assert names["changed"]["stored"] == 2


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_javascript(address, desk):
    plain = [code for code in blocks("js") if "instantsearch" not in code]
    (desk / "plain.js").write_text(here("\n".join(plain), address))
    said = run(NODE, "plain.js")
    assert "/v1/products/p9/images/0" in said
    assert "urn:catalens:problem:invalid-request" in said


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.skipif(not (JS / "node_modules" / "instantsearch.js").is_dir(), reason="run `make clients` once")
def test_instantsearch(address, desk):
    first, *_, widgets = blocks("js")
    (desk / "page.js").write_text(f"const JS = {json.dumps(str(JS))};{_IN_A_PAGE}")
    (desk / "shop.js").write_text('import "./page.js";\n' + here(first + widgets, address) + _LOOKED_AT)
    pictures, brands = map(int, run(NODE, "shop.js").splitlines()[-1].split())
    assert pictures == 24
    assert brands >= 5
