"""A catalogue read as one, whatever its `split` column says and with or without one."""

from collections.abc import Iterator
from pathlib import Path

from models.product import SPLIT_ATTRIBUTE
from models.train.feed import CATALOGUE_FILE, Feed

WHOLE = "whole"


class WholeFeed(Feed):
    """A feed whose products are all of the split `WHOLE`."""

    @classmethod
    def open(cls, catalogue: Path) -> "WholeFeed":
        """Return the feed at `catalogue`, a Parquet file or a folder with `catalogue.parquet`; it is not read yet."""
        return cls(catalogue / CATALOGUE_FILE if catalogue.is_dir() else catalogue)

    def _rows(self, leaving_out: str | None = None) -> Iterator[tuple[int, dict[str, object]]]:
        for number, row in super()._rows(leaving_out):
            yield number, {**row, SPLIT_ATTRIBUTE: WHOLE}
