"""Figures of instance search as plain values and as text."""

from collections.abc import Mapping, Sequence

from models.capture.evaluation import Evaluation
from models.metrics import PRODUCT1M_DEPTHS, Interval


def as_json_value(result: Evaluation) -> Mapping[str, object]:
    """Return the figures as plain values."""
    return {
        "pictures": result.pictures,
        "instances": result.instances,
        "products": result.products,
        "gallery": result.gallery,
        "detection": {name: _plain(one) for name, one in result.detection.items()},
        "instance": {name: {key: _plain(one) for key, one in row.items()} for name, row in result.instance.items()},
        "picture": {name: {key: _plain(one) for key, one in row.items()} for name, row in result.picture.items()},
        "differences": {
            name: {**_plain(Interval(one.mean, one.low, one.high)), "p": round(one.p_value, 4)}
            for name, one in result.differences.items()
        },
    }


def _plain(one: Interval) -> dict[str, float]:
    return {"mean": round(one.mean, 4), "low": round(one.low, 4), "high": round(one.high, 4)}


def as_table(result: Evaluation) -> str:
    """Return the figures as text, intervals of 95%."""
    gallery = f"gallery of {result.products:,} products, {result.gallery:,} pictures"
    lines = [f"{result.pictures} photos of {result.instances} products; {gallery}"]
    lines += [f"{name:<24}{_cell(one)}" for name, one in result.detection.items()]
    names = ("r1", "r5", "r10", "map10")
    lines.append(f"{'per product':<24}" + "".join(f"{name:<24}" for name in names))
    lines += [_row(name, row, names) for name, row in result.instance.items()]
    for n in PRODUCT1M_DEPTHS:
        keys = (f"product1m_map{n}", f"product1m_mar{n}", f"product1m_prec{n}", f"standard_map{n}")
        lines.append(f"{f'per photo, N = {n}':<24}" + "".join(f"{key:<24}" for key in keys))
        lines += [_row(name, row, keys) for name, row in result.picture.items()]
    lines += [
        f"mAP@10, {name:<32}{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]  p {one.p_value:.4f}"
        for name, one in result.differences.items()
    ]
    return "\n".join(lines)


def _row(name: str, row: Mapping[str, Interval], keys: Sequence[str]) -> str:
    return f"{name:<24}" + "".join(f"{_cell(row[key]):<24}" for key in keys)


def _cell(one: Interval) -> str:
    return f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"
