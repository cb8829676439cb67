"""The bars of the gate, and `gate.toml` in the data folder, where a shop states its own.

[bars]
product_loss = 0.5
golden_loss = 0.02
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE: Final = "gate.toml"

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BarsError(ValueError):
    """Bars that cannot be read; the message names the file or the flag."""


class Bars(BaseModel):
    """What a bundle must show to go live. The defaults let a catalogue's ordinary change of a day through.

    Attributes:
        ann_recall: least share of the true ten nearest that each index finds.
        text_self_retrieval: least share of sampled texts that find their own product first, as the report has it.
        image_self_retrieval: the same of pictures.
        row_texts: least share of sampled texts that, encoded anew, give the stored vector.
        row_pictures: the same of thumbnails.
        picture_cosine: least median cosine between a thumbnail's vector and the stored one of its picture.
        words: least share of sampled products that the words of their title find.
        product_loss: most products that may go, of those that the current bundle has.
        growth: most products that may come, of those that the current bundle has.
        id_loss: most products that may be replaced by others.
        category_loss: most products of one category that may go.
        picture_loss: most pictures for each product that may go.
        damaged_texts: most products with damaged characters, over the share of the current bundle.
        title_change: most products whose title may be another one.
        price_loss: most prices that may be stated no more.
        prices_back: most of the prices that changed with the current bundle that may be as they were before it.
        golden_loss: most of nDCG@10 that the golden queries may lose.
        made_loss: most of nDCG@10 that queries made of the catalogue may lose.
        latency_ms: longest median of a ranking, in milliseconds.
        slowdown: how many times as long as in the current bundle it may take.
        latency_floor_ms: a ranking faster than this is never too slow.
        slack: so many products may always come or go; a category that small may end.
        enough: fewer products or queries in common than these are not compared.
        sample: things encoded anew, queries, and vectors searched.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ann_recall: Share = 0.95
    text_self_retrieval: Share = 0.9
    image_self_retrieval: Share = 0.9
    row_texts: Share = 0.98
    row_pictures: Share = 0.9
    picture_cosine: Share = 0.9
    words: Share = 0.9
    product_loss: Share = 0.2
    growth: Amount = 2.0
    id_loss: Share = 0.5
    category_loss: Share = 0.5
    picture_loss: Share = 0.2
    damaged_texts: Share = 0.01
    title_change: Share = 0.5
    price_loss: Share = 0.1
    prices_back: Share = 0.5
    golden_loss: Share = 0.05
    made_loss: Share = 0.1
    latency_ms: Amount = 250.0
    slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0
    latency_floor_ms: Amount = 10.0
    slack: Annotated[int, Field(ge=0)] = 2
    enough: Annotated[int, Field(ge=1)] = 20
    sample: Annotated[int, Field(ge=1, le=10_000)] = 128

    @classmethod
    def read(cls, data_dir: Path, stated: Iterable[str] = ()) -> Self:
        """Return the bars of a data folder's `gate.toml`, if there is one, and of flags `NAME=VALUE` before those.

        Raises:
            BarsError: the file or a flag does not say what it should.
        """
        path = data_dir / FILE
        values: dict[str, object] = {}
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except (ValueError, OSError) as error:
            msg = f"{path}: {error}"
            raise BarsError(msg) from error
        unknown = sorted(set(found) - {"bars"})
        if unknown or not isinstance(found.get("bars", {}), dict):
            msg = f"{path}: expected one table [bars], found {', '.join(unknown) or 'something else'}"
            raise BarsError(msg)
        values.update(found.get("bars", {}))
        cls._checked(str(path), values)
        given = dict(_flag(text) for text in stated)
        return cls._checked("--bar", {**values, **given})

    @classmethod
    def _checked(cls, where: str, values: dict[str, object]) -> Self:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise BarsError(msg) from error


def _flag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        msg = f"--bar {text!r}: expected NAME=VALUE"
        raise BarsError(msg)
    return name.strip(), value.strip()
