"""An audit as one HTML page without scripts or anything to fetch, for phones, light and dark."""

from collections.abc import Mapping, Sequence
from typing import Final

from models.category.audit import Audit
from models.category.audit_charts import CHART_STYLE, dimensions, matrix, most_disputed
from models.category.audit_report import CSV_FILE, Summary, Suspect
from models.report.charts import meter
from models.report.markup import Child, Markup, element
from models.report.style import STYLE
from models.subdimensions import CutOff

PAIRS: Final = 6
_COLOURS: Final = {"text": "c0", "image": "c1"}
_STYLE = """
.example { grid-template-columns: 112px minmax(0, 1fr); } .photo { width: 112px; }
.verdict { margin: 0 0 8px; overflow-wrap: anywhere; }
.verdict s { color: var(--soft); }
ul.notes { margin: 18px 0 0; padding-left: 1.2em; color: var(--soft); }
"""


def page(summary: Summary, top: Sequence[Suspect], pictures: Mapping[int, str], found: Audit) -> str:
    """Return the whole page.

    Args:
        summary: its figures.
        top: the products shown.
        pictures: by rank, a JPEG in base64.
        found: for the plots.
    """
    body = [
        _header(summary),
        _section("Most likely listed wrongly", _cards(top, pictures)),
        _section("Listed against judged", _matrix(found)),
        _section("The most confused pairs", _pairs(found)) if found.confused(1) else "",
        _footer(summary),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Category audit of {summary.catalogue}"),
        element("style", Markup(STYLE + _STYLE + CHART_STYLE)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', element('main', body)), lang='en')}\n"


def _section(heading: str, *children: Child) -> Markup:
    return element("section", element("h2", heading), children)


def _header(summary: Summary) -> Markup:
    split = "" if summary.split is None else f", split {summary.split}"
    expected = summary.wrong_share * summary.products
    lead = (
        f"{summary.products:,} products{split}, listed under {summary.classes:,} values of {summary.group}. "
        f"About {expected:,.0f} of them ({100 * summary.wrong_share:.1f}%) seem to be listed wrongly; "
        f"{summary.doubted:,} would be listed otherwise by their words and pictures."
    )
    return element(
        "header",
        element("p", "Category audit", class_="eyebrow"),
        element("h1", summary.catalogue),
        element("p", lead, class_="lead"),
        element("ul", [element("li", note) for note in summary.notes()], class_="notes"),
    )


def _cards(top: Sequence[Suspect], pictures: Mapping[int, str]) -> Markup:
    if not top:
        return element("div", element("p", "Nothing: every product is judged as it is listed."))
    note = (
        "Judged by words and pictures that had no part in learning the categories, nor had their variants. "
        f"{CSV_FILE} holds all products."
    )
    return element(
        "div",
        element("p", note),
        element("div", [_card(suspect, pictures.get(suspect.rank)) for suspect in top], class_="cards"),
    )


def _card(suspect: Suspect, picture: str | None) -> Markup:
    source = f"data:image/jpeg;base64,{picture}"
    photo = element("img", src=source, alt=f"Picture of {suspect.title}", class_="photo") if picture else ""
    says = (
        f"Words say {suspect.text_class} ({_percent(suspect.text_probability)}), "
        f"pictures {suspect.image_class} ({_percent(suspect.image_probability)})."
    )
    return element(
        "article",
        element("div", photo),
        element(
            "div",
            element("h3", suspect.title),
            element("p", element("s", suspect.listed), " → ", element("b", suspect.suggested), class_="verdict"),
            element(
                "p",
                f"Listed wrongly: {_percent(suspect.wrong_probability)} ",
                meter(suspect.wrong_probability, "c7"),
                class_="small",
            ),
            element("p", says, class_="small"),
            element("p", f"Rank {suspect.rank:,}, product {suspect.id}", class_="small"),
        ),
        class_="example",
    )


def _matrix(found: Audit) -> Markup:
    names, confusion = found.listed.names, found.confusion
    shown = most_disputed(confusion)
    some = "" if len(shown) == len(names) else f" The {len(shown)} classes of {len(names):,} with most disagreement."
    note = f"Rows are what products are listed as, columns what they are judged to be.{some}"
    drawn = element("div", matrix(confusion, names, shown), class_="scroll")
    return element("div", element("p", note), drawn)


def _pairs(found: Audit) -> Markup:
    note = (
        "How well each dimension of the vectors tells the two classes apart, once the spread within classes is evened "
        "out: its cross-variance score. The dashed line is the cut-off. The coloured dimensions are compared; at least "
        f"{CutOff().floor} are."
    )
    cards = [_pair(found, a, b) for a, b in found.confused(PAIRS)]
    return element("div", element("p", note), element("div", cards, class_="cards"))


def _pair(found: Audit, a: int, b: int) -> Markup:
    first, second = found.listed.names[a], found.listed.names[b]
    there, back = int(found.confusion[a, b]), int(found.confusion[b, a])
    drawn: list[Child] = []
    for kind, colour in _COLOURS.items():
        of_kind = found.dimensions(kind, a, b)
        kept = f"{'Words' if kind == 'text' else 'Pictures'}: {int(of_kind.kept.sum())} of {len(of_kind.kept)} kept"
        drawn += [element("p", kept, class_="small"), dimensions(of_kind, colour, f"{kept}, {first} against {second}")]
    counts = f"{there:,} listed as {first} and judged {second}, {back:,} the other way"
    return element("article", element("h3", f"{first} and {second}"), element("p", counts, class_="small"), drawn)


def _footer(summary: Summary) -> Markup:
    facts = (
        "The probability that a listing is wrong weighs what words and pictures say together against how many listings "
        f"are wrong, which is estimated. Encoder {summary.encoder}, {summary.fingerprint[:16]}; seed {summary.seed}."
    )
    return element("footer", facts)


def _percent(share: float) -> str:
    if share >= 0.9995:
        return "over 99.9%"
    return f"{100 * share:.1f}%" if share >= 0.995 else f"{100 * share:.0f}%"
