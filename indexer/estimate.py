"""What a catalogue of some size will take: memory, disk, machines and hours, each with what it comes of.

The model is plain sums: of an index what `indexer.recipes` states of its recipe; of vectors 2 d bytes each; of a
product and of a picture what they take in a real bundle, of the demo shop or of one that is named (`Profile.of`).
Tests compare it with bundles and indexes that were built.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from indexer.amounts import size as written
from indexer.manifest import Space
from indexer.products import SCHEMA
from indexer.recipes import ANY, Goal, Recipe, build_s, choose, estimate_memory, resolve_recipe

if TYPE_CHECKING:
    from indexer.bundle import Bundle

BYTES_A_DIMENSION: Final = 2  # float16
_STARTS: Final = 8  # bytes a product, of where its pictures begin
_ROW: Final = 4  # bytes a picture, of the product it belongs to
_OFFSET: Final = 8  # bytes a picture, of where its thumbnail begins
_BUSY: Final = 0.7  # of the cores of a machine: beyond, searches wait for each other
_SLOW_MS: Final = 100.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Bytes of one product and one picture, as the demo shop has them.

    Attributes:
        product_disk: of a product in products.parquet.
        product_memory: of a product as the service holds it, columns of filters included.
        words_disk: of its words, mapped into memory when searched.
        other_disk: of its share of statistics and categories.
        thumbnail_disk: of a picture.
    """

    product_disk: float = 82.0
    product_memory: float = 2_200.0
    words_disk: float = 276.0
    other_disk: float = 275.0
    thumbnail_disk: float = 9_350.0

    @classmethod
    def of(cls, bundle: "Bundle") -> "Profile":
        """Return the profile of a bundle's own files; what a product takes in memory goes by its Arrow columns."""
        manifest = bundle.manifest
        n, images = manifest.counts.products, max(1, manifest.counts.images)
        size = {name: record.bytes for name, record in manifest.files.items()}
        held = sum(bundle.products.column(name).nbytes for name in SCHEMA.names)
        return cls(
            product_disk=size["products.parquet"] / n,
            product_memory=cls.product_memory_of(held / n),
            words_disk=sum(bytes_ for name, bytes_ in size.items() if name.startswith("lexical/")) / n,
            other_disk=(size["entities.json"] + size.get("categories.npz", 0)) / n,
            thumbnail_disk=size["thumbnails.bin"] / images,
        )

    @staticmethod
    def product_memory_of(columns: float) -> float:
        """Return the memory of a product whose columns take so many bytes.

        They and the columns of filters are twice that; the allocator may keep as much again of what reading took.
        """
        return 4.4 * columns


@dataclass(frozen=True, slots=True)
class Speed:
    """What one machine of two cores does with the encoder `mini`; measure yours with `python -m benchmarks`.

    Attributes:
        pictures_per_s: decoded and encoded.
        texts_per_s: encoded.
        request_ms: of one core, of a search for words, whatever the size of the catalogue.
        product_ns: of one core, of such a search for each product: the words of all are looked at.
        rest_us: of a build, for each product: words, statistics, categories.
        cores: of a machine.
        process_bytes: of a service before any catalogue, its encoder included.
    """

    pictures_per_s: float = 130.0
    texts_per_s: float = 860.0
    request_ms: float = 4.7
    product_ns: float = 20.0
    rest_us: float = 500.0
    cores: int = 2
    process_bytes: float = 600 * 2**20


@dataclass(frozen=True, slots=True)
class Size:
    """What is to be estimated.

    Attributes:
        products: in the catalogue.
        pictures: of a product, on average.
        dim: dimensions of a vector.
        recipe: of both indexes.
        goal: for `auto`: recall, and the memory that both indexes may take together.
        rate: searches a second.
        memory_bytes: of one machine.
        headroom: share of a machine's memory that stays free.
        spares: machines more than the rate asks for.
        encoders: machines that encode at once.
        kept: bundles on disk: the current one, and the last to roll back to.
    """

    products: int
    pictures: float = 1.5
    dim: int = 512
    recipe: str = "auto"
    goal: Goal = ANY
    rate: float = 100.0
    memory_bytes: float = 64 * 2**30
    headroom: float = 0.2
    spares: int = 1
    encoders: int = 1
    kept: int = 2

    @property
    def images(self) -> int:
        """Pictures in the catalogue."""
        return round(self.products * self.pictures)

    @property
    def spaces(self) -> dict[Space, int]:
        """Rows of each index."""
        return {"text": self.products, "image": self.images}


class Line(BaseModel):
    """One amount: what of, how much in its unit, and what it comes of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    amount: float
    unit: str
    comes_of: str


class Estimate(BaseModel):
    """Amounts by group, the last of each group being its sum or outcome; `notes` say what to mind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: tuple[Line, ...]
    disk: tuple[Line, ...]
    build: tuple[Line, ...]
    serving: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def memory_bytes(self) -> float:
        """Memory of a machine that serves the whole catalogue."""
        return self.memory[-1].amount

    @property
    def machines(self) -> int:
        """Machines that serve."""
        return round(self.serving[-1].amount)


def estimate(size: Size, profile: Profile = Profile(), speed: Speed = Speed()) -> Estimate:
    """Return what `size` will take.

    Raises:
        IndexFileError: the recipe is unknown, or no recipe fits into the memory.
    """
    recipes = {space: _recipe(size, rows) for space, rows in size.spaces.items() if rows}
    memory = _memory(size, recipes, profile, speed)
    serving, notes = _serving(size, memory, speed)
    return Estimate(
        memory=tuple(memory),
        disk=tuple(_disk(size, recipes, profile)),
        build=tuple(_build(size, recipes, speed)),
        serving=tuple(serving),
        notes=tuple(notes),
    )


Recipes = Mapping[Space, str]


def _recipe(size: Size, rows: int) -> str:
    """Return the recipe of an index of so many rows by its name, where it has one."""
    goal = size.goal.part(rows, sum(size.spaces.values()))
    return choose(rows, size.dim, goal) if size.recipe == Recipe.AUTO else size.recipe


def _indexes(size: Size, recipes: Recipes, where: str) -> list[Line]:
    lines = []
    for space, recipe in recipes.items():
        rows = size.spaces[space]
        bytes_ = estimate_memory(recipe, rows, size.dim)
        comes_of = f"{resolve_recipe(recipe, rows, size.dim)}: {bytes_ / rows:,.0f} bytes a row, {rows:,} rows"
        lines.append(Line(what=f"{space} index{where}", amount=bytes_, unit="bytes", comes_of=comes_of))
    return lines


def _vectors(size: Size, what: str) -> Line:
    bytes_ = BYTES_A_DIMENSION * size.dim * (size.products + size.images)
    comes_of = f"{BYTES_A_DIMENSION} bytes x {size.dim} x (1 text + {size.pictures:g} pictures)"
    return Line(what=what, amount=bytes_, unit="bytes", comes_of=comes_of)


def _memory(size: Size, recipes: Recipes, profile: Profile, speed: Speed) -> list[Line]:
    n = size.products
    held = profile.product_memory + _STARTS + _ROW * size.pictures
    lines = [
        Line(what="process, encoder", amount=speed.process_bytes, unit="bytes", comes_of="before any catalogue"),
        *_indexes(size, recipes, ""),
        _vectors(size, "vectors, mapped"),
        _by_product("products, filters", held, n),
        _by_product("words, mapped", profile.words_disk, n),
    ]
    return [*lines, _sum("one machine", lines, "all of the catalogue")]


def _disk(size: Size, recipes: Recipes, profile: Profile) -> list[Line]:
    n = size.products
    thumbnails = (profile.thumbnail_disk + _OFFSET) * size.images
    lines = [
        *_indexes(size, recipes, ""),
        _vectors(size, "vectors"),
        _by_product("products", profile.product_disk + _ROW * size.pictures, n),
        _by_product("words, statistics", profile.words_disk + profile.other_disk, n),
        Line(
            what="thumbnails",
            amount=thumbnails,
            unit="bytes",
            comes_of=f"{profile.thumbnail_disk:,.0f} bytes x {size.images:,} pictures",
        ),
    ]
    bundle = _sum("one bundle", lines, "all of its files")
    store = sum(line.amount for line in lines if line.what in {"vectors", "thumbnails", "products"})
    kept = Line(what="encodings kept", amount=store, unit="bytes", comes_of="for the next build: vectors, thumbnails")
    total = size.kept * bundle.amount + store
    return [
        *lines,
        bundle,
        kept,
        Line(what="a machine that builds", amount=total, unit="bytes", comes_of=f"{size.kept} bundles, encodings"),
    ]


def _build(size: Size, recipes: Recipes, speed: Speed) -> list[Line]:
    encoding = size.images / speed.pictures_per_s + size.products / speed.texts_per_s
    of_pictures = f"{speed.pictures_per_s:g} pictures and {speed.texts_per_s:g} texts a second"
    lines = [
        Line(
            what="encoding",
            amount=encoding / size.encoders / 3600,
            unit="hours",
            comes_of=f"{of_pictures} on each of {size.encoders}; of a first build, later ones encode what changed",
        ),
        *(
            Line(
                what=f"{space} index",
                amount=build_s(recipe, size.spaces[space], size.dim) / 3600,
                unit="hours",
                comes_of=f"{recipe} on one core" if recipe in set(Recipe) else "not modelled: a recipe without a name",
            )
            for space, recipe in recipes.items()
        ),
        Line(
            what="words, filters, measuring",
            amount=speed.rest_us * 1e-6 * size.products / 3600,
            unit="hours",
            comes_of=f"{speed.rest_us:g} microseconds a product",
        ),
    ]
    return [*lines, _sum("a first build", lines, "one after the other")]


def _serving(size: Size, memory: Sequence[Line], speed: Speed) -> tuple[list[Line], list[str]]:
    usable = size.memory_bytes * (1 - size.headroom)
    request_ms = speed.request_ms + speed.product_ns * size.products * 1e-6
    by_rate = max(1, math.ceil(size.rate * request_ms / 1e3 / (speed.cores * _BUSY)))
    moved = sum(line.amount for line in memory[:-1] if line.what.endswith("index") or line.what.startswith("vectors"))
    fits = memory[-1].amount <= usable
    apart = 0 if fits else math.ceil(moved / usable)
    notes = []
    if not fits:
        notes.append(
            f"one machine cannot hold the catalogue: indexes and vectors, {written(moved)}, go to Milvus on "
            f"{apart} machines; {written(memory[-1].amount - moved)} stay on each of the others"
        )
        if memory[-1].amount - moved > usable:
            notes.append("products and words do not fit either: split the catalogue")
    if request_ms > _SLOW_MS:
        notes.append(
            f"a search takes {request_ms:,.0f} ms of a core, for the words of all products are looked at: "
            "split the catalogue, or search by vectors alone"
        )
    return [
        Line(
            what="one search for words",
            amount=request_ms,
            unit="ms of a core",
            comes_of=f"{speed.request_ms:g} ms and {speed.product_ns:g} ns a product",
        ),
        Line(
            what="machines by rate",
            amount=by_rate,
            unit="machines",
            comes_of=f"{size.rate:g} searches a second, {speed.cores} cores {_BUSY:.0%} busy",
        ),
        Line(
            what="machines for vectors",
            amount=apart,
            unit="machines",
            comes_of=f"{written(size.memory_bytes)} each, {size.headroom:.0%} of it free"
            + (": all fits on each" if fits else ""),
        ),
        Line(
            what="machines",
            amount=by_rate + apart + size.spares,
            unit="machines",
            comes_of=f"the sum, and {size.spares} to spare",
        ),
    ], notes


def _by_product(what: str, bytes_: float, n: int) -> Line:
    return Line(what=what, amount=bytes_ * n, unit="bytes", comes_of=f"{bytes_:,.0f} bytes x {n:,} products")


def _sum(what: str, lines: Sequence[Line], comes_of: str) -> Line:
    return Line(what=what, amount=sum(line.amount for line in lines), unit=lines[0].unit, comes_of=comes_of)
