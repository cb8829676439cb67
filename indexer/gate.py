"""The gate: what a bundle has to show before it goes live, and the verdicts that were passed.

A build writes its own report, so what can be looked at again is: vectors, rows, indexes and words in the bundle as it
is (`indexer.soundness`), products, prices, judged queries and latency against the bundle that is current
(`indexer.against`). Every verdict is kept in `gates.jsonl` in the data folder, passed ones too. Moving `current` is
left to `indexer.publish`.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from indexer import against
from indexer.bars import Bars
from indexer.bundle import PRODUCTS, Bundle, BundleError
from indexer.checks import Check, at_least, none_of, skipped
from indexer.evaluate import Report
from indexer.freshness import fresh
from indexer.judged import JudgedQuery, read_queries
from indexer.manifest import SPACES
from indexer.products import ProductTable
from indexer.soundness import (
    RowBars,
    Sample,
    ids_checked,
    indexes_checked,
    lexical_checked,
    problems_of,
    rows_checked,
    vectors_checked,
    words_checked,
)
from indexer.updates import UpdateLog
from models.encoder import Encoder

VERDICTS: Final = "gates.jsonl"
GOLDEN: Final = "golden.jsonl"


class Verdict(BaseModel):
    """What a bundle was found to be at one time.

    Attributes:
        at: when, in UTC.
        bundle: whose.
        digest: of its content.
        against: the bundle that was current; None: none, or it cannot be read.
        encoder: fingerprint of the encoder that sampled things were encoded with; None: there was none.
        golden: digest of the file of golden queries; None: there was none.
        checks: all that was looked at.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: str
    bundle: str
    digest: str
    against: str | None
    encoder: str | None
    golden: str | None
    checks: tuple[Check, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against the bundle: which check, its value, the bar, and by how much it is missed."""
        return problems_of(self.checks)


@dataclass(frozen=True, slots=True)
class Before:
    """What was there before a bundle.

    Attributes:
        current: the bundle that is current; None: there is none, or it cannot be read.
        earlier: products of the one before that.
        verdicts: what was found so far, the latest last.
        taken_back: why a service took the bundle that is judged back by itself; None: none did.
    """

    current: Bundle | None = None
    earlier: ProductTable | None = None
    verdicts: Sequence[Verdict] = ()
    taken_back: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """How bundles are judged.

    Attributes:
        encoder: encodes samples anew; None: what takes an encoder is left out, and the verdict says so.
        bars: what they are held to; None: those of the data folder.
        golden: a file of judged queries; None: `golden.jsonl` in the data folder, where there is one.
        log: the update log; None: there is none.
        new_model: whether another encoder than the current bundle's is what is wanted.
    """

    encoder: Encoder | None = None
    bars: Bars | None = None
    golden: Path | None = None
    log: UpdateLog | None = None
    new_model: bool = False

    def judge(self, data_dir: Path, bundle: Bundle, before: Before) -> Verdict:
        """Look at all of an open bundle and return what was found.

        Raises:
            BundleError: its report is none.
            QueriesError: the golden queries cannot be read.
            BarsError: the bars cannot be read.
        """
        path = self._golden_path(data_dir)
        queries = read_queries(path) if path is not None else None
        judging = _Judging(self, self.bars or Bars.read(data_dir), bundle, before, queries, _digest(path))
        return Verdict(
            at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            bundle=bundle.manifest.id,
            digest=bundle.manifest.digest,
            against=before.current.manifest.id if before.current is not None else None,
            encoder=self.encoder.fingerprint if self.encoder is not None else None,
            golden=_digest(path),
            checks=tuple(judging.checks()),
        )

    def _golden_path(self, data_dir: Path) -> Path | None:
        if self.golden is not None:
            return self.golden
        own = data_dir / GOLDEN
        return own if own.exists() else None


@dataclass(frozen=True, slots=True)
class _Judging:
    """One bundle being judged."""

    gate: Gate
    bars: Bars
    bundle: Bundle
    before: Before
    golden: Sequence[JudgedQuery] | None
    golden_digest: str | None

    def checks(self) -> Iterator[Check]:
        """Yield all checks, those of the bundle itself first."""
        vectors = [vectors_checked(self.bundle, space) for space in SPACES]
        lexical = lexical_checked(self.bundle)
        sound = not any(check.failed for check in (*vectors, lexical))
        yield from report_checked(report_of(self.bundle), self.bars)
        yield ids_checked(self.bundle)
        yield from vectors
        yield self._model()
        yield lexical
        if not lexical.failed:
            yield words_checked(self.bundle, self.bars.words, self._sample)
        yield from self._searched() if sound else [skipped("searches", "vectors or words are unsound")]
        yield from against.texts(self.bundle, self.before.current, self.bars)
        if self.before.current is None:
            yield skipped("against", "there is no current bundle to compare with")
        else:
            yield from against.coverage(self.bundle, self.before.current, self.bars)
            yield from against.prices(self.bundle, self.before.current, self.before.earlier, self.bars)
        yield from fresh(self.bundle, self.before.current, self.gate.log)
        if self.before.taken_back is not None:
            says = f"a service took it back by itself: {self.before.taken_back}"
            yield Check(name="taken-back", outcome="failed", says=says)

    @property
    def _sample(self) -> Sample:
        return Sample(self.bars.sample)

    def _searched(self) -> Iterator[Check]:
        """Yield what is found out by encoding and searching."""
        bars, current = self.bars, self._searchable_current()
        yield from indexes_checked(self.bundle, bars.ann_recall, self._sample)
        yield from against.latency(self.bundle, current, bars, self._sample)
        encoder = self._encoder()
        if encoder is None:
            yield skipped("rows", "its encoder is not at hand: nothing was encoded anew")
            return
        share = RowBars(bars.row_texts, bars.row_pictures, bars.picture_cosine)
        yield from rows_checked(self.bundle, encoder, share, self._sample)
        alike = current is not None and current.manifest.encoder.fingerprint == encoder.fingerprint
        if self.golden is not None:
            yield self._golden(encoder, current if alike else None)
        elif current is not None and alike:
            yield against.made(self.bundle, current, encoder, bars, self._sample)

    def _searchable_current(self) -> Bundle | None:
        """Return the current bundle where it can be searched at all: a broken one stands in nobody's way."""
        current = self.before.current
        if current is None or lexical_checked(current).failed:
            return None
        return None if any(vectors_checked(current, space).failed for space in SPACES) else current

    def _encoder(self) -> Encoder | None:
        """Return the encoder, if it is the one that the bundle states."""
        encoder = self.gate.encoder
        same = encoder is not None and encoder.fingerprint == self.bundle.manifest.encoder.fingerprint
        return encoder if same else None

    def _model(self) -> Check:
        """Check that the encoder is the one that serves, and the current bundle's unless a new one is meant."""
        stated, encoder = self.bundle.manifest.encoder, self.gate.encoder
        faults = []
        if encoder is not None and encoder.fingerprint != stated.fingerprint:
            faults.append(
                f"wrong model: the bundle states {stated.name} ({stated.fingerprint[:12]}), the encoder at hand is "
                f"{encoder.name} ({encoder.fingerprint[:12]}): name the bundle's own with --encoder"
            )
        current = self.before.current
        if current is not None and not self.gate.new_model:
            served = current.manifest.encoder
            if served.fingerprint != stated.fingerprint:
                faults.append(
                    f"wrong model: the bundle states {stated.name} ({stated.fingerprint[:12]}), the current one "
                    f"{served.name} ({served.fingerprint[:12]}): services refuse it; --new-model if it is meant"
                )
        return none_of("model", f"made by {stated.name} ({stated.fingerprint[:12]})", faults)

    def _golden(self, encoder: Encoder, current: Bundle | None) -> Check:
        """Check the golden queries against the current bundle, or what was recorded of it where its encoder is gone."""
        queries = self.golden or ()
        if current is None and self.before.current is not None:
            recorded = self._recorded(self.before.current.manifest.id)
            now = against.golden(self.bundle, None, encoder, queries, self.bars)
            if recorded is not None and now.measured is not None:
                return against.compared("golden", now.measured, recorded, self.bars.golden_loss)
            return now
        return against.golden(self.bundle, current, encoder, queries, self.bars)

    def _recorded(self, bundle_id: str) -> float | None:
        """Return the nDCG@10 of the same golden queries that was recorded of a bundle; None: none was."""
        for verdict in reversed(self.before.verdicts):
            if verdict.bundle == bundle_id and verdict.golden == self.golden_digest:
                return next((check.measured for check in verdict.checks if check.name == "golden"), None)
        return None


def report_of(bundle: Bundle) -> Report:
    """Return the report of an open bundle.

    Raises:
        BundleError: it is none.
    """
    try:
        return Report.model_validate(bundle.report)
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"{bundle.path}: report.json: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BundleError(msg) from error


def report_checked(report: Report, bars: Bars) -> list[Check]:
    """Return what a bundle's own report comes to: it was measured on more than is looked at again."""
    found = report.self_retrieval
    checks = [none_of("report/products", f"{report.products:,} products", [] if report.products else ["no product"])]
    checks += [
        at_least(f"report/ann-recall/{space}", f"ANN recall@10 of the {space} index", ann.recall_at_10, bars.ann_recall)
        for space, ann in report.ann.items()
    ]
    if found.image is not None:
        what = "self-retrieval of pictures"
        checks.append(at_least("report/self-retrieval/image", what, found.image, bars.image_self_retrieval))
    what = "self-retrieval of texts"
    checks.append(at_least("report/self-retrieval/text", what, found.text, bars.text_self_retrieval))
    return checks


def earlier_products(folder: Path) -> ProductTable | None:
    """Return the products of a bundle, None if they cannot be read."""
    try:
        return ProductTable.open(folder / PRODUCTS)
    except BundleError:
        return None


def verdicts(data_dir: Path) -> list[Verdict]:
    """Return all verdicts that were kept, the earliest first; lines that cannot be read are left out."""
    path = data_dir / VERDICTS
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            found.append(Verdict.model_validate_json(line))
        except ValidationError:
            continue  # cut short by a crash, or of another release: it decides nothing by itself
    return found


def _digest(path: Path | None) -> str | None:
    try:
        return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
