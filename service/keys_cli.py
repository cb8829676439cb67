"""`python -m service keys`: API keys made, listed and taken back, while services run or not."""

from pathlib import Path

import click

from indexer.cli import DATA_DIR, JSON, PATH, one_line_on_failure, print_result
from service.auth import FILE, Key, add_key, read_keys, revoke_key
from service.scopes import Scope

_KEYS_FILE = click.option(
    "--keys-file",
    type=PATH,
    envvar="CATALENS_KEYS_FILE",
    show_envvar=True,
    help=f"The key file.  [default: {FILE} in the data folder]",
)


@click.group()
def keys() -> None:
    """Make API keys, list them, and take them back. A running service follows within a second."""


@keys.command()
@click.option("--name", required=True, help="Whose key it is: letters, digits, dots, dashes. In logs and metrics.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    help="What it may do; may be given again. admin may do everything.",
)
@click.option("--rate", metavar="N/TIME", help="Most requests, such as 50/second.  [default: the service's]")
@DATA_DIR
@_KEYS_FILE
@JSON
def add(
    *, name: str, scopes: tuple[str, ...], rate: str | None, data_dir: Path, keys_file: Path | None, as_json: bool
) -> None:
    """Make a key and print it, this once: only its digest is kept."""
    with one_line_on_failure():
        secret = add_key(_path(data_dir, keys_file), name, [Scope(scope) for scope in scopes], rate)
    print_result(as_json, {"name": name, "scopes": sorted(set(scopes)), "rate": rate, "key": secret}, secret)
    click.echo(f"{name}: keep this key, it cannot be shown again", err=True)


@keys.command("list")
@DATA_DIR
@_KEYS_FILE
@JSON
def list_keys(*, data_dir: Path, keys_file: Path | None, as_json: bool) -> None:
    """List the keys by name, without the keys themselves."""
    path = _path(data_dir, keys_file)
    with one_line_on_failure():
        try:
            known = read_keys(path)
        except FileNotFoundError:
            known = ()
    described = [key.model_dump(mode="json", exclude={"sha256"}) for key in known]
    words = "\n".join(map(_line, known)) or f"there are no keys in {path}"
    print_result(as_json, {"path": str(path), "keys": described}, words)


@keys.command()
@click.argument("name")
@DATA_DIR
@_KEYS_FILE
@JSON
def revoke(*, name: str, data_dir: Path, keys_file: Path | None, as_json: bool) -> None:
    """Take a key back, for good."""
    with one_line_on_failure():
        revoke_key(_path(data_dir, keys_file), name)
    print_result(as_json, {"revoked": name}, f"{name}: revoked")


def _path(data_dir: Path, keys_file: Path | None) -> Path:
    return keys_file or data_dir / FILE


def _line(key: Key) -> str:
    return f"{key.name}  {','.join(key.scopes)}  {key.rate or '-'}  {key.created:%Y-%m-%d}"
