"""Encoding alone: milliseconds for each text and picture, by batch size.

Cost model: one call of the encoder, decoding left out. Larger batches use the cores better until they no longer
fit the caches; a single item is what one shopper waits for.
"""

from collections.abc import Sequence
from functools import partial

from PIL.Image import Image

from benchmarks.record import spread, timed_ms
from models.encoder import Encoder

BATCHES = (1, 8, 32)


def figures(encoder: Encoder, texts: Sequence[str], images: Sequence[Image], repeats: int) -> dict[str, object]:
    """Return the median, fastest and slowest milliseconds of a call, by kind and batch size."""
    rows: dict[str, object] = {}
    for batch in BATCHES:
        some_texts = [texts[i % len(texts)] for i in range(batch)]
        some_images = [images[i % len(images)] for i in range(batch)]
        rows[f"text_b{batch}"] = spread(timed_ms(partial(encoder.encode_texts, some_texts), repeats))
        rows[f"image_b{batch}"] = spread(timed_ms(partial(encoder.encode_images, some_images), repeats))
    return {"encoder": encoder.name, "dimensions": encoder.dim, "milliseconds_per_call": rows}
