"""What a query looks for, as one mixture of its parts, and as one for each product that was found in its picture."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from indexer.searchable import Searchable
from models.capture.finder import shows_several
from service.answer import InstanceAnswer
from service.embed import IMAGE_TERM, single_term
from service.errors import InvalidRequestError
from service.instances import AUTO, Instances, Look, Products
from service.mixture import EncodedPart, Mixture, mix
from service.retrieve import Retrieved, likeness


def mixed(parts: Sequence[EncodedPart]) -> Mixture | None:
    """Return what to look for; None where all products are wanted, or words are matched as words alone.

    Raises:
        InvalidRequestError: the parts cancel out.
    """
    if not parts:
        return None
    mixture = mix(parts)
    if mixture is None:
        msg = "The parts cancel each other out: nothing is left to look for."
        raise InvalidRequestError(msg, path="query")
    return mixture


def undecided(look: Look | None) -> bool:
    """Return whether products were found that may yet be parts of the one that the picture shows."""
    if look is None or not look.found or look.mode != AUTO:
        return False
    return not shows_several([one.detection for one in look.found])


def products(bundle: Searchable, look: Look, parts: Sequence[EncodedPart]) -> Products:
    """Return the products to be searched for, none where the picture shows one.

    It does where it is, as a whole, as like a picture of the catalogue as the likest of what was found in it: then it
    shows one product as catalogue pictures do, and they are parts of it.
    """
    found = look.found or ()
    [whole] = [part.terms.vector for part in parts if part.number == look.part]
    alike = likeness(bundle, np.stack([whole, *(one.vector for one in found)]))
    return () if alike[0] >= alike[1:].max() else found


def mixtures(
    parts: Sequence[EncodedPart], look: Look | None, instances: Instances, found: Products
) -> list[Mixture | None]:
    """Return what to look for when each product that was found takes the place of its picture.

    Raises:
        InvalidRequestError: with one of them the parts cancel out.
    """
    if look is None or not found:
        return []
    terms = [single_term(IMAGE_TERM, vector) for vector in instances.led(found)]
    return [
        mixed([replace(part, terms=term) if part.number == look.part else part for part in parts]) for term in terms
    ]


def answers(found: Products | None, retrieved: Sequence[Retrieved]) -> tuple[InstanceAnswer, ...] | None:
    """Return what was found for each product; None where the picture was not looked into."""
    if found is None:
        return None
    return tuple(InstanceAnswer(one.detection, hits) for one, hits in zip(found, retrieved, strict=True))
