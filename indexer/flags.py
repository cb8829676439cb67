"""What the flags of `python -m indexer build` mean: texts from the command line to `BuildOptions`."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict, Unpack

from indexer.build import BuildOptions, MakeEngine
from indexer.feed_mapping import FlagError, pairs, reading
from indexer.fetch import FetchError, FetchLimits, FetchPolicy, guarded_get
from indexer.fold import Fold
from indexer.manifest import FusionWeights, QueryKind
from indexer.recipes import Goal
from indexer.rejects import BadRowLimit
from indexer.work import EncodeOptions, Engine, Fetch, PictureUnavailableError, Work
from models.encoder import Encoder
from models.picture import PictureLimits


class BuildFlags(TypedDict):
    """The flags of `build` as click hands them over."""

    recipe: str
    recall: float
    memory: int | None
    tune: bool
    tune_seconds: float | None
    index_device: str
    max_bad_rows: str
    mapping_file: Path | None
    mapping: tuple[str, ...]
    variants: bool
    ignore: tuple[str, ...]
    image_root: Path | None
    allow_outside: bool
    keep_without_images: bool
    fetch_images: bool
    image_weight: tuple[str, ...]
    batch: int
    decode_threads: int
    seed: int
    fresh: bool


def fusion(texts: Iterable[str]) -> dict[QueryKind, FusionWeights]:
    """Return the weights of texts `KIND=SHARE`, the share being the picture's.

    Raises:
        FlagError: no such kind, or no share.
    """
    found: dict[QueryKind, FusionWeights] = {}
    for kind, share in pairs("--image-weight", texts).items():
        if kind not in set(QueryKind):
            msg = f"--image-weight {kind}={share}: the kinds are {', '.join(QueryKind)}"
            raise FlagError(msg)
        found[QueryKind(kind)] = weights(share)
    return found


def weights(share: str) -> FusionWeights:
    """Return the weights that give pictures `share`, a number in 0..1, and texts the rest.

    Raises:
        FlagError: it is no such number.
    """
    try:
        image = float(share)
    except ValueError:
        image = -1.0
    if not 0 <= image <= 1:
        msg = f"--image-weight {share}: expected a share in 0..1"
        raise FlagError(msg)
    return FusionWeights(image=image, text=1.0 - image)


def bad_rows(text: str) -> BadRowLimit:
    """Return the limit that `--max-bad-rows` names.

    Raises:
        FlagError: it names none.
    """
    try:
        return BadRowLimit.parse(text)
    except ValueError as error:
        msg = f"--max-bad-rows {text!r}: expected a number, -1, or a share such as 5%"
        raise FlagError(msg) from error


def fetcher(limits: PictureLimits) -> Fetch:
    """Return a function that fetches the bytes of a picture from a public URL."""
    policy, caps = FetchPolicy(), FetchLimits(max_bytes=limits.max_bytes)

    def fetch(url: str) -> bytes:
        try:
            return guarded_get(url, policy, caps)
        except FetchError as error:
            raise PictureUnavailableError(str(error)) from error

    return fetch


def check_ray() -> None:
    """Refuse `--engine ray` where Ray is not installed.

    Raises:
        FlagError: it is not.
    """
    if find_spec("ray") is None:
        msg = "--engine ray: Ray is not installed: pip install 'catalens[ray]'"
        raise FlagError(msg)


def on_ray(encoder: Encoder, load: Callable[[], Encoder], address: str | None) -> MakeEngine:
    """Return what makes an engine on the Ray cluster at `address`; `load` makes `encoder` there."""

    def make(options: EncodeOptions) -> Engine[Work]:
        from indexer.ray_encoding import RayEngine  # noqa: PLC0415 - an extra, and slow to import

        return RayEngine(load, encoder.fingerprint, options, address)

    return make


def build_options(
    catalogue: Path,
    data_dir: Path,
    updates: Fold | None = None,
    engine: MakeEngine | None = None,
    **flags: Unpack[BuildFlags],
) -> BuildOptions:
    """Return the options that the flags of the same names describe, what is to be folded in, and what encodes.

    Raises:
        FlagError: a flag does not say what it should.
    """
    limits = PictureLimits()
    return BuildOptions(
        catalogue=catalogue,
        data_dir=data_dir,
        recipe=flags["recipe"],
        goal=Goal(flags["recall"], flags["memory"]),
        tune=flags["tune"],
        tune_seconds=flags["tune_seconds"],
        index_device=flags["index_device"],
        seed=flags["seed"],
        bad_rows=bad_rows(flags["max_bad_rows"]),
        reading=reading(
            flags["mapping_file"],
            flags["mapping"],
            flags["ignore"],
            variants=flags["variants"],
            image_root=flags["image_root"],
            allow_outside=flags["allow_outside"],
            keep_without_images=flags["keep_without_images"],
        ),
        encoding=EncodeOptions(
            batch=flags["batch"],
            threads=flags["decode_threads"],
            limits=limits,
            keep_without_images=flags["keep_without_images"],
            fetch=fetcher(limits) if flags["fetch_images"] else None,
        ),
        fusion=fusion(flags["image_weight"]),
        updates=updates,
        fresh=flags["fresh"],
        engine=engine,
    )
