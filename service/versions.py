"""The bundles being served: the primary one, and others beside it for a share of the searches or to be compared.

Each follows the update log by itself, so that a change is seen in all of them. Which bundle answers is decided once
for a search, and all of its answer comes from that one. Opening and warming bundles is left to `service.swapping`.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field

from indexer.searchable import Searchable
from indexer.view import View
from service.errors import InvalidRequestError
from service.filters import Filters
from service.following import UPDATES, Follower
from service.served import Served
from service.synonyms import Table

_EVERYTHING: Final[frozenset[str]] = frozenset()


class Version:
    """One bundle, as updates change it.

    Attributes:
        served: What answers are computed from now.
        follower: Applies updates; None where there are none.
    """

    def __init__(self, served: Served) -> None:
        self.served = served
        self.follower: Follower | None = None
        self._changing = Lock()  # views come from the follower's thread, synonyms from others

    @property
    def id(self) -> str:
        """The bundle's."""
        return self.served.bundle_id

    @property
    def lacking(self) -> frozenset[str]:
        """What its answers go without at present."""
        lacking = _EVERYTHING if self.follower is None or self.follower.available else frozenset({UPDATES})
        return lacking if self.served.elsewhere is None else lacking | self.served.elsewhere.lacking

    def show(self, view: Searchable) -> None:
        """Answer from `view` from now on: the same bundle as it is now. Answers under way go on as they began."""
        position = "" if self.follower is None else str(self.follower.coming)
        filters = Filters(view.fields)
        with self._changing:
            self.served = replace(self.served, bundle=view, filters=filters, position=position)

    def reads_with(self, table: Table) -> bool:
        """Return whether queries are read with these synonyms already."""
        return self.served.synonyms.digest == table.digest

    def read_with(self, table: Table) -> None:
        """Read queries with these synonyms from now on."""
        synonyms = self.served.synonyms.of(table)
        with self._changing:
            self.served = replace(self.served, synonyms=synonyms)

    def close(self) -> None:
        """Follow no more. What is being answered from it goes on."""
        if self.follower is not None:
            self.follower.close()
            self.follower = None  # they lead to each other: both would outlive their last use


@dataclass(frozen=True, slots=True)
class Beside:
    """What a bundle beside the primary one is for.

    Attributes:
        share: Of the searches that name no bundle, how many it answers, 0 to 1.
        shadow: Of the searches that the primary one answers, how many it answers as well, to be compared, 0 to 1.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    shadow: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0


class Versions:
    """All that is served. Replaced as a whole, by one reference, and read once for each request.

    Attributes:
        refused: What should be served but cannot be, and why, by bundle.
        coming: What is about to be served: whoever waits for an update waits for this one, too.
    """

    def __init__(self, primary: Version) -> None:
        self.coming: Version | None = None
        self.refused: dict[str, str] = {}
        self._all: tuple[Version, Mapping[str, tuple[Version, Beside]]] = (primary, {})

    @property
    def primary(self) -> Version:
        """What answers if nothing else is said."""
        return self._all[0]

    @property
    def beside(self) -> Mapping[str, tuple[Version, Beside]]:
        """The others by bundle."""
        return self._all[1]

    @property
    def all(self) -> tuple[Version, ...]:
        """The primary one and the others."""
        primary, others = self._all
        return (primary, *(version for version, _ in others.values()))

    @property
    def splits(self) -> bool:
        """Whether others than the primary one have to do with searches that name no bundle."""
        return any(role.share or role.shadow for _, role in self.beside.values())

    def change(self, primary: Version, beside: Mapping[str, tuple[Version, Beside]]) -> None:
        """Serve these from now on."""
        self._all = (primary, dict(beside))

    def choose(self, bundle: str | None, visitor: str | None) -> Version:
        """Return what is to answer a search.

        Args:
            bundle: The bundle it names.
            visitor: Whoever asks: the same one gets the same bundle, as long as shares stay.

        Raises:
            InvalidRequestError: the bundle that it names is not served.
        """
        primary, others = self._all
        if bundle is not None:
            if bundle == primary.id:
                return primary
            if bundle not in others:
                served = ", ".join([primary.id, *others])
                msg = f"bundle: {bundle!r} is not being served; {served} may be asked."
                raise InvalidRequestError(msg, path="bundle")
            return others[bundle][0]
        if others:
            point = _point(visitor)
            for version, role in others.values():
                if point < role.share:
                    return version
                point -= role.share
        return primary

    def shadows(self) -> list[Version]:
        """Return what a search that the primary one answers is to be compared with."""
        return [version for version, role in self.beside.values() if role.shadow and _point(None) < role.shadow]

    async def reach(self, seq: int) -> None:
        """Wait until all that is served, or about to be, has applied the entry of this number of the log."""
        while behind := [follower for follower in self._followers if follower.applied < seq]:
            await asyncio.gather(*(follower.reach(seq) for follower in behind))

    @property
    def _followers(self) -> list[Follower]:
        versions = self.all if self.coming is None else (*self.all, self.coming)
        followers = [version.follower for version in versions]
        return [follower for follower in followers if follower is not None and not follower.closed]

    @property
    def view(self) -> View:
        """The primary catalogue as it is now.

        Raises:
            RuntimeError: it follows no updates.
        """
        follower = self.primary.follower
        if follower is None:
            msg = "this catalogue follows no updates"
            raise RuntimeError(msg)
        return follower.view


def _point(visitor: str | None) -> float:
    """Return a number in [0, 1), the same for the same visitor."""
    if visitor is None:
        return secrets.randbelow(1 << 32) / (1 << 32)
    return int.from_bytes(hashlib.blake2b(visitor.encode(), digest_size=4).digest()) / (1 << 32)
