"""Figures and comparisons as plain text, for the terminal."""

from collections.abc import Sequence

from pydantic import TypeAdapter

from models.compare import Comparison
from models.measured import Direction, Evaluation

_COMPARISONS: TypeAdapter[list[Comparison]] = TypeAdapter(list[Comparison])
_WAYS = {"text_to_image": "text to image", "image_to_text": "image to text"}


def evaluation_table(figures: Evaluation) -> str:
    """Return the figures of one measurement; levels that cannot differ from `pair` are left out."""
    source = " linked from their texts" if figures.protocol.entities == "linked" and figures.entities else ""
    head = (
        f"{figures.encoder} on {figures.catalogue}/{figures.split}: {figures.products} products, "
        f"{figures.pictures} pictures, {figures.candidates_mean:.0f} candidates, "
        f"text of {' and '.join(figures.text_fields)}, entities {', '.join(figures.entities) or 'none'}{source}"
    )
    lines = [head]
    levels = [("pair", figures.pair)]
    levels += [("product", figures.product)] if figures.pictures > figures.products else []
    levels += [("text", figures.text)] if figures.indistinct else []
    for name, level in levels:
        lines.append(f"per {name}, sum of recalls {level.sum_r:.1f}, with 95% intervals")
        lines.append(f"  text to image  {_line(level.text_to_image)}")
        lines.append(f"  image to text  {_line(level.image_to_text)}")
    for group, found in (figures.linking or {}).items():
        lines.append(f"linked {group}: precision {found.precision:.3f}, recall {found.recall:.3f} of {found.stated}")
    return "\n".join(lines)


def _line(way: Direction) -> str:
    cells = (("R@1", way.r1), ("R@5", way.r5), ("R@10", way.r10))
    figures = (f"{k} {e.mean:.3f} [{e.low:.3f}, {e.high:.3f}]" for k, e in cells)
    return "  ".join((*figures, f"median rank {way.median_rank:g}"))


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Return one line per level, direction and depth; levels whose figures are those of an earlier one are left out."""
    lines = [f"{'':<24}{'':<6}{'A':>7}{'B':>8}{'A - B':>9}  {'95% interval':<18}{'p':>7}{'relative':>11}"]
    levels: dict[str, list[Comparison]] = {}
    for c in comparisons:
        levels.setdefault(c.key.partition("/")[0], []).append(c)
    seen: list[list[str]] = []
    for level, found in levels.items():
        figures = [_figures(c) for c in found]
        if figures not in seen:
            lines += [f"{f'{level}, {_way(c)}':<24}{line}" for c, line in zip(found, figures, strict=True)]
        seen.append(figures)
    return "\n".join(lines)


def _way(comparison: Comparison) -> str:
    way = comparison.key.partition("/")[2]
    return _WAYS.get(way, way)


def _figures(c: Comparison) -> str:
    relative = "" if c.relative is None else f"{100 * c.relative:+.1f}%"
    interval = f"[{c.low:+.4f}, {c.high:+.4f}]"
    means = f"{c.mean_a:>7.4f}{c.mean_b:>8.4f}{c.difference:>+9.4f}"
    return f"{f'R@{c.k}':<6}{means}  {interval:<18}{c.p_value:>7.4f}{relative:>11}"


def comparison_json(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a JSON list."""
    return _COMPARISONS.dump_json(list(comparisons), indent=2).decode()
