"""The report as one HTML page without scripts or anything to fetch, for light and dark screens."""

from collections.abc import Mapping, Sequence

from models.compare import Comparison
from models.encoder import WORDS_TERM
from models.gates import TermShare, ValueGate
from models.measured import Evaluation
from models.report.charts import histogram, interval, meter, waterfall
from models.report.collect import Example, GroupReport, Report
from models.report.markup import Child, Markup, element
from models.report.style import STYLE

_SHOWN = 12  # values of a group shown before the rest is folded away
_COLOURS = 8  # of groups, in the style; further groups start again


def page(report: Report) -> str:
    """Return the whole page."""
    colours = _colours(report)
    figures = report.given
    title = f"{figures.encoder} on {figures.catalogue}"
    body = [
        _header(report),
        element("p", report.note, class_="note") if report.note else "",
        _section("What it finds", _findings(report)),
        _section("What each entity group is worth", _worth(report.groups, colours)) if report.groups else "",
        _section("Gates", _gates(report, colours)) if report.values else "",
        _section("What a score is made of", _shares(report.terms, colours)) if report.terms else "",
        _section("Worked examples", _examples(report.examples, colours)) if report.examples else "",
        _footer(figures),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', element('main', body)), lang='en')}\n"


def _colours(report: Report) -> dict[str, str]:
    groups = [group.group for group in report.groups]
    return {WORDS_TERM: "words", **{group: f"c{number % _COLOURS}" for number, group in enumerate(groups)}}


def _section(heading: str, *children: Child) -> Markup:
    return element("section", element("h2", heading), children)


def _header(report: Report) -> Markup:
    figures = report.given
    text = f"{figures.products:,} products of {figures.catalogue}, split {figures.split}"
    advice = [element("li", group.advice, class_=group.verdict) for group in report.groups]
    return element(
        "header",
        element("p", "Gate report", class_="eyebrow"),
        element("h1", figures.encoder),
        element("p", text, class_="lead"),
        element("ul", advice, class_="advice") if advice else "",
    )


def _findings(report: Report) -> Markup:
    named = (("stated entities given", report.given), ("words alone", report.none))
    rows = [_finding(name, figures) for name, figures in named]
    head = _head("", "", "R@1", "R@5", "R@10", "Median rank")
    note = (
        f"Each text among {report.given.candidates_mean:,.0f} candidates, one picture of each product; "
        "in percent, with 95% intervals."
    )
    return element("div", element("p", note), _table(head, rows))


def _finding(name: str, figures: Evaluation) -> list[Markup]:
    rows = []
    for way, found in (("text to image", figures.pair.text_to_image), ("image to text", figures.pair.image_to_text)):
        cells = [
            element("td", element("b", _percent(e.mean)), element("small", f"{_percent(e.low)}–{_percent(e.high)}"))
            for e in (found.r1, found.r5, found.r10)
        ]
        rows.append(
            element("tr", element("th", name), element("td", way), cells, element("td", f"{found.median_rank:g}"))
        )
    return rows


def _worth(groups: Sequence[GroupReport], colours: Mapping[str, str]) -> Markup:
    reach = max((max(abs(c.low), abs(c.high)) for g in groups for c in (g.worth.r1, g.worth.r10)), default=0) or 1e-3
    rows = [
        [
            _worth_row(group, group.worth.r1, reach, colours[group.group]),
            _worth_row(group, group.worth.r10, reach, colours[group.group]),
        ]
        for group in groups
    ]
    note = (
        "Every group given, against all but one withheld at query time. Both directions together; the interval is "
        "of the paired difference. Right of the line: the group helps."
    )
    head = _head("Group", "Stated", "", "With", "Without", "Difference, points", "")
    ways = [
        element("tr", element("th", g.group), element("td", _way(c)), element("td", f"R@{c.k}"), _difference(c))
        for g in groups
        for c in g.worth.ways
    ]
    each = element(
        "details",
        element("summary", "Each direction"),
        _table(_head("Group", "Direction", "", "Difference, points"), ways),
    )
    return element("div", element("p", note), _table(head, rows), each)


def _worth_row(group: GroupReport, found: Comparison, reach: float, colour: str) -> Markup:
    return element(
        "tr",
        element("th", _swatch(colour), group.group),
        element("td", f"{100 * group.stated:.0f}%"),
        element("td", f"R@{found.k}"),
        element("td", _percent(found.mean_a)),
        element("td", _percent(found.mean_b)),
        _difference(found),
        element("td", interval(found, reach, colour)),
    )


def _difference(found: Comparison) -> Markup:
    spread = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    return element("td", element("b", f"{100 * found.difference:+.1f}"), element("small", spread))


def _way(found: Comparison) -> str:
    return found.key.partition("/")[2].replace("_", " ")


def _gates(report: Report, colours: Mapping[str, str]) -> Markup:
    cards = []
    for group in report.groups:
        if group.gates is None:
            continue
        values = [value for value in report.values if value.group == group.group]
        mean = group.gates
        facts = f"{mean.values:,} values; 80% of them between {mean.low:.2f} and {mean.high:.2f}; "
        facts += f"summand {mean.length:.2f} as long as the words"
        cards.append(
            element(
                "article",
                element("h3", _swatch(colours[group.group]), group.group),
                histogram([value.gate for value in values], mean.mean, colours[group.group]),
                element("p", facts, class_="small"),
                _values(values, colours[group.group]),
            )
        )
    note = (
        "The gate of every value the model knows, 0 to 1: how much of its entity is let into the text. The line is "
        "the mean, each value counted as often as training saw it."
    )
    return element("div", element("p", note), element("div", cards, class_="cards"))


def _values(values: Sequence[ValueGate], colour: str) -> Markup:
    ordered = sorted(values, key=lambda value: -(value.count or 0))
    rows = [
        element(
            "tr",
            element("th", value.value),
            element("td", "–" if value.count is None else f"{value.count:,}"),
            element("td", f"{value.gate:.2f}", meter(value.gate, colour)),
            element("td", f"{value.length:.2f}"),
        )
        for value in ordered
    ]
    head = _head("Value", "Seen", "Gate", "Length")
    rest = element("details", element("summary", f"{len(rows) - _SHOWN:,} more"), _table(head, rows[_SHOWN:]))
    return element("div", _table(head, rows[:_SHOWN]), rest if len(rows) > _SHOWN else "")


def _shares(terms: Sequence[TermShare], colours: Mapping[str, str]) -> Markup:
    rows = [
        element(
            "tr",
            element("th", _swatch(colours[term.term]), term.term),
            element("td", f"{100 * term.stated:.0f}%"),
            element("td", f"{term.mean:+.3f}"),
            element(
                "td",
                element("span", f"{100 * term.share:+.1f}%", class_="amount"),
                meter(abs(term.share), colours[term.term]),
            ),
        )
        for term in terms
    ]
    note = (
        "The score of a text with its own picture is the sum of what its words and each entity add, exactly. "
        "Means over all pairs; the shares add up to 100%."
    )
    head = _head("Term", "In texts", "Adds", "Share of the score")
    return element("div", element("p", note), _table(head, rows))


def _examples(examples: Sequence[Example], colours: Mapping[str, str]) -> Markup:
    note = (
        "The first two are where the entities gained most ranks, the third where they gained least, the others are "
        "spread over the split. Each bar starts where the one above ends; the last is their sum."
    )
    cards = [_example(example, colours) for example in examples]
    return element("div", element("p", note), element("div", cards, class_="cards wide"))


def _example(example: Example, colours: Mapping[str, str]) -> Markup:
    stated = ", ".join(f"{g} {value} (gate {example.gates[g]:.2f})" for g, value in example.entities.items())
    ranks = f"Rank {example.rank:,} with entities, {example.rank_of_words:,} by words alone."
    source = f"data:image/jpeg;base64,{example.picture}"
    return element(
        "article",
        element("img", src=source, alt=f"Picture of {example.title}", class_="photo"),
        element(
            "div",
            element("h3", example.title),
            element("p", stated or "No entity the model knows.", class_="small"),
            waterfall(example.parts, colours),
            element("p", ranks, class_="small"),
        ),
        class_="example",
    )


def _footer(figures: Evaluation) -> Markup:
    limit = "" if figures.protocol.limit is None else f", the first {figures.protocol.limit:,} products"
    facts = (
        f"Text of {' and '.join(figures.text_fields)}; entities {', '.join(figures.entities) or 'none'}; one picture "
        f"of each product{limit}; {figures.indistinct:,} products share their text and entities with another; "
        f"seed {figures.seed}. Encoder {figures.fingerprint[:16]}, data {figures.data[:16]}."
    )
    return element("footer", facts)


def _table(head: Markup, rows: Child) -> Markup:
    return element("div", element("table", head, element("tbody", rows)), class_="scroll")


def _head(*names: str) -> Markup:
    return element("thead", element("tr", [element("th", name) for name in names]))


def _swatch(colour: str) -> Markup:
    return element("span", class_=f"swatch fill-{colour}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
