"""The runtimes of the encoder, chosen at the start of the service on the bundle's own texts and pictures.

Measuring and choosing is done in `models.runtime`; here is what it is measured on, whether the index finds the same
with each runtime's vectors, and the line that says what came of it.
"""

from collections.abc import Mapping
from typing import Final, cast, get_args

import numpy as np
import structlog

from indexer.bundle import Bundle
from indexer.manifest import QueryKind
from indexer.ranking import rank, score_rows
from models.encoder import Encoder, Vectors
from models.picture import decode_picture
from models.product import TextField, canonical_text
from models.runtime.choose import Chosen, Overlap, Terms
from models.runtime.encoders import Place, Probes, TowerEncoder, missing, with_fastest
from models.runtime.names import CANDIDATES, RuntimeChoice, RuntimeName, TowerKind
from service.errors import StartupError
from service.settings import Settings, flag, variable

FOLDER: Final = "runtimes"  # in the data folder; whatever lies there may be deleted at any time

_TITLES: Final = 24  # as long as what shoppers type
_WHOLE_TEXTS: Final = 8  # as long as what is encoded of a product that changes
_PICTURES: Final = 24
_PLACES: Final = 10
_SAME_SCORE: Final = 1e-6
_KINDS: Final = {TowerKind.TEXT: QueryKind.TEXT, TowerKind.IMAGE: QueryKind.IMAGE}

_log = structlog.stdlib.get_logger("catalens.runtimes")


def on_fastest_runtimes(encoder: Encoder, bundle: Bundle, settings: Settings) -> tuple[Encoder, Chosen | None]:
    """Return the encoder on the runtimes that are fastest here, and how they were found.

    An encoder that has no towers, and any where the settings ask for torch, is returned as it is, with None. Takes
    a second with a small model, and the first time with a large one up to minutes, since files are made for it.

    Raises:
        StartupError: the settings name a runtime that is not installed or not for the encoder's device.
    """
    choice = settings.runtime
    if choice is RuntimeChoice.TORCH or not isinstance(encoder, TowerEncoder):
        return encoder, None
    reason = missing(encoder, choice)
    if reason is not None and choice is not RuntimeChoice.AUTO:
        msg = f"{variable('runtime')} or {flag('runtime')}: {choice}: {reason}"
        raise StartupError(msg)
    place = Place(settings.data_dir / FOLDER, settings.encode_threads)
    terms = Terms(overlap_in(bundle))
    faster, chosen = with_fastest(encoder, probes_of(encoder, bundle, settings), choice, place, terms)
    _say(chosen, choice)
    return faster, chosen


def running(encoder: Encoder) -> dict[str, str]:
    """Return the runtime of each tower of an encoder, tower to name; nothing for one without towers."""
    if not isinstance(encoder, TowerEncoder):
        return {}
    found = cast("Mapping[str, Mapping[str, str]]", encoder.towers.found)
    return {str(kind): found[kind]["runtime"] if kind in found else str(RuntimeName.TORCH) for kind in TowerKind}


def on_cpu(encoder: Encoder) -> bool:
    """Return whether an encoder computes in the thread that calls it, and on no other device, which might hang."""
    return isinstance(encoder, TowerEncoder) and encoder.backbone.device.type == "cpu"


def _say(chosen: Chosen, choice: RuntimeChoice) -> None:
    wanted = CANDIDATES[choice]
    refused = choice is not RuntimeChoice.AUTO and any(chosen.name(kind) not in wanted for kind in TowerKind)
    say = _log.warning if refused else _log.info
    say("runtimes", asked=str(choice), **chosen.described())


def probes_of(encoder: Encoder, bundle: Bundle, settings: Settings) -> Probes:
    """Return titles, whole texts and pictures of products from all over the catalogue."""
    fields = [field for field in encoder.text_fields if field in get_args(TextField)]
    titles = [bundle.products[row].title for row in _spread(len(bundle.products), _TITLES)]
    whole = [
        canonical_text(bundle.products[row], cast("list[TextField]", fields))
        for row in _spread(len(bundle.products), _WHOLE_TEXTS)
    ]
    return Probes(
        texts=[*titles, *whole],
        images=[decode_picture(_thumbnail(bundle, picture)) for picture in _spread(len(bundle.image_rows), _PICTURES)],
        max_texts=settings.max_batch_texts,
        max_images=settings.max_batch_images,
    )


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` of `count` numbers, evenly spread."""
    return [int(n) for n in np.linspace(0, count - 1, min(count, most))]


def _thumbnail(bundle: Bundle, picture: int) -> bytes:
    row = int(bundle.image_rows[picture])
    return bundle.thumbnail(row, picture - int(bundle.image_starts[row])) or b""


def overlap_in(bundle: Bundle) -> Overlap:
    """Return how much of what torch's vectors find in a bundle others find, too: the mean share of the best ten.

    A product that scores as much as torch's tenth counts as one of them, so that twins may take each other's place.
    """
    floors: dict[TowerKind, list[float]] = {}

    def overlap(kind: TowerKind, exact: Vectors, other: Vectors) -> float:
        weights = bundle.manifest.fusion[_KINDS[kind]]
        if kind not in floors:
            floors[kind] = [float(rank(bundle, q, weights, _PLACES).scores[-1]) for q in exact]
        shares = []
        for q, vector, floor in zip(exact, other, floors[kind], strict=True):
            found = rank(bundle, vector, weights, _PLACES).rows
            scores, _ = score_rows(bundle, q, weights, found)
            shares.append(float(np.mean(scores >= floor - _SAME_SCORE)))
        return float(np.mean(shares))

    return overlap
