"""What a search comes to: its hits, how long each stage took, what it went without, and what it was computed from."""

from dataclasses import dataclass

from indexer.ranking import FilterStrategy
from models.capture.regions import Detection
from service.categorise import Reranked
from service.facets import Facet
from service.query import Query
from service.retrieve import Found, Retrieved
from service.served import Served
from service.synonyms import Reworded
from service.understand import LinkedEntity


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each stage.

    Attributes:
        decode: Fetching and decoding the slowest picture.
        detect: Finding the products in the picture, while it is encoded as a whole.
        encode: Reading entities and encoding, without `decode` and `detect`.
        filter: Finding out which products the filter admits.
        retrieve: Finding and scoring candidates.
        rank: Ordering them, counting facets, reading the hits' products, and explaining their scores.
        total: Everything.
    """

    total: float
    decode: float
    detect: float
    encode: float
    filter: float
    retrieve: float
    rank: float

    def by_stage(self) -> dict[str, float]:
        """Return them by name."""
        return {
            "total": self.total,
            "decode": self.decode,
            "detect": self.detect,
            "encode": self.encode,
            "filter": self.filter,
            "retrieve": self.retrieve,
            "rank": self.rank,
        }


@dataclass(frozen=True, slots=True)
class InstanceAnswer:
    """A product in the query's picture, and what was found for it."""

    detection: Detection
    retrieved: Retrieved


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found, and from what it was computed.

    Attributes:
        query: What was asked.
        reworded: Its words that stand for others.
        instances: What was found for each product in the picture; None: it was not looked into.
    """

    query: Query
    reworded: tuple[Reworded, ...]
    hits: tuple[Found, ...]
    links: tuple[LinkedEntity, ...]
    found: int
    facets: tuple[Facet, ...]
    strategy: FilterStrategy
    reranked: Reranked | None
    served: Served
    timings: Timings
    degraded: tuple[str, ...]
    instances: tuple[InstanceAnswer, ...] | None = None

    @property
    def retrievals(self) -> int:
        """How often the index was searched for it."""
        return 1 + len(self.instances or ())
