"""Lays colour, pattern, material and season on outlines, and collects the SVG of one product.

Forms (`demo.forms`) say where; the pen knows how each composition, pattern and season looks.
"""

from demo.emblems import emblem_at
from demo.items import Item
from demo.materials import MATERIALS, SOFT, Composition, Stops
from demo.palette import COLOURS, brightness, darker, lighter
from demo.patterns import Pattern, tile
from demo.shapes import SHEET, circle, line, rect

_SEASON_EDGES = {
    "Winter": ("#ffffff", 8.5, "0.1 6.5", "#aebccb"),
    "Autumn": ("#b8561b", 3.4, "7 4", "#5b2a0c"),
    "Spring": ("#ffb3d1", 6.5, "0.1 10", "#69b36b"),
    "Summer": ("#ffe14d", 3.2, "", "#f08a00"),
}
"""Colour, width, dash and under-line of the trim that tells the season."""

_GLOSS_STOPS: Stops = ((0, "#fff", 0.5), (0.4, "#fff", 0.05), (1, "#000", 0.3))
_METALS = {Composition.STEEL, Composition.GOLD, Composition.SILVER, Composition.COPPER}


def _stops(stops: Stops) -> str:
    return "".join(f'<stop offset="{o}" stop-color="{c}" stop-opacity="{a}"/>' for o, c, a in stops)


def _gradient(name: str, to: tuple[float, float], stops: Stops) -> str:
    """Return a gradient from the top left of a shape's box to `to`, in fractions of that box."""
    return f'<linearGradient id="{name}" x1="0" y1="0" x2="{to[0]}" y2="{to[1]}">{_stops(stops)}</linearGradient>'


class Pen:
    """Draws one product on a transparent sheet of 224 by 224 units.

    Attributes:
        item: what is drawn.
        main: `#rrggbb` of the first colour.
        second: `#rrggbb` of the second colour.
        back: whether the product is seen from behind.
    """

    def __init__(self, item: Item, *, back: bool = False, split_y: float = 118.0) -> None:
        self.item = item
        self.back = back
        self.main = COLOURS[item.colour].hex
        self.second = COLOURS[item.second_colour].hex
        self.material = MATERIALS[item.composition]
        self._split = split_y
        self._parts: list[str] = []

    def has(self, slot: str, value: str) -> bool:
        """Tell whether the detail `slot` of the product is `value`."""
        return self.item.details[slot] == value

    @property
    def ink(self) -> str:
        """A colour for lines and seams that shows on the first colour."""
        return lighter(self.main, 0.35) if brightness(self.main) < 60 else darker(self.main, 0.5)

    @property
    def hardware(self) -> str:
        """`#rrggbb` of buckles, zips and buttons: the composition's own metal, else steel."""
        return self.material.raw if self.item.composition in _METALS else "#c9ced6"

    def add(self, svg: str) -> None:
        """Append raw SVG."""
        self._parts.append(svg)

    def flat(self, path: str, fill: str, opacity: float = 1.0, rule: str = "nonzero") -> None:
        """Fill `path` with one colour."""
        extra = f' fill-opacity="{opacity}"' if opacity < 1 else ""
        extra += ' fill-rule="evenodd"' if rule == "evenodd" else ""
        self.add(f'<path d="{path}" fill="{fill}"{extra}/>')

    def line(
        self, path: str, colour: str = "", width: float = 2.0, dash: str = "", opacity: float = 1.0, cap: str = "round"
    ) -> None:
        """Stroke `path`; the default colour is that of seams."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        extra += f' stroke-opacity="{opacity}"' if opacity < 1 else ""
        self.add(
            f'<path d="{path}" fill="none" stroke="{colour or self.ink}" stroke-width="{width}"'
            f' stroke-linecap="{cap}" stroke-linejoin="round"{extra}/>'
        )

    def _outline(self, path: str, colour: str, rule: str) -> None:
        edge = "#6d6f78" if brightness(colour) < 60 else darker(colour, 0.42)
        self.line(path, edge, 1.6)
        if self.material.stitch and rule != "evenodd":
            self.line(path, self.material.stitch, 1.5, "4 3.4", 0.9)

    def body(self, path: str, rule: str = "nonzero", *, shade: bool = True) -> None:
        """Fill `path` with the first colour, the pattern and the material's texture and sheen."""
        fill = "url(#block)" if self.item.pattern is Pattern.COLOUR_BLOCK else self.main
        self.flat(path, fill, self.material.opacity, rule)
        if tile(self.item.pattern, self.main, self.second):
            self.flat(path, "url(#pattern)", 1.0, rule)
        self._surface(path, rule, shade=shade)
        self._outline(path, self.main, rule)

    def trim(self, path: str, rule: str = "nonzero") -> None:
        """Fill `path` with the second colour, with texture but without pattern."""
        self.flat(path, self.second, max(self.material.opacity, 0.85), rule)
        self._surface(path, rule, shade=self.material.sheen is not SOFT)
        self.line(path, "#6d6f78" if brightness(self.second) < 60 else darker(self.second, 0.42), 1.5)

    def dyed(self, path: str, rule: str = "nonzero") -> None:
        """Fill `path` with the first colour and a gloss, without pattern or texture."""
        self.flat(path, self.main, 1.0, rule)
        self.flat(path, "url(#gloss)", 1.0, rule)
        self.line(path, "#6d6f78" if brightness(self.main) < 60 else darker(self.main, 0.42), 1.5)

    def raw(self, path: str, rule: str = "nonzero") -> None:
        """Fill `path` with the bare material: metal, wood, unpainted clay."""
        self.flat(path, self.material.raw, 1.0, rule)
        self._surface(path, rule, shade=True)
        self.line(path, darker(self.material.raw, 0.5), 1.5)

    def metal(self, path: str, rule: str = "nonzero") -> None:
        """Fill `path` with the metal of buckles, zips and buttons."""
        self.flat(path, self.hardware, 1.0, rule)
        self.flat(path, "url(#gloss)", 1.0, rule)
        self.line(path, darker(self.hardware, 0.5), 1.3)

    def _surface(self, path: str, rule: str, *, shade: bool) -> None:
        if self.material.tile:
            self.flat(path, "url(#texture)", 1.0, rule)
        if shade:
            self.flat(path, "url(#sheen)", 1.0, rule)

    def season(self, path: str) -> None:
        """Run the season's trim along `path`.

        Fur in winter, stitching in autumn, blossom in spring, piping in summer, nothing all year round.
        """
        if self.item.season not in _SEASON_EDGES:
            return
        colour, width, dash, under = _SEASON_EDGES[self.item.season]
        self.line(path, under, width + (2.4 if dash != "0.1 10" else -3.5), "", 0.85)
        self.line(path, colour, width, dash)

    def emblem(self, x: float, y: float, size: float = 32) -> None:
        """Put the brand's mark at `(x + 112, y)`."""
        self.add(emblem_at(self.item.brand, x, y, size))

    def tag(self, x: float, y: float, from_x: float, from_y: float) -> None:
        """Hang a paper tag with the brand's mark at `(x + 112, y)`, its string tied at `(from_x, from_y)`.

        The season's trim runs along the foot of the tag.
        """
        self.line(line(from_x, from_y, x, y - 24), "#8b7d68", 1.3)
        card = rect(x - 20, y - 25, 40, 56, 5)
        self.flat(card, "#fffaf0")
        self.line(card, "#b9ab93", 1.3)
        self.flat(circle(x, y - 20.5, 2), "#8b7d68")
        self.season(line(x - 14, y + 24, x + 14, y + 24))
        self.emblem(x, y - 1, 33)

    def button(self, x: float, y: float, radius: float = 3.4, colour: str = "") -> None:
        """Sew a button on."""
        self.flat(circle(x, y, radius), colour or self.second)
        self.line(circle(x, y, radius), darker(colour or self.second, 0.5), 1.1)

    def zip(self, path: str) -> None:
        """Draw a zip along `path`."""
        self.line(path, "#3b3d45", 5)
        self.line(path, self.hardware, 3, "2 2")

    def _defs(self) -> str:
        parts = [
            _gradient("sheen", self.material.sheen_to, self.material.sheen),
            _gradient("gloss", (0.7, 1), _GLOSS_STOPS),
        ]
        if self.item.pattern is Pattern.COLOUR_BLOCK:
            stops = _stops(((0.5, self.main, 1), (0.5, self.second, 1)))
            place = f'gradientUnits="userSpaceOnUse" x1="0" y1="{self._split - 50}" x2="0" y2="{self._split + 50}"'
            parts.append(f'<linearGradient id="block" {place}>{stops}</linearGradient>')
        for name, content in (
            ("pattern", tile(self.item.pattern, self.main, self.second)),
            ("texture", self.material.tile),
        ):
            if content:
                width, height, svg = content
                size = f'patternUnits="userSpaceOnUse" width="{width}" height="{height}"'
                parts.append(f'<pattern id="{name}" {size}>{svg}</pattern>')
        return f"<defs>{''.join(parts)}</defs>"

    def svg(self) -> str:
        """Return the finished SVG document."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{SHEET}" height="{SHEET}" viewBox="0 0 {SHEET} {SHEET}">'
            f"{self._defs()}{''.join(self._parts)}</svg>"
        )
