"""Blocks of shell, run by bash in a folder of their own, whose slow programs are stand-ins that a test answers for.

A stand-in is a script that hands its words over a socket to the test's own process, where Python modules that take
seconds to import are there already; what comes back is what it prints and its exit status. Everything else is the
shell's: variables, loops, pipes, `curl`, `jq`.
"""

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

WORKING_S = 240
_STAND_IN = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/$STAND_IN_PORT
stated=()
for name in ${!CATALENS_@}; do stated+=("$name=${!name}"); done
printf '%s\\0' "$#" "${#stated[@]}" "${0##*/}" "$@" "${stated[@]}" >&3
read -r status <&3
cat <&3
exit "$status"
"""

Answer = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str]]
"""Given the words of a command and its `CATALENS_` variables, returns its exit status and what it prints."""


class Ran(NamedTuple):
    """What came of a block: bash's exit status, what was printed, and what was complained of."""

    status: int
    output: str
    complaint: str


def stand_in(*paths: Path) -> None:
    """Put a stand-in at each of these paths; its name is the program's."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_STAND_IN, encoding="utf-8")
        path.chmod(0o755)


def run(code: str, folder: Path, environment: Mapping[str, str], answer: Answer) -> Ran:
    """Run `code` in `folder`, where any command that fails ends it, and answer its stand-ins meanwhile, in this thread.

    `environment` is all that it sees, so `PATH` must lead to the stand-ins first.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as complaint,
    ):
        door.settimeout(0.005)
        given = {**environment, "STAND_IN_PORT": str(door.getsockname()[1])}
        command = ["bash", "-eu", "-o", "pipefail", "-c", code]
        with subprocess.Popen(
            command, cwd=folder, env=given, stdin=subprocess.DEVNULL, stdout=output, stderr=complaint
        ) as shell:
            try:
                _attend(shell, door, answer)
            finally:
                shell.kill()
        for written in (output, complaint):
            written.seek(0)
        return Ran(shell.returncode, output.read(), complaint.read())


def _attend(shell: "subprocess.Popen[bytes]", door: socket.socket, answer: Answer) -> None:
    until = time.monotonic() + WORKING_S
    while shell.poll() is None and time.monotonic() < until:
        try:
            caller, _ = door.accept()
        except TimeoutError:
            continue
        with caller:
            caller.settimeout(WORKING_S)
            words, variables = _hear(caller)
            status, printed = answer(words, variables)
            with suppress(BrokenPipeError, ConnectionResetError):  # somebody such as `head` has read enough
                caller.sendall(f"{status}\n{printed}".encode())


def _hear(caller: socket.socket) -> tuple[list[str], dict[str, str]]:
    """Return the words of a command, its program's name first, and its variables."""
    heard = b""
    while True:
        more = caller.recv(1 << 16)
        if not more:
            raise ConnectionError
        heard += more
        fields = heard.decode("utf-8", "replace").split("\0")
        if len(fields) > 2:
            words, variables = int(fields[0]) + 1, int(fields[1])
            if len(fields) > 2 + words + variables:
                break
    stated = fields[2 + words : 2 + words + variables]
    return fields[2 : 2 + words], dict(each.partition("=")[::2] for each in stated)
