"""What answers are computed from: one bundle, its encoder and the readers built from them, as one reference.

A request takes the reference once and uses nothing else, so that no answer ever mixes two bundles.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from indexer.bundle import Bundle, BundleError, current_bundle
from indexer.searchable import Searchable
from indexer.suggest import Suggester
from models.checkpoint import CheckpointError, load_encoder
from models.encoder import Encoder
from models.entities import EntityLinker
from service.cache import Cache
from service.elsewhere import Elsewhere, expect_elsewhere
from service.errors import StartupError
from service.filters import Filters
from service.memory import give_back
from service.query import Query
from service.runtimes import on_fastest_runtimes
from service.settings import Settings
from service.synonyms import Reworded, Synonyms, as_asked, table_of
from service.telemetry import Metrics
from service.terms import TermsCache
from service.understand import LinkedEntity, Reader, Spellings


class Reading(NamedTuple):
    """What a query is read as: its words as they are meant, those that stand for others, and its entities."""

    query: Query
    reworded: tuple[Reworded, ...]
    links: list[LinkedEntity]


@dataclass(frozen=True, slots=True)
class Served:
    """One bundle, the encoder that made it, and what reads, completes, filters and remembers queries for them.

    Attributes:
        position: How far the update log is in it; empty: as it was built.
        synonyms: What words stand for.
        elsewhere: Its indexes that are not searched here; None: all are.
    """

    encoder: Encoder
    bundle: Searchable
    reader: Reader
    cache: TermsCache
    filters: Filters
    suggester: Suggester
    synonyms: Synonyms
    position: str = ""
    elsewhere: Elsewhere | None = None

    @property
    def bundle_id(self) -> str:
        """The bundle's id, as answers and metrics state it."""
        return self.bundle.manifest.id

    @property
    def state(self) -> str:
        """The bundle, how far updates are in it, and its synonyms: equal states give equal answers."""
        return f"{self.bundle_id}@{self.position}@{self.synonyms.digest}"

    def read(self, query: Query) -> Reading:
        """Return a query as its words are meant, which of them stand for others, and the entities that it names.

        Raises:
            InvalidRequestError: as `Reader.read`.
        """
        meant, reworded = self.synonyms.reworded(query)
        return Reading(meant, reworded, as_asked(self.reader.read(meant), query, reworded))


def serve(
    encoder: Encoder, bundle: Bundle, cache: Cache, metrics: Metrics, elsewhere: Elsewhere | None = None
) -> Served:
    """Join an encoder and a bundle that belong together, and what of its indexes is elsewhere."""
    reader = Reader(EntityLinker(bundle.statistics), Spellings(bundle.statistics.vocabulary, encoder.vocabularies))
    terms = TermsCache(cache, metrics, bundle=bundle.manifest.id, fingerprint=encoder.fingerprint, dim=encoder.dim)
    filters, suggester, synonyms = Filters(bundle.fields), Suggester(bundle), Synonyms(bundle.lexical)
    return Served(encoder, bundle, reader, terms, filters, suggester, synonyms, elsewhere=elsewhere)


def shake_hands(encoder: Encoder, bundle: Bundle) -> None:
    """Make sure that the bundle's vectors are this encoder's.

    Raises:
        StartupError: they were made by another.
    """
    made_by = bundle.manifest.encoder
    if made_by.fingerprint != encoder.fingerprint:
        msg = (
            f"bundle {bundle.manifest.id} was made by the encoder {made_by.name} "
            f"({made_by.fingerprint[:12]}), this is {encoder.name} ({encoder.fingerprint[:12]}): "
            f"index the catalogue again with this encoder, or serve with that one"
        )
        raise StartupError(msg)


def check_name(path: Path, bundle: Bundle) -> None:
    """Make sure that the folder of a bundle is called as the bundle is: its id tells it from all others.

    Raises:
        BundleError: it is not.
    """
    if path.name != bundle.manifest.id:
        msg = f"{path}: is the bundle {bundle.manifest.id}: give the folder its name"
        raise BundleError(msg)


def open_artefacts(settings: Settings) -> tuple[Encoder, Bundle]:
    """Load the encoder and the published bundle that `settings` name; the encoder on the runtimes fastest here.

    Raises:
        StartupError: there is none, one of them is damaged, or they do not belong together.
    """
    expect_elsewhere(settings)
    table_of(settings)  # what cannot be used is told before the rest is opened
    try:
        path = current_bundle(settings.data_dir)
        if path is None:
            msg = f"no bundle is published in {settings.data_dir}: build one with `python -m indexer build --publish`"
            raise StartupError(msg)
        encoder = load_encoder(settings.encoder, settings.device)
        bundle = Bundle.open(path)
        check_name(path, bundle)
    except (BundleError, CheckpointError) as error:
        raise StartupError(str(error)) from error
    shake_hands(encoder, bundle)
    encoder, _ = on_fastest_runtimes(encoder, bundle, settings)
    give_back()
    return encoder, bundle
