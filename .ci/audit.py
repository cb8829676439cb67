"""Fails if a pinned package has a known vulnerability: pip-audit over the constraints, fit for a machine without a net.

pip-audit ends well when a service knows none of the packages, as a mirror may that has no advisories, and ends as with
a finding when there is no service. So each service is first asked for a package that is known to be vulnerable; where
it does not say so the next is asked, and when none does one line tells. A finding that does no harm here is listed in
pyproject.toml, with the reason, under [tool.catalens.audit].
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_LIMIT_S = 20.0
_SOCKET_S = 5
_NO_SERVICE = re.compile(r"^requests\.exceptions\.|_service\.interface\.|your network may be blocking this service")
_KNOWN = "jinja2==2.10"  # CVE-2019-10906


@dataclass(frozen=True)
class Finding:
    """One known vulnerability of one package."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        fixed = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed yet"
        return f"{self.package} {self.version}: {' '.join(self.ids)}; {fixed}"


class NoAnswerError(Exception):
    """A service did not say whether the packages are good."""


def audited(pins: Path, service: str, osv_url: str | None, limit_s: float) -> Mapping[str, Any]:
    """Return pip-audit's report on the packages that `pins` names.

    Raises:
        NoAnswerError: the service did not answer within `limit_s` seconds.
    """
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(_SOCKET_S), "-s", service]
    if osv_url is not None:
        command += ["--osv-url", osv_url]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)  # noqa: S603 - ours
        report: Mapping[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        msg = f"no answer within {limit_s:.0f} s"
        raise NoAnswerError(msg) from None
    except json.JSONDecodeError:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if not _NO_SERVICE.search(said):
            raise click.ClickException(f"pip-audit failed: {said}") from None
        raise NoAnswerError(said.partition(": ")[0]) from None
    return report


def warns(service: str, osv_url: str | None, limit_s: float) -> None:
    """Make sure that a service tells of a vulnerability that has been known for years.

    Raises:
        NoAnswerError: it does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "known.txt"
        pins.write_text(f"{_KNOWN}\n", encoding="utf-8")
        if not findings(audited(pins, service, osv_url, limit_s)):
            msg = "it has no advisories"
            raise NoAnswerError(msg)


def findings(report: Mapping[str, Any]) -> list[Finding]:
    """Return what a report found."""
    return [
        Finding(
            package["name"], package["version"], (fault["id"], *fault.get("aliases", ())), tuple(fault["fix_versions"])
        )
        for package in report["dependencies"]
        for fault in package.get("vulns", ())
    ]


def ignored_ids(pyproject: Path) -> Mapping[str, str]:
    """Return the ids that are not to fail, each with the reason.

    Raises:
        click.ClickException: one has no reason.
    """
    stated: dict[str, str] = (
        tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {}).get("catalens", {}).get("audit", {})
    )
    for name, reason in stated.items():
        if not isinstance(reason, str) or not reason.strip():
            raise click.ClickException(f"{pyproject}: [tool.catalens.audit] {name} needs a reason")
    return stated


def told(report: Mapping[str, Any], ignored: Mapping[str, str]) -> tuple[list[str], bool]:
    """Return what to say of a report, and whether nothing in it must be mended."""
    lines, good, met = [], True, set[str]()
    for finding in findings(report):
        known = [name for name in finding.ids if name in ignored]
        met.update(known)
        good = good and bool(known)
        lines.append(f"audit: {finding}" + (f"; ignored: {ignored[known[0]]}" if known else ""))
    lines += [
        f"audit: {name} is ignored but was not found: take it out of pyproject.toml"
        for name in ignored
        if name not in met
    ]
    packages = report["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines.append(
        f"audit: {len(packages) - len(skipped)} packages looked up"
        + (f", unknown: {', '.join(skipped)}" if skipped else "")
    )
    return lines, good


@click.command()
@click.argument("pins", type=click.Path(exists=True, path_type=Path))
@click.option("--pyproject", type=click.Path(exists=True, path_type=Path), default="pyproject.toml", show_default=True)
@click.option("--service", "services", multiple=True, default=("pypi", "osv"), show_default=True, help="In this order.")
@click.option("--osv-url", help="Another address of the OSV service.")
@click.option("--limit-s", default=_LIMIT_S, show_default=True, help="Seconds for all services together.")
def main(pins: Path, pyproject: Path, services: Sequence[str], osv_url: str | None, limit_s: float) -> None:
    """Look the packages of PINS up, and fail if one has a known vulnerability."""
    ignored = ignored_ids(pyproject)
    due = time.monotonic() + limit_s
    silent = []
    for service in services:
        try:
            warns(service, osv_url, max(due - time.monotonic(), 0.0))
            report = audited(pins, service, osv_url, max(due - time.monotonic(), 0.0))
        except NoAnswerError as error:
            silent.append(f"{service}: {error}")
            continue
        lines, good = told(report, ignored)
        click.echo("\n".join(lines))
        sys.exit(not good)
    click.echo(f"audit: NOT DONE, no advisory service answered ({'; '.join(silent)})")


if __name__ == "__main__":
    main()
