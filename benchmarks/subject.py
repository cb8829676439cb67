"""What is measured: a published bundle and the encoder that made it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.bundle import Bundle, current_bundle
from indexer.manifest import BundleError
from models.checkpoint import load_encoder
from models.encoder import Encoder

MOST_TITLES, MOST_PICTURES = 5_000, 500


@dataclass(frozen=True)
class Subject:
    """A published bundle and its encoder.

    Attributes:
        data_dir: where it is published.
        encoder_name: as the service takes it.
        bundle: opened.
    """

    data_dir: Path
    encoder_name: str
    bundle: Bundle

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded when first asked for."""
        return load_encoder(self.encoder_name)

    @cached_property
    def titles(self) -> list[str]:
        """Titles of products."""
        return [self.bundle.products[row].title for row in range(min(MOST_TITLES, len(self.bundle.products)))]

    @cached_property
    def pictures(self) -> list[bytes]:
        """The first pictures of products, as JPEG files."""
        found = (self.bundle.thumbnail(row, 0) for row in range(min(MOST_PICTURES, len(self.bundle.products))))
        return [picture for picture in found if picture is not None]

    @property
    def picture_vectors(self) -> NDArray[np.float32]:
        """The vectors of all pictures, `(n, d)`."""
        return np.asarray(self.bundle.vectors["image"], dtype=np.float32)


@contextmanager
def opened(data_dir: Path, encoder_name: str) -> Iterator[Subject]:
    """Open the published bundle of a data folder.

    Raises:
        BundleError: nothing is published there, or it is damaged.
    """
    current = current_bundle(data_dir)
    if current is None:
        msg = f"{data_dir} has no published bundle"
        raise BundleError(msg)
    with Bundle.open(current) as bundle:
        yield Subject(data_dir, encoder_name, bundle)
