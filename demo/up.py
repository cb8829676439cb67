"""Serve the demo shop and ask it a first question, so that a newcomer sees an answer and not only a port.

Generating the shop and indexing it are left to their own commands; this one starts `python -m service` as a
child, waits until it is ready, searches, prints what came back, and stays until Ctrl-C.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import click
import httpx

FIRST_QUERY = "red striped t-shirt"
READY_POLL_S = 0.2


class DemoError(click.ClickException):
    """The demo cannot go on; the message says what to do."""


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--encoder", default="mini", show_default=True, help="Encoder the bundle was built with.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--query", default=FIRST_QUERY, show_default=True, help="Words of the first search.")
@click.option("--timeout-s", default=120.0, show_default=True, help="Seconds to wait until the service is ready.")
@click.option("--check", is_flag=True, help="Leave after the first search instead of serving on.")
def up(data_dir: Path, encoder: str, host: str, port: int, query: str, timeout_s: float, *, check: bool) -> None:
    """Serve the bundle in DATA_DIR and print the answer to a first search."""
    base = f"http://{host}:{port}"
    command = [sys.executable, "-m", "service", "--data-dir", str(data_dir), "--encoder", encoder]
    with subprocess.Popen([*command, "--host", host, "--port", str(port), "--log-level", "warning"]) as server:
        try:
            wait_until_ready(server, base, timeout_s)
            show_first_search(base, query)
            if not check:
                forward_sigterm(server)
                server.wait()
        except KeyboardInterrupt:
            click.echo("stopping")
        finally:
            stop(server)
    if not check and server.returncode not in {0, -signal.SIGTERM, -signal.SIGINT}:
        msg = f"the service ended with exit status {server.returncode}"
        raise DemoError(msg)


def wait_until_ready(server: "subprocess.Popen[bytes]", base: str, timeout_s: float) -> None:
    """Return once `base`/readyz answers 200.

    Raises:
        DemoError: the service ended, or was not ready within `timeout_s` seconds.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if server.poll() is not None:
            msg = f"the service ended with exit status {server.returncode} before it was ready"
            raise DemoError(msg)
        try:
            if httpx.get(f"{base}/readyz", timeout=5.0).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(READY_POLL_S)
    msg = f"the service was not ready within {timeout_s:g} s"
    raise DemoError(msg)


def show_first_search(base: str, query: str) -> None:
    """Search for `query` and print the hits with the curl line that asks the same."""
    answer = httpx.post(f"{base}/v1/search", json={"q": query, "limit": 5}, timeout=30.0)
    answer.raise_for_status()
    body = answer.json()
    click.echo(f"\nThe shop is open: {base}\n")
    click.echo(f"  curl -s {base}/v1/search -H 'content-type: application/json' -d '{{\"q\": \"{query}\"}}'\n")
    click.echo(f"  {query!r} in {body['timings_ms']['total']:.1f} ms:")
    for hit in body["hits"]:
        click.echo(f"  {hit['score']:.3f}  {hit['product']['title']}")
    click.echo("\nCtrl-C ends it.")


def forward_sigterm(server: "subprocess.Popen[bytes]") -> None:
    """Pass a SIGTERM for this process on to the service, which drains and leaves."""

    def handler(_signal: int, _frame: FrameType | None) -> None:
        server.terminate()

    signal.signal(signal.SIGTERM, handler)


def stop(server: "subprocess.Popen[bytes]", grace_s: float = 10.0) -> None:
    """End the service, kindly at first."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(grace_s)
        except subprocess.TimeoutExpired:
            os.kill(server.pid, signal.SIGKILL)
