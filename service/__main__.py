"""`python -m service`: reads the configuration, opens the catalogue, and serves it until told to stop."""

import os

# After each product numpy's own threads spin for some 25 ms, at the cost of whoever else would compute; here many small
# products of many requests are under way at once, each in a thread already. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio
import sys
from functools import partial
from typing import cast, get_args

import click
import uvicorn
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.errors import StartupError
from service.keys_cli import keys
from service.lifecycle import DrainingServer, Lifecycle
from service.settings import Settings, flag, load_settings, variable
from service.telemetry import configure_logging

# Longer than clients and load balancers keep idle connections (5 to 60 s): the side that closes first should be
# theirs, since a request sent at that very moment can be lost.
_KEEP_ALIVE_S = 75

# How long one thread of Python may keep the others waiting: the event loop is one of many here, and every answer waits
# for it more than once. Python's own value is 5 ms.
_SWITCH_S = 0.0005


def options_of_settings(command: click.Command) -> click.Command:
    """Give `command` one option for each field of the settings; pydantic alone says what a value may be."""
    for name, field in Settings.model_fields.items():
        command.params.append(_option(name, field))
    return command


def _option(name: str, field: FieldInfo) -> click.Option:
    stated = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    default = "none" if stated is None else str(stated)
    said = f"{field.description} [env: {variable(name)}; default: {default}]"
    if field.annotation is bool:
        return click.Option([f"{flag(name)}/--no-{flag(name)[2:]}", name], default=None, help=said)
    return click.Option([flag(name), name], default=None, metavar=_metavar(field), help=said)


def _metavar(field: FieldInfo) -> str:
    kinds = get_args(field.annotation) or (field.annotation,)
    return "NUMBER" if int in kinds or float in kinds else "TEXT"


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.pass_context
def main(context: click.Context, /, **given: object) -> None:
    """Serve product search over the published bundle, or manage its API keys.

    Every option is also an environment variable; the option wins. Stops on SIGTERM once running requests are
    answered.
    """
    stated = {name: value for name, value in given.items() if value is not None}
    if context.invoked_subcommand is not None:
        if stated:
            msg = f"{flag(next(iter(stated)))} stands before `{context.invoked_subcommand}`, whose options follow it"
            raise click.UsageError(msg)
        return
    try:
        serve(load_settings(stated))
    except StartupError as error:
        click.echo(f"error: {error}", err=True)
        context.exit(2)


def serve(settings: Settings) -> None:
    """Open what `settings` name and serve it until SIGTERM or SIGINT.

    Raises:
        StartupError: there is nothing to serve.
    """
    _calm_threads(settings.encode_threads)
    configure_logging(settings.log_level, settings.log_format)
    from service.app import create_app
    from service.heads import SheddingHeads
    from service.instances import finder_of
    from service.judging import JudgeApart
    from service.served import open_artefacts

    lifecycle = Lifecycle()
    artefacts = open_artefacts(settings)
    finder = finder_of(settings, artefacts[0])
    app = create_app(settings, artefacts, lifecycle, finder=finder, judge=JudgeApart(settings))
    del artefacts  # the bundle of the start may be let go of while the service runs
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", partial(SheddingHeads, app.state.shedder)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_timeout_ms // 1000 or 1,
    )
    server = DrainingServer(config, lifecycle, drain_s=settings.drain_ms / 1000)
    server.run()
    if not server.started:
        msg = "the service did not start; the lines above say why"
        raise StartupError(msg)


def _calm_threads(encode_threads: int) -> None:
    """Keep OpenMP's idle threads from spinning, and bound their number. Before anything that uses them."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.setswitchinterval(_SWITCH_S)
    if encode_threads:
        os.environ["OMP_NUM_THREADS"] = str(encode_threads)


options_of_settings(main)
main.add_command(keys)

if __name__ == "__main__":
    sys.exit(main())
