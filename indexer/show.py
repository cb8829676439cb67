"""What the command line shows people: a progress bar, and results as a few plain lines."""

import sys
from collections.abc import Mapping, Sequence
from typing import Never

from tqdm import tqdm

from indexer.build import Built
from indexer.evaluate import Report
from indexer.fold import Fold
from indexer.gate import Verdict
from indexer.judged import Judgement
from indexer.publish import BundleStatus, HistoryEntry, Status


class ProgressBar:
    """A progress bar on standard error: rows, rate, time left, bad rows, products that need not be encoded.

    Silent unless that is a terminal.
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._bar: tqdm[Never] | None = None

    def stage(self, name: str) -> None:
        """Begin a stage of the build; the first one counts rows."""
        self.close()
        is_first = name == "read and encode"
        layout = None if is_first else "{desc}"
        self._bar = tqdm(
            desc=name,
            total=self._total if is_first else None,
            unit=" products",
            bar_format=layout,
            leave=False,
            disable=not sys.stderr.isatty(),
        )

    def rows(self, accepted: int, rejected: int, reused: int) -> None:
        """Move the bar to so many products, and say how many rows were rejected, and how many products were kept."""
        if self._bar is not None:
            notes = [f"{reused:,} as they were"] if reused else []
            notes += [f"{rejected:,} bad rows"] if rejected else []
            self._bar.set_postfix_str(", ".join(notes), refresh=False)
            self._bar.update(accepted + rejected - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def built(result: Built) -> str:
    """Return a finished build in words."""
    counts = result.manifest.counts
    took = sum(result.report.stages_s.values())
    head = (
        f"{result.manifest.id}: {counts.products:,} products, {counts.images:,} pictures, "
        f"{counts.rejected:,} bad rows, {took:.1f} s"
    )
    recipes = [
        f"  {space} index: {r.recipe}, {_size(r.memory_bytes)}" + (f", width {r.width}" if r.width else "")
        for space, r in result.manifest.indexes.items()
    ]
    encoded = f"  {result.encoded:,} products encoded, {result.reused:,} as they were"
    return "\n".join([head, encoded, *recipes, report(result.report)])


def folded(fold: Fold) -> str:
    """Return what an update log changed of a catalogue in words."""
    return (
        f"  update log: {fold.put} products put, {fold.changed} changed, {fold.deleted} deleted; "
        f"up to change {fold.position.seq}"
    )


def report(measured: Report) -> str:
    """Return what was measured of a bundle in words."""
    lines = [
        f"  {space} index: ANN recall@10 {a.recall_at_10:.3f}, {a.p50_ms:.2f} ms (p95 {a.p95_ms:.2f})"
        for space, a in measured.ann.items()
    ]
    lines += [
        f"  {kind} ranking: recall@10 {a.recall_at_10:.3f}, {a.p50_ms:.2f} ms (p95 {a.p95_ms:.2f})"
        for kind, a in measured.ranking.items()
    ]
    found = measured.self_retrieval
    pictures = "no pictures" if found.image is None else f"{found.image:.3f} of {found.image_sample} pictures"
    lines.append(f"  find their own product: {pictures}, {found.text:.3f} of {found.text_sample} texts")
    return "\n".join(lines)


def judgement(judged: Judgement) -> str:
    """Return judged queries as a table."""
    lines = [
        _head(judged),
        f"{'kind':<18}{'queries':>8}{'nDCG@10':>9}{'MRR':>7}{'R@10':>7}{'S@1':>7}{'S@5':>7}{'ents@5':>8}{'link F1':>9}",
    ]
    for kind, r in judged.kinds.items():
        lines.append(
            f"{kind:<18}{r.queries:>8}{r.ndcg_at_10:>9.3f}{r.mrr:>7.3f}{r.recall_at_10:>7.3f}{r.success_at_1:>7.3f}"
            f"{r.success_at_5:>7.3f}{_share(r.entities_at_5):>8}{_share(r.linking_f1):>9}"
        )
    if judged.missing:
        lines.append(f"{judged.missing} relevant ids are not in this bundle: they count as not found")
    return "\n".join(lines)


def _head(judged: Judgement) -> str:
    fusion = judged.fusion
    return (
        f"{judged.bundle}, {judged.encoder}, entities {judged.entities}, image weight {fusion.image:g}, "
        f"lexical weight {fusion.lexical:g}"
    )


def modes(judged: Sequence[Judgement]) -> str:
    """Return nDCG@10 and MRR of several modes side by side, by kind of query."""
    first = judged[0]
    head = "".join(f"{each.mode + ' nDCG@10':>18}{'MRR':>7}" for each in judged)
    lines = [
        _head(first),
        f"{'kind':<18}{'queries':>8}{head}",
    ]
    for kind, r in first.kinds.items():
        figures = "".join(f"{e.kinds[kind].ndcg_at_10:>18.3f}{e.kinds[kind].mrr:>7.3f}" for e in judged)
        lines.append(f"{kind:<18}{r.queries:>8}{figures}")
    return "\n".join(lines)


def moved(entry: HistoryEntry) -> str:
    """Return a move of `current` in words."""
    before = f" (before: {entry.previous})" if entry.previous else ""
    forced = f"\nforced in spite of: {'; '.join(entry.problems)}" if entry.forced else ""
    return f"current is {entry.bundle}{before}{forced}"


def verdict(found: Verdict) -> str:
    """Return what the gate says in words: what speaks against a bundle, or how much was looked at."""
    refused = [f"  {problem}" for problem in found.problems]
    if refused:
        return "\n".join([f"the gate refuses {found.bundle}:", *refused])
    skipped = sum(check.outcome == "skipped" for check in found.checks)
    beside = f", against {found.against}" if found.against else ""
    left_out = f", {skipped} could not be made" if skipped else ""
    return f"the gate lets {found.bundle} through: {len(found.checks) - skipped} checks{beside}{left_out}"


def status(state: Status, judged: Mapping[str, Verdict] | None = None) -> str:
    """Return the state of a data folder, and what the gate said last of each bundle, in words."""
    lines = [line for b in state.bundles for line in _bundle_lines(b, (judged or {}).get(b.id))] or ["no bundles"]
    if state.problem:
        lines.append(f"current is broken: {state.problem}")
    elif state.current is None:
        lines.append("nothing is published")
    return "\n".join(lines)


def status_json(state: Status, judged: Mapping[str, Verdict] | None = None) -> Mapping[str, object]:
    """Return the state of a data folder, and what the gate said last of each bundle, for machines."""
    said = {name: found.model_dump(mode="json") for name, found in (judged or {}).items()}
    return {
        "current": state.current,
        "problem": state.problem,
        "bundles": [
            {
                "id": b.id,
                "is_current": b.is_current,
                "size_bytes": b.size_bytes,
                "problem": b.problem,
                "created_at": b.manifest.created_at if b.manifest else None,
                "encoder": b.manifest.encoder.name if b.manifest else None,
                "counts": b.manifest.counts.model_dump() if b.manifest else None,
                "gate": said.get(b.id),
            }
            for b in state.bundles
        ],
    }


def _bundle_lines(bundle: BundleStatus, judged: Verdict | None) -> list[str]:
    mark = "*" if bundle.is_current else " "
    if bundle.manifest is None:
        return [f"{mark} {bundle.id}  {_size(bundle.size_bytes)}  BROKEN: {bundle.problem}"]
    counts = bundle.manifest.counts
    broken = f"  BROKEN: {bundle.problem}" if bundle.problem else ""
    gate = "" if judged is None else "  REFUSED" if judged.problems else "  passed the gate"
    line = (
        f"{mark} {bundle.id}  {_size(bundle.size_bytes)}  {counts.products:,} products, {counts.images:,} pictures, "
        f"{bundle.manifest.encoder.name}{gate}{broken}"
    )
    return [line, *(f"    {problem}" for problem in (judged.problems if judged else ()))]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
