"""Ends a process at the nth step of what it does to the files of a folder, as kill -9 or a lost power line would.

A step is opening a file to write, renaming, linking, removing, making or removing a folder, or waiting for the disk.
As a program it reads lines of {"code": ..., "folder": ..., "at": n} and forks a process for each, which runs the code
and kills itself just before its nth step.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STEPS = {"os.rename", "os.symlink", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


class Steps:
    """Counts the steps within `folder`, and kills the process at one of them; 0: at none."""

    def __init__(self, folder: Path, at: int) -> None:
        self._folder, self._at = str(folder), at
        self.taken = 0
        sys.addaudithook(self._hear)
        os.fsync = self._counting(os.fsync)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(args[2], int) and args[2] & _WRITES
        if (opens or event in _STEPS) and self._folder in os.fsdecode(args[event == "os.symlink"]):
            self._step()

    def _counting(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def counted(descriptor: int) -> None:
            self._step()
            call(descriptor)

        return counted

    def _step(self) -> None:
        self.taken += 1
        if self.taken == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


class Stepper:
    """A process that has imported what building and publishing take, and that forks one for each thing to do.

    The code may use `folder`, `encoder`, `build`, `BuildOptions`, `publish`, `rollback`, `command`, which runs the
    command line of the indexer, and `Path`.
    """

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(root)}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=root,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, folder: Path, code: str, at: int = 0) -> dict[str, Any]:
        """Run `code` on a data folder, killed at its step `at`.

        Returns `{"steps": n}` if it came to its end, `{"killed": at}` if it did not, or `{"failed": message, ...}`.
        """
        self._process.stdin.write(orjson.dumps({"folder": str(folder), "code": code, "at": at}) + b"\n")
        self._process.stdin.flush()
        return orjson.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def say(**said: object) -> None:
    """Write a line."""
    os.write(1, orjson.dumps(said) + b"\n")


def command(*words: object) -> tuple[int, str, str]:
    """Run the indexer; return its exit status and what it said. It may not end otherwise."""
    from click.testing import CliRunner  # noqa: PLC0415 - only the program runs commands

    from indexer.__main__ import main as indexer  # noqa: PLC0415

    done = CliRunner().invoke(indexer, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def known() -> dict[str, Any]:
    """Return what code may use."""
    sys.path.insert(0, str(Path(__file__).parent))
    import weightless  # noqa: PLC0415 - of this folder

    import models.checkpoint  # noqa: PLC0415 - only the program builds
    from indexer.build import BuildOptions, build  # noqa: PLC0415
    from indexer.publish import publish, rollback  # noqa: PLC0415

    encoder = weightless.WeightlessEncoder(16)
    models.checkpoint.load_encoder = lambda *_, **__: encoder  # the command line reaches encoders by name only
    return {
        "encoder": encoder,
        "build": build,
        "BuildOptions": BuildOptions,
        "publish": publish,
        "rollback": rollback,
        "command": command,
        "Path": Path,
    }


def work(asked: dict[str, Any], names: dict[str, Any]) -> None:
    """Run the code in this process and say what became of it."""
    folder = Path(asked["folder"])
    steps = Steps(folder, asked["at"])
    try:
        exec(asked["code"], {**names, "folder": folder})
    except Exception as error:  # noqa: BLE001 - told to whoever asked
        say(failed=str(error), steps=steps.taken)
    else:
        say(steps=steps.taken)


def main() -> None:
    """Run what standard input asks for, one after the other."""
    names = known()
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        child = os.fork()
        if not child:
            work(asked, names)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            say(killed=asked["at"])


if __name__ == "__main__":
    main()
