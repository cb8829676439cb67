"""Figures about categories as Markdown."""

from models.category.study import Figures, Study

_HEAD = (
    (
        "| knows | way | text acc. | macro F1 | ECE (by chance) | image acc. | macro F1 | ECE (by chance) | agree (F1) "
        "| errors left at 90% | s per million |"
    ),
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def study_table(study: Study) -> str:
    """Return the comparison, a line for every way."""
    lines = [
        (
            f"{study.classes} classes; {study.train['text']} items to fit on and calibrate with, "
            f"{study.evaluated['text']} judged"
        ),
        "pseudo-labels: "
        + ", ".join(
            f"{kind} {right:.3f} right, given to {share:.2f}" for kind, (right, share) in study.pseudo_right.items()
        ),
        "",
        *_HEAD,
    ]
    by_way = {(f.knows, f.way, f.kind): f for f in study.figures}
    agree = {(a.knows, a.way): a.weighted_f1 for a in study.agreements}
    for knows, way in dict.fromkeys((f.knows, f.way) for f in study.figures):
        text, image = by_way[knows, way, "text"], by_way[knows, way, "image"]
        cells = [
            knows,
            way,
            *_cells(text),
            *_cells(image),
            f"{agree[knows, way]:.3f}",
            f"{text.errors_left:.2f} / {image.errors_left:.2f}",
            f"{max(text.seconds_per_million, image.seconds_per_million):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(found: Figures) -> list[str]:
    error = f"{found.calibration_error:.3f} ({found.calibration_chance:.3f})"
    return [f"{found.accuracy:.3f}", f"{found.macro_f1:.3f}", error]
