"""What an audit found, as a table of all products and the figures above it: CSV, JSON, lines for a terminal.

The page for people is made in `models.category.audit_page`.
"""

import base64
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from PIL import Image

from models.category.audit import LEAST, Audit
from models.picture import decode_picture
from models.product import Product
from models.train.feed import DataError, Feed

CSV_FILE: Final = "audit.csv"
PAGE_FILE: Final = "audit.html"
THUMBNAIL: Final = 256  # pixels, longer side


@dataclass(frozen=True, slots=True)
class Suspect:
    """One product of an audit; the columns of the table, in their order.

    Attributes:
        id: of the product.
        title: of the product.
        listed: the class it is listed under.
        text_class: what its words say.
        text_probability: that they are right.
        image_class: what its pictures say.
        image_probability: that they are right.
        suggested: what both together say; may be the listed one.
        wrong_probability: how likely the listed class is wrong.
        rank: from 1, the likeliest to be wrong.
    """

    id: str
    title: str
    listed: str
    text_class: str
    text_probability: float
    image_class: str
    image_probability: float
    suggested: str
    wrong_probability: float
    rank: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of an audit.

    Attributes:
        catalogue: its name.
        split: of it; None for all of it.
        encoder: its name.
        fingerprint: of the encoder.
        group: field or attribute that is the category.
        seed: of the folds, and of what was corrupted.
        products: audited.
        classes: they are listed under.
        unlisted: products that list no class.
        rare: classes left out because fewer than two products list them.
        without_picture: products left out because they have none.
        wrong_share: estimated share of listings that are wrong, in 0..1.
        doubted: products whose suggested class is another than the listed.
        corrupted: listings that were changed on purpose; None where none were to be.
        precision: share of those among as many first ranks.
    """

    catalogue: str
    split: str | None
    encoder: str
    fingerprint: str
    group: str
    seed: int
    products: int
    classes: int
    unlisted: int
    rare: tuple[str, ...]
    without_picture: int
    wrong_share: float
    doubted: int
    corrupted: int | None = None
    precision: float | None = None

    def notes(self) -> list[str]:
        """Return what a reader must know, a sentence each."""
        said = []
        if self.rare:
            named = ", ".join(self.rare[:8]) + (f" and {len(self.rare) - 8:,} more" if len(self.rare) > 8 else "")
            said.append(
                f"Left out, as fewer than {LEAST} products (variants count once) are listed under them: {named}."
            )
        if self.unlisted:
            said.append(f"{self.unlisted:,} products state no {self.group} and were not audited.")
        if self.without_picture:
            said.append(f"{self.without_picture:,} products without a picture were not audited.")
        if self.corrupted is not None and self.precision is not None:
            said.append(
                f"{self.corrupted:,} listings were corrupted on purpose (seed {self.seed}); "
                f"precision@{self.corrupted} {self.precision:.3f}."
            )
        return said


def suspects(found: Audit, products: Sequence[Product]) -> list[Suspect]:
    """Return all products audited, by rank.

    Args:
        found: the audit.
        products: all that were given to it, numbered as `found.rows` says.
    """
    names, listed = found.listed.names, found.listed.labels
    return [
        Suspect(
            id=products[found.rows[row]].id,
            title=products[found.rows[row]].title,
            listed=names[listed[row]],
            text_class=names[found.text.classes[row]],
            text_probability=float(found.text.probability[row]),
            image_class=names[found.image.classes[row]],
            image_probability=float(found.image.probability[row]),
            suggested=names[found.both.classes[row]],
            wrong_probability=float(found.wrong[row]),
            rank=rank,
        )
        for rank, row in enumerate(found.order.tolist(), start=1)
    ]


def doubted(all_ranked: Sequence[Suspect], most: int) -> list[Suspect]:
    """Return the first `most` of which the suggested class is not the listed one."""
    return [suspect for suspect in all_ranked if suspect.suggested != suspect.listed][:most]


def as_csv(all_ranked: Sequence[Suspect]) -> str:
    """Return the table, a line for each product below the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Suspect)])
    for suspect in all_ranked:
        writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in asdict(suspect).values()])
    return text.getvalue()


def as_json_value(summary: Summary, top: Sequence[Suspect]) -> dict[str, object]:
    """Return the figures and the products of `top` as plain values."""
    return {**asdict(summary), "top": [asdict(suspect) for suspect in top]}


def as_lines(summary: Summary, top: Sequence[Suspect], most: int = 10) -> Iterator[str]:
    """Yield what to print: the figures, the notes, and the first `most` of `top`."""
    yield (
        f"{summary.products:,} products of {summary.classes:,} classes, {summary.doubted:,} doubted; about "
        f"{summary.wrong_share * summary.products:,.0f} of the listings ({100 * summary.wrong_share:.1f}%) seem wrong"
    )
    yield from summary.notes()
    for suspect in top[:most]:
        yield (
            f"{suspect.rank:>4}  {suspect.wrong_probability:.3f}  {suspect.id}: {suspect.listed} -> {suspect.suggested}"
        )


def thumbnails(feed: Feed, split: str, rows: Sequence[int]) -> dict[int, str]:
    """Return a small JPEG in base64 of the first picture of those products of `split` that stand at `rows`.

    Raises:
        DataError: a picture cannot be read.
    """
    if not rows:
        return {}
    wanted = set(rows)
    items = enumerate(feed.items(split, pictures=1, limit=max(rows) + 1))
    return {row: thumbnail(item.pictures[0]) for row, item in items if row in wanted}


def thumbnail(data: bytes) -> str:
    """Return the picture of which `data` are the bytes as a JPEG in base64, at most `THUMBNAIL` pixels long."""
    image = decode_picture(data).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write `files`, name to text, into `folder`, which is made where there is none.

    Raises:
        DataError: that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {error.filename or folder}: {error.strerror}") from error
