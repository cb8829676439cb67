import json
import shutil

import pytest

from indexer.bars import Bars
from indexer.bundle import BundleError, current_bundle
from indexer.evaluate import Report
from indexer.gate import report_checked, verdicts
from indexer.manifest import read_manifest, record_file, write_durably
from indexer.publish import (
    PublishError,
    bundle_folder,
    history,
    may_be_taken_back,
    publish,
    rollback,
    status,
    take_back,
)
from indexer.soundness import problems_of


@pytest.fixture
def data(built, tmp_path):
    """A data folder with the bundle under three ids, A the oldest."""
    manifest = read_manifest(built.path)
    for day, letter in enumerate("abc", 1):
        folder = shutil.copytree(built.path, tmp_path / "bundles" / f"2026010{day}T000000Z-{letter * 8}")
        renamed = manifest.model_copy(update={"id": folder.name})
        write_durably(folder / "manifest.json", renamed.to_bytes())
    return tmp_path


A, B, C = (f"2026010{day}T000000Z-{letter * 8}" for day, letter in enumerate("abc", 1))


def worsen(folder, **changes):
    """Sign the bundle anew with a worse report."""
    report = Report.model_validate_json((folder / "report.json").read_bytes()).model_copy(update=changes)
    (folder / "report.json").write_text(report.model_dump_json())
    manifest = read_manifest(folder)
    files = {**manifest.files, "report.json": record_file(folder / "report.json")}
    write_durably(folder / "manifest.json", manifest.model_copy(update={"files": files}).to_bytes())


def poor(folder, image):
    report = Report.model_validate_json((folder / "report.json").read_bytes())
    worsen(folder, self_retrieval=report.self_retrieval.model_copy(update={"image": image}))


def names(data):
    return sorted(p.name for p in data.iterdir())


def test_publishing_moves_current(data):
    entry = publish(data, A)
    assert (entry.action, entry.bundle, entry.previous, entry.forced) == ("publish", A, None, False)
    assert current_bundle(data).name == A
    assert (data / "current").readlink().as_posix() == f"bundles/{A}"
    assert publish(data, B).previous == A
    assert current_bundle(data).name == B
    assert names(data) == [".publish.lock", "bundles", "current", "gates.jsonl", "history.jsonl"]


def test_a_prefix_is_enough_where_it_is_the_only_one(data):
    assert publish(data, "20260102").bundle == B
    with pytest.raises(BundleError, match="several bundles are called '2026'"):
        publish(data, "2026")
    for unknown in ("2027", "", "..", "../bundles", f"../bundles/{A}"):
        with pytest.raises(BundleError, match="no bundle is called"):
            bundle_folder(data, unknown)


def test_rollback_goes_back_step_by_step(data):
    for bundle in (A, B, C):
        publish(data, bundle)
    assert rollback(data).bundle == B
    assert current_bundle(data).name == B
    assert rollback(data).bundle == A
    with pytest.raises(PublishError, match=f"no bundle was current before {A}"):
        rollback(data)
    assert current_bundle(data).name == A
    assert [(e.action, e.bundle) for e in history(data)] == [
        ("publish", A),
        ("publish", B),
        ("publish", C),
        ("rollback", B),
        ("rollback", A),
    ]


def test_publishing_again_does_not_hide_what_was_before(data):
    publish(data, A)
    publish(data, B)
    publish(data, B)
    assert rollback(data).bundle == A


def test_rollback_of_nothing(data):
    with pytest.raises(PublishError, match="nothing is published"):
        rollback(data)


def test_a_current_that_leads_nowhere_is_mended_by_publishing_or_rolling_back(data):
    publish(data, A)
    publish(data, B)
    shutil.rmtree(data / "bundles" / B)
    assert rollback(data).bundle == A
    shutil.rmtree(data / "bundles" / A)
    assert publish(data, C).previous == A
    assert current_bundle(data).name == C


def test_a_current_that_is_no_link_is_left_alone(data):
    (data / "current").mkdir()
    for act in (lambda: publish(data, A), lambda: rollback(data)):
        with pytest.raises(PublishError, match="not a symbolic link: move it away"):
            act()
    assert (data / "current").is_dir()
    assert not (data / "history.jsonl").exists()


@pytest.mark.parametrize("gone", [True, False])
def test_rollback_to_what_is_gone_or_damaged_leaves_current(data, gone):
    publish(data, A)
    publish(data, B)
    if gone:
        shutil.rmtree(data / "bundles" / A)
    else:
        (data / "bundles" / A / "text.faiss").write_bytes(b"nonsense")
    with pytest.raises(BundleError):
        rollback(data)
    assert current_bundle(data).name == B


def test_a_damaged_bundle_is_never_published(data):
    publish(data, A)
    (data / "bundles" / B / "entities.json").write_text("{}")
    for force in (False, True):
        with pytest.raises(BundleError, match=r"entities\.json"):
            publish(data, B, force=force)
    assert current_bundle(data).name == A
    assert len(history(data)) == 1


class TestGate:
    def test_refusal_says_which_and_by_how_much(self, data):
        publish(data, A)
        poor(data / "bundles" / B, 0.75)
        with pytest.raises(PublishError, match=r"self-retrieval of pictures is 0\.750, 0\.150 below 0\.900"):
            publish(data, B)
        assert current_bundle(data).name == A

    def test_force_is_recorded(self, data):
        poor(data / "bundles" / B, 0.75)
        entry = publish(data, B, force=True)
        assert entry.forced
        assert current_bundle(data).name == B
        (recorded,) = history(data)
        assert recorded.forced
        assert "0.150 below" in recorded.problems[0]

    def test_force_on_a_good_bundle_is_no_force(self, data):
        assert not publish(data, A, force=True).forced

    def test_every_measure(self, built):
        report = built.report
        bad = report.model_copy(
            update={
                "products": 0,
                "ann": {"image": report.ann["image"].model_copy(update={"recall_at_10": 0.5})},
                "self_retrieval": report.self_retrieval.model_copy(update={"image": 0.1, "text": 0.2}),
            }
        )
        problems = "; ".join(problems_of(report_checked(bad, Bars())))
        for said in (
            "no product",
            "ANN recall@10 of the image index is 0.500, 0.450 below",
            "pictures is 0.100",
            "texts is 0.200",
        ):
            assert said in problems
        assert problems_of(report_checked(report, Bars())) == ()

    def test_pictures_are_not_asked_of_a_catalogue_without(self, built):
        without = built.report.self_retrieval.model_copy(update={"image": None})
        report = built.report.model_copy(update={"self_retrieval": without})
        assert problems_of(report_checked(report, Bars())) == ()

    def test_a_report_of_another_shape_is_refused(self, data):
        folder = data / "bundles" / A
        (folder / "report.json").write_text("{}")
        manifest = read_manifest(folder)
        files = {**manifest.files, "report.json": record_file(folder / "report.json")}
        write_durably(folder / "manifest.json", manifest.model_copy(update={"files": files}).to_bytes())
        with pytest.raises(BundleError, match=r"report\.json: products: Field required"):
            publish(data, A)

    def test_what_was_refused_is_kept_beside_what_was_not(self, data):
        poor(data / "bundles" / B, 0.75)
        with pytest.raises(PublishError):
            publish(data, B)
        publish(data, A)
        refused, passed = verdicts(data)
        assert (refused.bundle, passed.bundle) == (B, A)
        assert "0.150 below" in refused.problems[0]
        assert passed.problems == ()


class TestTakingBack:
    """What a service does by itself: once for a bundle, and never from what was rolled back to."""

    def test_it_goes_back_and_says_why(self, data):
        publish(data, A)
        publish(data, B)
        entry = take_back(data, B, "it failed")
        assert (entry.action, entry.bundle, entry.previous) == ("rollback", A, B)
        assert history(data)[-1].reason == "it failed"
        assert history(data)[-1].automatic
        assert current_bundle(data).name == A

    def test_publishing_again_makes_no_difference(self, data):
        publish(data, A)
        publish(data, B)
        publish(data, B)
        assert take_back(data, B, "slow").bundle == A

    def test_only_one_of_several_processes_does(self, data):
        publish(data, A)
        publish(data, B)
        assert [take_back(data, B, "slow") is None for _ in range(3)] == [False, True, True]
        assert len(history(data)) == 3

    def test_not_from_what_was_rolled_back_to_nor_from_the_first(self, data):
        publish(data, A)
        assert not may_be_taken_back(data, A)
        assert take_back(data, A, "slow") is None
        publish(data, B)
        publish(data, C)
        rollback(data)
        assert take_back(data, B, "slow") is None
        assert current_bundle(data).name == B

    def test_what_was_taken_back_is_refused_and_once_forced_stays(self, data):
        publish(data, A)
        publish(data, B)
        take_back(data, B, "errors rose")
        with pytest.raises(PublishError, match="a service took it back by itself: errors rose"):
            publish(data, B)
        assert publish(data, B, force=True).forced
        assert take_back(data, B, "errors rose") is None
        assert current_bundle(data).name == B

    def test_not_to_what_is_damaged(self, data):
        publish(data, A)
        publish(data, B)
        (data / "bundles" / A / "text.faiss").write_bytes(b"nonsense")
        with pytest.raises(BundleError):
            take_back(data, B, "slow")
        assert current_bundle(data).name == B


class TestHistory:
    def test_a_last_line_cut_short_is_left_out(self, data):
        publish(data, A)
        with (data / "history.jsonl").open("a") as file:
            file.write('{"at": "2026')
        assert len(history(data)) == 1

    def test_and_the_next_entry_starts_a_line_of_its_own(self, data):
        publish(data, A)
        with (data / "history.jsonl").open("a") as file:
            file.write('{"at": "2026')
        publish(data, B)
        assert [e.bundle for e in history(data)] == [A, B]

    def test_damage_in_the_middle_is_said(self, data):
        publish(data, A)
        (data / "history.jsonl").write_text("nonsense\n" + (data / "history.jsonl").read_text())
        with pytest.raises(PublishError, match="line 1 is damaged"):
            history(data)


class TestStatus:
    def test_lists_all_with_what_is_wrong(self, data):
        publish(data, B)
        (data / "bundles" / ".building-1").mkdir()
        (data / "bundles" / A / "manifest.json").unlink()
        (data / "bundles" / C / "text.faiss").write_bytes(b"short")
        found = status(data)
        assert found.current == B
        assert [(b.id, b.is_current, b.problem is None) for b in found.bundles] == [
            (".building-1", False, False),
            (A, False, False),
            (B, True, True),
            (C, False, False),
        ]
        unfinished, without, good, short = found.bundles
        assert "unfinished" in unfinished.problem
        assert "missing" in without.problem
        assert "5 bytes" in short.problem
        assert good.size_bytes == sum(p.stat().st_size for p in (data / "bundles" / B).rglob("*") if p.is_file())
        assert good.manifest.counts.products == 40

    def test_digests_on_demand(self, data):
        path = data / "bundles" / A / "text.faiss"
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(bytes(content))
        assert status(data).bundles[0].problem is None
        assert "damaged" in status(data, verify=True).bundles[0].problem

    def test_of_nothing(self, tmp_path):
        assert status(tmp_path).bundles == ()

    def test_broken_current(self, data):
        (data / "current").symlink_to("bundles/gone")
        found = status(data)
        assert found.current is None
        assert "is no bundle of" in found.problem


def test_history_is_json_lines(data):
    publish(data, A)
    (line,) = (data / "history.jsonl").read_text().splitlines()
    assert json.loads(line)["bundle"] == A
