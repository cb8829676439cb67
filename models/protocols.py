"""What a retrieval measurement is: which products, which candidates, and what each text is given.

Plain values, so that they travel in flags, figures and studies. Measuring is left to `models.evaluate`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from models.product import TextField

SAMPLE = 100
SAMPLE_SEED = 2022  # published: the sampled candidates are part of the figure
CATEGORY = "category"

Candidates = Literal["full", "100"]
EntitySource = Literal["given", "none", "linked"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is measured.

    Attributes:
        split: of the catalogue.
        candidates: every product, or 100 of the query's category.
        pictures: of each product, at most; None for all.
        limit: products, at most; None for all.
        entities: those the catalogue states, none, or those linked from the product's own title and description
            by a linker that has seen the split `train` only.
        category_group: the entity group or attribute that `candidates="100"` samples within.
        text_fields: what a text is made of; None for the fields the encoder was trained to read.
        withheld: entity groups that are not given.
    """

    split: str = "test"
    candidates: Candidates = "full"
    pictures: int | None = 1
    limit: int | None = None
    entities: EntitySource = "given"
    category_group: str = CATEGORY
    text_fields: tuple[TextField, ...] | None = None
    withheld: tuple[str, ...] = ()

    def groups(self, known: Iterable[str]) -> tuple[str, ...]:
        """Return which of the entity groups an encoder knows are given with a text, in their order.

        All candidates of a sample share its category, so it is withheld there; and so is `category` where the
        sample is of a broader group (the sub-category of a shirt is known from its being a shirt).
        """
        if self.entities == "none":
            return ()
        sampled_within = {self.category_group, CATEGORY} if self.candidates == "100" else set()
        return tuple(group for group in known if group not in sampled_within | set(self.withheld))
