"""`python -m demo up`: the last step of `make demo`, on a real bundle."""

import re
import socket
import subprocess
import sys

import pytest


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def up(*arguments):
    command = [sys.executable, "-m", "demo", "up", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)


def test_it_serves_searches_and_says_how_to_ask_again(data_dir, port):
    done = up("--data-dir", str(data_dir), "--port", port, "--query", "winter boots", "--check")
    assert done.returncode == 0, done.stderr
    assert f"http://127.0.0.1:{port}" in done.stdout
    assert "curl" in done.stdout
    assert len(re.findall(r"^  \d\.\d{3}  \S", done.stdout, flags=re.MULTILINE)) == 5


def test_a_folder_without_a_bundle_is_one_clear_line(tmp_path, port):
    done = up("--data-dir", str(tmp_path), "--port", port, "--check")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "before it was ready" in done.stderr
