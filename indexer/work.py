"""What a build has to encode: every row of a feed, with the key of what its vectors depend on if it is not kept yet.

Pictures are read, not decoded, to tell. Rows come in blocks, so that what is encoded together does not depend on when
an earlier build died: a block ends with every WINDOW_BLOCKS times as many rows as it may hold products, wherever they
stand, and before that whenever that many products are to be encoded. A build that goes on where another died finds
whole blocks done, and cuts the rest as that one would have. Encoding is left to engines: `indexer.encode` and
`indexer.ray_encoding`.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from indexer.catalogue import BytesImage, CatalogueRow, ImageSource, PathImage, RejectedRow
from indexer.product_encoding import entities_of, texts_of
from indexer.rejects import BadRowLimit
from indexer.store import Encoded, Store, content_key
from models.encoder import Encoder
from models.picture import PictureLimits

WINDOW_BLOCKS: Final = 16

Fetch = Callable[[str], bytes]


class PictureUnavailableError(ValueError):
    """A picture that could not be read or fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How products are encoded.

    Attributes:
        batch: pictures (or texts) given to the encoder at a time.
        threads: that decode and fetch pictures.
        limits: of a picture.
        keep_without_images: whether a product keeps its place when a picture of it cannot be used.
        fetch: gets the bytes behind a URL, raising ValueError or OSError; None: URLs are refused.
        block: products that are encoded and kept together: what a build that dies may lose.
        pixels: of decoded pictures that may wait for the encoder, 3 bytes each.
    """

    batch: int = 32
    threads: int = 2
    limits: PictureLimits = field(default_factory=PictureLimits)
    keep_without_images: bool = False
    fetch: Fetch | None = None
    block: int = 1_024
    pixels: int = 200_000_000


@dataclass(frozen=True, slots=True)
class Work:
    """A product to be encoded.

    Attributes:
        key: the digest of all that follows, and of the encoder.
        text: the words that are encoded, with these entities.
        entities: see `text`.
        pictures: the bytes of each; None: it could not be had.
    """

    key: bytes
    text: str
    entities: Mapping[str, str]
    pictures: tuple[bytes | None, ...]

    @property
    def pixels(self) -> int:
        """None are held."""
        return 0

    @property
    def problems(self) -> Mapping[int, str]:
        """None are known."""
        return {}


class Task(Protocol):
    """Work, prepared as an engine wants it."""

    @property
    def key(self) -> bytes:
        """Of the product."""
        ...

    @property
    def pixels(self) -> int:
        """Of decoded pictures that it holds."""
        ...

    @property
    def problems(self) -> Mapping[int, str]:
        """Of pictures that are known to be unusable, by number, what is wrong."""
        ...


TaskT = TypeVar("TaskT", bound=Task)
TaskT_co = TypeVar("TaskT_co", bound=Task, covariant=True)


@dataclass(frozen=True, slots=True)
class Row:
    """A row on its way into a bundle.

    Attributes:
        found: the row itself.
        key: of its product's encoding; None: there is none.
        problems: of pictures that are known to be unusable, by number, what is wrong.
    """

    found: CatalogueRow | RejectedRow
    key: bytes | None
    problems: Mapping[int, str]

    def refused(self, problems: Mapping[int, str], *, keep: bool) -> RejectedRow | None:
        """Return why the row is left out, given what is wrong with its pictures; None if it is not."""
        if isinstance(self.found, RejectedRow):
            return self.found
        if keep or not problems:
            return None
        first = min(problems)
        reference = self.found.images[first].reference[:80]
        return RejectedRow(self.found.row, "images", f"{reference}: {problems[first]}", self.found.product.id)


@dataclass(frozen=True, slots=True)
class Step(Generic[TaskT_co]):
    """A row, and what has to be done before it can be written.

    Attributes:
        row: the row.
        work: what is to be encoded; None: nothing.
        ends: whether a block ends with it.
        abandons: whether the build is lost, by too many bad rows, and nothing more is worth encoding.
    """

    row: Row
    work: TaskT_co | None
    ends: bool
    abandons: bool


@dataclass(frozen=True, slots=True)
class Block:
    """Rows in a row, and what was encoded of them; `abandoned`: nothing was, and only bad rows count."""

    rows: tuple[Row, ...]
    encoded: Encoded
    abandoned: bool = False


class Engine(Protocol[TaskT]):
    """Encodes what a build asks for, somewhere."""

    def prepare(self, work: Work) -> TaskT:
        """Return what is handed on by the threads that read."""
        ...

    def blocks(self, steps: Iterable[Step[TaskT]]) -> Iterator[Block]:
        """Yield the rows of `steps` block by block, in order, with what was encoded of them."""
        ...


def load_picture(source: ImageSource, options: EncodeOptions) -> bytes:
    """Return the encoded bytes of a picture, wherever it is.

    Raises:
        PictureUnavailableError: it cannot be read or fetched.
    """
    if isinstance(source, BytesImage):
        return source.content
    try:
        if isinstance(source, PathImage):
            with source.path.open("rb") as file:
                return file.read(options.limits.max_bytes + 1)
        if options.fetch is None:
            raise PictureUnavailableError("pictures are not fetched from URLs")
        return options.fetch(source.reference)
    except PictureUnavailableError:
        raise
    except (OSError, ValueError) as error:
        raise PictureUnavailableError(str(error) or type(error).__name__) from error


def steps(
    rows: Iterable[CatalogueRow | RejectedRow],
    encoder: Encoder,
    store: Store,
    prepare: Callable[[Work], TaskT],
    options: EncodeOptions,
    allowed: BadRowLimit | None = None,
) -> Generator[Step[TaskT], None, None]:
    """Yield the rows of a feed, in order, with what is to be encoded of them and is not in `store`.

    Threads read and prepare some rows ahead. Equal products are encoded once. With more bad rows than `allowed`, the
    last step abandons the build.
    """
    missing = bad = 0
    read = partial(_read, encoder=encoder, store=store, prepare=prepare, options=options)
    for number, (row, task) in enumerate(_ahead(rows, read, options), 1):
        work = task if row.key is not None and task is not None and store.claim(row.key) else None
        known = row.problems if task is None else {**row.problems, **task.problems}
        missing += work is not None
        bad += row.refused(known, keep=options.keep_without_images) is not None
        lost = allowed is not None and allowed.problem(bad, number, at_end=False) is not None
        ends = missing == options.block or number % (WINDOW_BLOCKS * options.block) == 0
        yield Step(Row(row.found, row.key, known), work, ends, lost)
        if lost:
            return
        missing = 0 if ends else missing


def _read(
    found: CatalogueRow | RejectedRow,
    *,
    encoder: Encoder,
    store: Store,
    prepare: Callable[[Work], TaskT],
    options: EncodeOptions,
) -> tuple[Row, TaskT | None]:
    """Return a row with its key, and what is to be encoded if that is not in `store`."""
    if isinstance(found, RejectedRow):
        return Row(found, None, {}), None
    pictures: list[bytes | None] = []
    problems: dict[int, str] = {}
    for number, source in enumerate(found.images):
        try:
            pictures.append(load_picture(source, options))
        except PictureUnavailableError as error:
            pictures.append(None)
            problems[number] = str(error)
    if problems and not options.keep_without_images:
        return Row(found, None, problems), None
    [text], [entities] = texts_of([found.product], encoder), entities_of([found.product], encoder)
    key = content_key(encoder.fingerprint, text, entities, pictures, options.limits)
    row = Row(found, key, problems)
    return row, None if store.holds(key) else prepare(Work(key, text, entities, tuple(pictures)))


def _ahead(
    rows: Iterable[CatalogueRow | RejectedRow],
    read: Callable[[CatalogueRow | RejectedRow], tuple[Row, TaskT | None]],
    options: EncodeOptions,
) -> Iterator[tuple[Row, TaskT | None]]:
    """Yield rows as they were read, in order, threads working some rows ahead.

    How far ahead is bounded by pixels, reckoned from the largest product met of late.
    """
    stream = iter(rows)
    pending: deque[Future[tuple[Row, TaskT | None]]] = deque()
    room = options.pixels // 2
    recent: deque[int] = deque(maxlen=2 * options.batch)  # pixels of the latest products
    with ThreadPoolExecutor(options.threads, thread_name_prefix="decode") as pool:
        try:
            while True:
                largest = max(1, max(recent, default=room))
                ahead = max(options.threads, min(2 * options.batch, room // largest))
                for row in islice(stream, max(0, ahead - len(pending))):
                    pending.append(pool.submit(read, row))
                if not pending:
                    return
                done = pending.popleft().result()
                if done[1] is not None:
                    recent.append(done[1].pixels)
                yield done
        finally:
            for future in pending:
                future.cancel()
