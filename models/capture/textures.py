"""Procedural textures: wood, fabric, stone, tiles, paper, gradients and noise.

A texture is a field of `(h, w) uint8` and a palette of 256 colours it is painted with: both are cheap, and few of
each give many surfaces. Which texture a picture gets is left to `models.capture.backgrounds`.
"""

import colorsys
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.uint8]
Size = tuple[int, int]
_Wave = NDArray[np.float32]


def painted(field: Field, palette: NDArray[np.uint8]) -> Image.Image:
    """Return `field` in the colours of `palette` `(256, 3) uint8`, RGB."""
    image = Image.fromarray(field)
    image.putpalette(palette.tobytes())
    return image.convert("RGB")


def palette(rng: np.random.Generator, *, hues: tuple[float, float] = (0, 1), spread: float = 0.35) -> NDArray[np.uint8]:
    """Return 256 colours from a darker to a lighter one, by way of a third.

    Args:
        rng: decides.
        hues: range of the hue, 0..1 around the circle.
        spread: difference in lightness between the ends, at most.
    """
    hue = rng.uniform(*hues)
    value, saturation = 1 - 0.75 * rng.random() ** 1.6, 0.75 * rng.random() ** 1.5
    low = value - rng.uniform(0.2, 1) * spread
    stops = [
        colorsys.hsv_to_rgb(hue % 1, saturation, max(low, 0.04)),
        colorsys.hsv_to_rgb((hue + rng.normal(0, 0.03)) % 1, min(1, saturation * 1.1), max((low + value) / 2, 0.04)),
        colorsys.hsv_to_rgb((hue + rng.normal(0, 0.06)) % 1, saturation * rng.uniform(0.6, 1), value),
    ]
    steps = np.linspace(0, 2, 256)
    channels = [np.interp(steps, [0, 1, 2], [stop[channel] for stop in stops]) for channel in range(3)]
    return np.round(255 * np.stack(channels, axis=1)).astype(np.uint8)


def noise(rng: np.random.Generator, size: Size, cell: Size) -> Field:
    """Return smooth noise that changes over `cell` pixels, across and down; `size` is width, height."""
    width, height = size
    grid = rng.integers(0, 256, (height // cell[1] + 3, width // cell[0] + 3), dtype=np.uint8)
    return np.asarray(
        Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC, (1, 1, *(n - 1 for n in grid.T.shape)))
    )


def fractal(rng: np.random.Generator, size: Size, cell: int, octaves: int = 3) -> Field:
    """Return noise of `octaves` scales, each half as large and half as strong as the one before."""
    total = np.zeros(size[::-1], dtype=np.uint16)
    for octave in range(octaves):
        side = max(1, cell >> octave)
        total += noise(rng, size, (side, side)).astype(np.uint16) << (octaves - 1 - octave)
    return np.asarray(total // ((1 << octaves) - 1), dtype=np.uint8)


def _cells(rng: np.random.Generator, size: Size, low: float, high: float) -> int:
    """Return a length in pixels, `low` to `high` of the picture's width, evenly over the logarithm."""
    return max(2, round(size[0] * float(np.exp(rng.uniform(np.log(low), np.log(high))))))


def _stretched(wave: _Wave, low: float = 0, high: float = 255) -> Field:
    span = max(float(np.ptp(wave)), 1e-6)
    return np.asarray(low + (high - low) / span * (wave - wave.min()), dtype=np.uint8)


def plain(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return one colour, often white or near it."""
    if rng.random() < 0.4:
        return Image.new("RGB", size, (int(rng.integers(238, 256)),) * 3)
    red, green, blue = (int(part) for part in palette(rng)[128])
    return Image.new("RGB", size, (red, green, blue))


def gradient(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return colours that fade across, or out from a place, as walls and studio backdrops do."""
    x = np.linspace(-1, 1, size[0], dtype=np.float32) - np.float32(rng.uniform(-0.5, 0.5))
    y = np.linspace(-1, 1, size[1], dtype=np.float32) - np.float32(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        wave = np.float32(np.cos(angle)) * x[None] + np.float32(np.sin(angle)) * y[:, None]
    else:
        wave = -(x[None] ** 2 + y[:, None] ** 2)
    return painted(_stretched(wave), palette(rng, spread=0.5))


def clouds(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return fractal noise: plaster, fog, foliage out of focus."""
    return painted(fractal(rng, size, _cells(rng, size, 0.04, 0.4), 4), palette(rng, spread=0.6))


def wood(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return grain, with joints between boards or without."""
    across = rng.random() < 0.7
    width, height = size if across else size[::-1]
    grain = noise(rng, (width, height), (max(2, width // 2), _cells(rng, (width, height), 0.02, 0.08)))
    fine = noise(rng, (width, height), (max(2, width // 6), 2))
    rings = np.linspace(0, rng.uniform(3, 14), height, dtype=np.float32)[:, None]
    wave = np.sin(2 * np.pi * (rings + grain * np.float32(rng.uniform(1, 3) / 255)))
    field = (128 + 70 * wave + (fine.astype(np.float32) - 128) * np.float32(0.4)).clip(0, 255)
    if rng.random() < 0.6:
        boards = int(rng.integers(2, 6))
        shades = np.repeat(rng.integers(-35, 36, boards), -(-height // boards))[:height]
        field = (field + shades[:, None]).clip(0, 255)
        field[:: max(2, height // boards)] = 0
    colours = palette(rng, hues=(0.04, 0.11), spread=0.4) if rng.random() < 0.8 else palette(rng)
    field = field.astype(np.uint8)
    return painted(field if across else np.ascontiguousarray(field.T), colours)


def fabric(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return a weave: threads, stripes or checks, a little uneven."""
    period = _cells(rng, size, 0.008, 0.15)
    columns = _stripes(rng, size[0], period)
    rows = _stripes(rng, size[1], period) if rng.random() < 0.6 else np.zeros(size[1], dtype=np.float32)
    uneven = noise(rng, size, (3, 3)).astype(np.float32) * np.float32(rng.uniform(0.1, 0.5))
    return painted(_stretched(columns[None] + rows[:, None] + uneven), palette(rng, spread=0.5))


def _stripes(rng: np.random.Generator, length: int, period: int) -> _Wave:
    within = np.arange(length) % (2 * period)
    sharp = (within < period).astype(np.float32) * 127
    return sharp if rng.random() < 0.5 else (64 + 64 * np.sin(np.pi * within / period)).astype(np.float32)


def stone(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return speckles on clouds: stone, concrete, sand."""
    base = fractal(rng, size, _cells(rng, size, 0.05, 0.3)).astype(np.int16)
    speckle = rng.integers(-40, 41, size[::-1], dtype=np.int16)
    field = (base + speckle).clip(0, 255).astype(np.uint8)
    return painted(field, palette(rng, hues=(0.05, 0.18), spread=0.5))


def tiles(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return tiles or bricks with joints, each a shade of its own."""
    wide, high = _cells(rng, size, 0.08, 0.4), _cells(rng, size, 0.08, 0.3)
    columns, rows = -(-size[0] // wide), -(-size[1] // high)
    shades = rng.integers(110, 256, (rows, columns), dtype=np.uint8)
    field = np.repeat(np.repeat(shades, high, 0), wide, 1)[: size[1], : size[0]]
    joint = max(1, wide // 24)
    field = field - (noise(rng, size, (6, 6)) >> 3)
    shade = int(rng.integers(0, 160))
    for start in range(joint):
        field[start::high] = shade
        field[:, start::wide] = shade
    return painted(field, palette(rng, spread=0.5))


def paper(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return fine fibres on one colour, faint."""
    fibres = noise(rng, size, (4, 2)) // 2 + rng.integers(0, 128, size[::-1], dtype=np.uint8)
    return painted(fibres, palette(rng, spread=0.1))


PAINTERS: Final[dict[str, Callable[[np.random.Generator, Size], Image.Image]]] = {
    "plain": plain,
    "gradient": gradient,
    "clouds": clouds,
    "wood": wood,
    "fabric": fabric,
    "stone": stone,
    "tiles": tiles,
    "paper": paper,
}
"""By name. Each takes what decides and (width, height) in pixels, and returns RGB of that size."""
