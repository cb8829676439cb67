"""The audit of pinned packages, through the real pip-audit, against advisories as the OSV service words them."""

import importlib.util
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".ci" / "audit.py"


def advisory(name, number, fixed, aliases=()):
    versions = [{"introduced": "0"}, {"fixed": fixed}]
    return {
        "id": number, "aliases": list(aliases), "summary": f"{name} is too trusting", "schema_version": "1.7.3",
        "published": "2019-04-10T14:30:24Z", "modified": "2024-11-18T16:26:08Z",
        "affected": [
            {
                "package": {"name": name, "ecosystem": "PyPI", "purl": f"pkg:pypi/{name}"},
                "ranges": [{"type": "ECOSYSTEM", "events": versions}],
                "versions": ["2.10"],
            }
        ],
    }  # fmt: skip


KNOWN = {
    ("jinja2", "2.10"): [advisory("jinja2", "GHSA-462w-v97r-4m45", "2.10.1", ["CVE-2019-10906", "PYSEC-2019-217"])],
    ("bad", "1.0"): [advisory("bad", "GHSA-aaaa-bbbb-cccc", "1.1", ["CVE-2026-1"])],
    ("harmless", "3.0"): [advisory("harmless", "PYSEC-2026-7", "4.0", ["CVE-2026-7"])],
    ("withdrawn", "1.0"): [{**advisory("withdrawn", "PYSEC-2026-9", "2.0"), "withdrawn": "2026-01-01T00:00:00Z"}],
}


class Osv(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = KNOWN.get((asked["package"]["name"], asked["version"]))
        body = json.dumps({"vulns": known} if known else {}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def osv():
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


@pytest.fixture
def audit(tmp_path):
    """Audit some pins: `audit(url, "bad==1.0", ignored={"CVE-2026-1": "why"})`."""

    def run(url, *pins, ignored=()):
        (tmp_path / "pins.txt").write_text("# a comment\n" + "\n".join(pins))
        entries = "\n".join(f"{json.dumps(name)} = {json.dumps(reason)}" for name, reason in dict(ignored).items())
        (tmp_path / "pyproject.toml").write_text(f"[tool.catalens.audit]\n{entries}\n")
        return subprocess.run(
            [sys.executable, SCRIPT, "pins.txt", "--service", "osv", "--osv-url", url, "--limit-s", "60"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_a_vulnerable_package_fails_unless_it_is_listed_with_a_reason(audit, osv):
    pins = ("good==1.0", "bad==1.0", "harmless==3.0", "withdrawn==1.0")
    done = audit(osv, *pins, ignored={"CVE-2026-7": "we never call it", "CVE-1999-1": "long gone"})
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "audit: bad 1.0: CVE-2026-1 GHSA-aaaa-bbbb-cccc; fixed in 1.1",
        "audit: harmless 3.0: PYSEC-2026-7 CVE-2026-7; fixed in 4.0; ignored: we never call it",
        "audit: CVE-1999-1 is ignored but was not found: take it out of pyproject.toml",
        "audit: 4 packages looked up",
    ]


def test_a_service_that_is_not_there_is_said_so_in_one_line_and_nothing_fails(audit):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        done = audit(f"http://127.0.0.1:{nobody.getsockname()[1]}/", "bad==1.0")
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert line == "audit: NOT DONE, no advisory service answered (osv: requests.exceptions.ConnectionError)"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("catalens_audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_an_entry_without_a_reason_is_refused_and_ours_have_one(script, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.catalens.audit]\n"CVE-2026-1" = " "\n')
    with pytest.raises(click.ClickException, match="CVE-2026-1 needs a reason"):
        script.ignored_ids(tmp_path / "pyproject.toml")
    assert all(script.ignored_ids(ROOT / "pyproject.toml").values())


def test_packages_that_a_service_does_not_know_are_named(script):
    report = {"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not there"}]}
    assert script.told(report, {}) == (["audit: 1 packages looked up, unknown: b"], True)


def test_what_is_good_and_what_is_listed_is_let_pass(script):
    fault = {"id": "PYSEC-2026-7", "aliases": ["CVE-2026-7"], "fix_versions": [], "description": "too trusting"}
    good, bad = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "2", "vulns": [fault]}
    assert script.told({"dependencies": [good]}, {})[1]
    assert not script.told({"dependencies": [good, bad]}, {})[1]
    assert script.told({"dependencies": [good, bad]}, {"PYSEC-2026-7": "we never call it"})[1]
    assert script.told({"dependencies": [bad]}, {})[0][0] == "audit: b 2: PYSEC-2026-7 CVE-2026-7; not fixed yet"


def test_a_service_that_never_answers_is_given_up(script, tmp_path):
    (tmp_path / "pins.txt").write_text("bad==1.0")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(script.NoAnswerError, match="no answer within"):
            script.audited(tmp_path / "pins.txt", "osv", url, 0.8)


def test_a_service_without_advisories_is_no_witness(script, osv, monkeypatch):
    monkeypatch.delitem(KNOWN, ("jinja2", "2.10"))
    with pytest.raises(script.NoAnswerError, match="it has no advisories"):
        script.warns("osv", osv, 240)


def test_pins_that_cannot_be_read_fail(script, osv, tmp_path):
    (tmp_path / "pins.txt").write_text("good>=1.0")
    with pytest.raises(click.ClickException, match=r"pip-audit failed: .*not pinned"):
        script.audited(tmp_path / "pins.txt", "osv", osv, 240)


def test_make_check_audits_what_make_setup_installs():
    makefile = (ROOT / "Makefile").read_text()
    assert ".ci/audit.py constraints-cpu.txt\n" in makefile[makefile.index("\ncheck:") : makefile.index("\nformat:")]
