"""The service's configuration: one frozen model read from `CATALENS_*` variables and command-line flags.

Nothing here is read at import; `service.__main__` (or a test) loads the settings once and passes them on.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from indexer.update_logs import PLACES, SCHEMES
from models.runtime.names import RuntimeChoice
from service.errors import StartupError
from service.rates import Rate

PREFIX = "CATALENS_"

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Anonymous(StrEnum):
    """What callers without a key may do."""

    AUTO = "auto"
    NONE = "none"
    SEARCH = "search"


def _origins(stated: str) -> str:
    for origin in stated.split(","):
        parts = urlsplit(origin.strip())
        if origin.strip() != "*" and f"{parts.scheme}://{parts.netloc}" != origin.strip():
            msg = "must be origins such as https://shop.example, separated by commas; or *"
            raise ValueError(msg)
    return stated


def _redis_scheme(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(SCHEMES):
        msg = "must start with redis://, rediss:// or unix://"
        raise ValueError(msg)
    return url


def _collector(url: str) -> str:
    try:
        parts = urlsplit(url)
        well = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if not well or parts.username is not None or parts.query or parts.fragment:
        msg = "must be http://HOST:PORT or https://HOST:PORT; passwords go into OTEL_EXPORTER_OTLP_HEADERS"
        raise ValueError(msg)
    return url


def _log_place(place: SecretStr) -> SecretStr:
    if place.get_secret_value() not in PLACES and not place.get_secret_value().startswith(SCHEMES):
        msg = "must be auto, file, off, or start with redis://, rediss:// or unix://"
        raise ValueError(msg)
    return place


def _milvus_place(uri: str) -> str:
    address = uri.startswith(("http://", "https://", "tcp://"))
    if not address and not uri.endswith(".db"):
        msg = "must start with http://, https:// or tcp://, or be a file that ends in .db"
        raise ValueError(msg)
    if address and "@" in uri:
        msg = "must hold no password; that goes into CATALENS_MILVUS_TOKEN"
        raise ValueError(msg)
    return uri


def _index_place(device: str) -> str:
    if device not in {"auto", "cpu", "cuda"} and not (device.startswith("cuda:") and device[5:].isdecimal()):
        msg = "must be auto, cpu, cuda, or a GPU such as cuda:1"
        raise ValueError(msg)
    return device


class Settings(BaseSettings):
    """Everything that can be set. A field `x_ms` is the variable `CATALENS_X_MS` and the flag `--x-ms`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=True
    )

    data_dir: Path = Field(Path("data"), description="Folder of published bundles; `current` in it is served.")
    watch_ms: Positive = Field(1_000, description="How often it is looked whether another bundle was published.")
    encoder: str = Field(
        "mini", min_length=1, description="`mini`, a checkpoint folder, ARCH/TAG of open_clip, or hf-hub:ORG/NAME."
    )
    device: str = Field("auto", min_length=1, description="Where the encoder runs: auto, cpu, cuda, cuda:1, ...")
    runtime: RuntimeChoice = Field(
        RuntimeChoice.AUTO,
        description="What runs the encoder: auto takes the fastest that gives the same vectors, measured at start; or "
        f"{', '.join(list(RuntimeChoice)[1:])}.",
    )
    index_device: Annotated[str, AfterValidator(_index_place)] = Field(
        "auto",
        description="Where vectors are searched: auto (a GPU if there is one and they fit, else the CPU), cpu, cuda, "
        "cuda:1, ...",
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8080, ge=0, le=65_535, description="TCP port to listen on; 0 takes a free one.")

    log_level: LogLevel = Field(LogLevel.INFO, description="Least severe log lines to write.")
    log_format: LogFormat = Field(LogFormat.JSON, description="Log lines as JSON, or for reading on a console.")
    log_queries: bool = Field(default=False, description="Also log the words people search for.")
    otlp_endpoint: Annotated[str, AfterValidator(_collector)] | None = Field(
        None, description="OpenTelemetry collector that traces are sent to, such as http://localhost:4318."
    )

    request_timeout_ms: Positive = Field(10_000, description="An answer that takes longer is given up (504).")
    body_timeout_ms: Positive = Field(30_000, description="A body that takes longer to arrive is refused (408).")
    drain_ms: NonNegative = Field(
        500, description="After SIGTERM, how long new requests are still answered while /readyz says no."
    )
    shutdown_timeout_ms: Positive = Field(20_000, description="After draining, how long running requests may take.")
    ready_cache_ms: NonNegative = Field(1_000, description="How long one /readyz verdict is repeated.")
    max_body_bytes: Positive = Field(30 << 20, description="Largest request body.")
    max_image_bytes: Positive = Field(20 << 20, description="Largest picture, as a file.")
    max_image_px: int = Field(50_000_000, gt=0, le=89_000_000, description="Largest picture, width times height.")

    synonyms_file: Path | None = Field(
        None,
        description="Table of synonyms in Solr's format; else synonyms.txt in the data folder, where there is one.",
    )
    keys_file: Path | None = Field(None, description="API keys; else keys.json in the data folder, where there is one.")
    anonymous: Anonymous = Field(
        Anonymous.AUTO,
        description="What callers without a key may do: none, search, or auto: all without a key file, none with one.",
    )
    key_rate: Rate | None = Field(None, description="Most requests of a key that has no rate of its own: 50/second.")
    anonymous_rate: Rate | None = Field(None, description="Most requests of an address without a key: 5/second.")
    cors_origins: Annotated[str, AfterValidator(_origins)] | None = Field(
        None, description="Origins whose pages may call the API, separated by commas; * for all."
    )

    allow_image_urls: bool = Field(default=False, description="Let callers name pictures by http(s) URL.")
    image_url_timeout_ms: Positive = Field(5_000, description="Longest fetch of one picture by URL.")

    encode_threads: NonNegative = Field(0, description="CPU threads of the encoder; 0 leaves it to the library.")
    decode_threads: Positive = Field(2, description="Threads that decode pictures.")
    fetch_threads: Positive = Field(8, description="Threads that fetch pictures by URL.")
    rank_threads: Positive = Field(2, description="Threads that search the index.")
    max_batch_texts: Positive = Field(64, description="Most texts encoded at once.")
    max_batch_images: Positive = Field(16, description="Most pictures encoded at once.")
    encode_hung_ms: Positive = Field(
        30_000, description="An encoding that takes longer counts as hung: /readyz says so, and searches get 503."
    )
    most_wait_ms: Positive = Field(
        2_000, description="A search that would wait longer is refused (503); from a quarter of it on, less is done."
    )
    instances: str = Field(
        "auto",
        min_length=1,
        description="What finds the products in pictures: a folder with detector/ and head/, off, or auto: what comes "
        "with the package, if it does.",
    )
    instance_confidence: Share = Field(0.5, description="How sure a product in a picture must be, 0 to 1.")
    most_instances: int = Field(8, gt=0, le=32, description="Most products of one picture that are searched for.")
    max_waiting: Positive = Field(256, description="Most requests waiting at one stage; more are refused (503).")

    redis_url: Annotated[SecretStr, AfterValidator(_redis_scheme)] | None = Field(
        None, description="Redis for cached query vectors and answers; without it they are kept in this process."
    )
    cache_bytes: NonNegative = Field(64 << 20, description="Memory for cached query vectors; 0 caches nothing.")
    result_cache_bytes: NonNegative = Field(
        64 << 20, description="Memory for whole answers, for when the same is asked again; 0 keeps none, anywhere."
    )
    cache_timeout_ms: Positive = Field(20, description="A cache that takes longer counts as a miss.")
    cache_ttl_s: Positive = Field(86_400, description="How long Redis keeps a query vector or an answer.")

    milvus_uri: Annotated[str, AfterValidator(_milvus_place)] | None = Field(
        None,
        description="Milvus that holds the vectors, such as http://localhost:19530, or a file ending in .db for Milvus "
        "Lite; without it they are searched here.",
    )
    milvus_token: SecretStr | None = Field(None, description="USER:PASSWORD or a key for Milvus.")
    milvus_timeout_ms: Positive = Field(
        1_000, description="Milvus is given up after that, and the bundle's own index searched."
    )

    rollback_watch_s: NonNegative = Field(
        600, description="After a new bundle, how long searches are compared with those before; 0 never goes back."
    )
    rollback_least_searches: Positive = Field(
        50, description="Searches in a new bundle without which nothing is concluded of it."
    )
    rollback_errors: Share = Field(
        0.05, description="Share of searches, 0 to 1, by which errors may rise before the service goes back by itself."
    )
    rollback_zero_results: Share = Field(
        0.2, description="Share of searches, 0 to 1, by which those without a hit may rise before it goes back."
    )
    rollback_slowdown: float = Field(
        3.0, ge=1, allow_inf_nan=False, description="How many times as slow an index may be before it goes back."
    )

    update_log: Annotated[SecretStr, AfterValidator(_log_place)] = Field(
        SecretStr("auto"),
        description="Where changes of products are kept: a Redis, `file` in the data folder, `off`, or `auto`: the "
        "Redis of CATALENS_REDIS_URL if there is one, else the file.",
    )
    update_log_name: str = Field(
        "default", max_length=100, pattern=r"^[\w.-]+$", description="Tells shops that share a Redis apart."
    )
    write_timeout_ms: Positive = Field(60_000, description="A batch of changes that takes longer is given up (504).")


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def flag(field: str) -> str:
    """Return the command-line flag of a field."""
    return f"--{field.replace('_', '-')}"


def load_settings(given: Mapping[str, object] | None = None) -> Settings:
    """Return the settings: `given` (field name to value, as flags give it) before the environment.

    Raises:
        StartupError: a variable nobody knows, or a value that does not fit; one line names it.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings.model_validate(dict(given or {}))
    except ValidationError as error:
        raise StartupError(_one_line(error)) from error


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {variable(field) for field in Settings.model_fields}
    unknown = sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        nearest = get_close_matches(unknown[0].upper(), known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        msg = f"unknown setting {unknown[0]}{hint}"
        raise StartupError(msg)


def _one_line(error: ValidationError) -> str:
    faults = []
    for fault in error.errors(include_url=False):
        field = str(fault["loc"][0])
        shown = (
            ""
            if field in {"redis_url", "update_log", "otlp_endpoint", "milvus_uri", "milvus_token"}
            else f" (got {fault['input']!r})"
        )
        faults.append(f"{variable(field)} or {flag(field)}: {fault['msg'].removeprefix('Value error, ')}{shown}")
    return "; ".join(faults)
