"""What an audit is told by: table, lines, JSON, and a page that is whole, safe and needs nothing else."""

import base64
import csv
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from models.category.audit import PairDimensions, audit, corrupted
from models.category.audit_charts import dimensions, matrix, most_disputed
from models.category.audit_page import page
from models.category.audit_report import (
    Summary,
    Suspect,
    as_csv,
    as_json_value,
    as_lines,
    doubted,
    suspects,
    thumbnail,
    write,
)
from models.picture import decode_picture
from models.product import Product
from models.train.feed import DataError

EVIL = '<script>alert("x")</script> & Söhne, "GmbH"'
COLUMNS = "id,title,listed,text_class,text_probability,image_class,image_probability,suggested,wrong_probability,rank"


@pytest.fixture
def listed(support):
    return support("listed")


@pytest.fixture
def small(listed):
    found = listed.small()
    return found, suspects(found, [Product(id=f"p{n}", title=f"{EVIL} {n}") for n in range(5)])


def summary(**changes):
    usual = {
        "catalogue": EVIL, "split": None, "encoder": "tiny", "fingerprint": "f" * 64, "group": "category", "seed": 7,
        "products": 4, "classes": 3, "unlisted": 2, "rare": (EVIL,), "without_picture": 1, "wrong_share": 0.25,
        "doubted": 2,
    }  # fmt: skip
    return Summary(**{**usual, **changes})


class TestReport:
    def test_suspects_are_by_rank_and_of_the_given_products(self, small):
        assert [(s.rank, s.id, s.listed, s.suggested) for s in small[1]] == [
            (1, "p2", "b", EVIL),
            (2, "p4", "b", "c"),
            (3, "p3", "c", "c"),
            (4, "p0", EVIL, EVIL),
        ]
        first = small[1][0]
        assert (first.text_class, first.image_class, first.wrong_probability) == (EVIL, "c", 0.9996)
        assert first.text_probability == first.image_probability == pytest.approx(0.9 - 0.4 / 3)
        assert [s.rank for s in doubted(small[1], 5)] == [1, 2]
        assert [s.rank for s in doubted(small[1], 1)] == [1]

    def test_csv_has_its_columns_and_survives_any_text(self, small):
        text = as_csv(small[1])
        assert text.splitlines()[0] == COLUMNS
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["id"] for row in rows] == ["p2", "p4", "p3", "p0"]
        assert (rows[0]["title"], rows[0]["listed"], rows[3]["listed"]) == (f"{EVIL} 2", "b", EVIL)
        assert (rows[0]["wrong_probability"], rows[0]["rank"]) == ("0.999600", "1")

    def test_lines_and_json_say_what_was_left_out_and_found(self, small):
        said = list(as_lines(summary(corrupted=12, precision=0.75), small[1], 2))
        assert said[0] == "4 products of 3 classes, 2 doubted; about 1 of the listings (25.0%) seem wrong"
        assert said[1].endswith(f"listed under them: {EVIL}.")
        assert said[2:4] == [
            "2 products state no category and were not audited.",
            "1 products without a picture were not audited.",
        ]
        assert said[4] == "12 listings were corrupted on purpose (seed 7); precision@12 0.750."
        assert said[5:] == [f"   1  1.000  p2: b -> {EVIL}", "   2  0.750  p4: b -> c"]
        plain = json.loads(json.dumps(as_json_value(summary(), small[1][:1])))
        assert (plain["products"], plain["precision"], plain["top"][0]["id"]) == (4, None, "p2")

    def test_many_rare_classes_are_counted(self):
        (note, *_) = summary(rare=tuple(f"r{n}" for n in range(11))).notes()
        assert note.endswith(": r0, r1, r2, r3, r4, r5, r6, r7 and 3 more.")
        assert summary(rare=(), unlisted=0, without_picture=0).notes() == []

    def test_thumbnails_are_small_and_keep_their_shape(self, support):
        feeds = support("feeds")
        found = decode_picture(base64.b64decode(thumbnail(feeds.jpeg(feeds.picture(0, size=(900, 600))))))
        assert (found.size, found.mode) == ((256, 171), "RGB")
        tiny = decode_picture(base64.b64decode(thumbnail(feeds.jpeg(feeds.picture(0, size=(90, 60))))))
        assert tiny.size == (90, 60)

    def test_what_cannot_be_written_is_one_line(self, tmp_path):
        write(tmp_path / "new" / "folder", {"a.txt": "ä"})
        assert (tmp_path / "new" / "folder" / "a.txt").read_text(encoding="utf-8") == "ä"
        with pytest.raises(DataError, match="cannot write"):
            write(tmp_path / "new" / "folder" / "a.txt", {})


@pytest.fixture
def look(support):
    """Check an HTML page and give what is in it: `look(text)`."""
    return support("pages").Page


class TestPage:
    @pytest.fixture
    def audited(self, listed):
        clean = listed.catalogue(0, 300, classes=4)
        found = audit(listed.listed_as(clean, corrupted(clean.labels, 0.05, 1)))
        found = replace(found, listed=replace(found.listed, names=(EVIL, "b", "c", "d")))
        return found, suspects(found, [Product(id=f"p{n}", title=f"{EVIL} {n}") for n in range(300)])

    def test_escapes_everything_and_needs_nothing_from_elsewhere(self, look, audited):
        found, ranked = audited
        top = doubted(ranked, 5)
        text = page(summary(), top, {suspect.rank: "QUJD" for suspect in top[1:]}, found)
        assert "<script" not in text
        seen = look(text)
        assert not set(seen.names) & {"script", "link", "iframe", "object"}
        assert seen.links == ["data:image/jpeg;base64,QUJD"] * 4
        assert "url(" not in text
        assert "prefers-color-scheme: dark" in text
        assert 'name="viewport"' in text
        said = "".join(seen.text)
        for suspect in top:
            assert suspect.title in said
            assert f"Rank {suspect.rank}, product {suspect.id}" in said
        for note in summary().notes():
            assert note in said
        assert "About 1 of them (25.0%)" in said
        assert any(EVIL in (suspect.listed, suspect.suggested) for suspect in top)

    def test_has_a_matrix_and_two_plots_for_each_pair(self, look, audited):
        found, ranked = audited
        pairs = found.confused(6)
        assert pairs
        seen = look(page(summary(), doubted(ranked, 5), {}, found))
        assert seen.names.count("svg") == 1 + 2 * len(pairs)
        a, b = pairs[0]
        said = "".join(seen.text)
        names = found.listed.names
        assert f"{found.confusion[a, b]} listed as {names[a]} and judged {names[b]}" in said
        assert f"Words: {found.dimensions('text', a, b).kept.sum()} of 10 kept" in said

    def test_where_nothing_is_wrong_says_so(self, look, listed, small):
        same = replace(small[0], both=listed.judged(small[0].listed.labels))
        seen = look(page(summary(doubted=0), [], {}, same))
        said = "".join(seen.text)
        assert "every product is judged as it is listed" in said
        assert "most confused pairs" not in said
        assert seen.names.count("svg") == 1

    def test_sure_is_not_certain(self, look, small):
        said = "".join(look(page(summary(), small[1][:2], {}, with_judges(small[0]))).text)
        assert "Listed wrongly: over 99.9%" in said
        assert "Listed wrongly: 75%" in said


def with_judges(found):
    """Return the audit with judges that only have to be drawn."""
    judge = SimpleNamespace(
        whitening=SimpleNamespace(apply=lambda x: x),
        classifier=SimpleNamespace(masks=SimpleNamespace(between=lambda *_: np.array([True, False]))),
    )
    vectors = {kind: np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32) for kind in ("text", "image")}
    return replace(found, listed=replace(found.listed, vectors=vectors), judges={"text": judge, "image": judge})


class TestCharts:
    def test_a_matrix_states_every_count_once(self, look):
        counts = np.array([[5, 0, 2], [1, 1_234, 0], [0, 0, 7]])
        drawn = look(matrix(counts, ("a", EVIL, "c"), [0, 1, 2]))
        said = [text for text in drawn.text if text not in {"a", "c", EVIL[:19] + "…"}]
        stated = [text for text in said if "listed as" not in text]
        assert stated == ["5", "2", "1", "1k", "7"]
        assert f"1,234 listed as {EVIL} and judged {EVIL}" in said
        assert drawn.names.count("rect") == 5 + 1

    def test_shades_are_shares_of_the_row(self):
        drawn = matrix(np.array([[3, 1], [0, 4]]), ("a", "b"), [0, 1])
        shades = [float(part.split('"')[0]) for part in drawn.split('fill-opacity="')[1:]]
        assert shades == [pytest.approx(0.12 + 0.6 * share**0.5, abs=0.006) for share in (0.75, 0.25, 1)]

    def test_classes_with_most_disagreement_are_shown(self):
        counts = np.diag([9, 900, 9, 9])
        counts[0, 2] = counts[3, 2] = 2
        counts[1, 0] = 1
        assert most_disputed(counts, 2) == [0, 2]
        assert most_disputed(counts, 3) == [0, 2, 3]
        assert most_disputed(counts) == [0, 1, 2, 3]
        drawn = matrix(counts, ("a", "b", "c", "d"), [0, 2])
        assert drawn.count("<rect") == 3 + 1

    def test_dimensions_stand_at_their_scores(self, look):
        scores = np.array([1.0, 1.5, 1.2, 1.05])
        drawn = dimensions(PairDimensions(scores, np.array([False, True, True, False])), "c0", EVIL)
        look(drawn)
        other, kept = (part.split('"')[0] for part in drawn.split(' d="')[1:])
        assert [float(bar.split(" ")[0]) for bar in other.split("M")[1:]] == [52.5, 367.5]
        heights = [float(bar.split("V")[1]) for bar in kept.split("M")[1:]]
        assert heights == [0, pytest.approx(96 * (1 - 0.2 / 0.5), abs=0.06)]
        assert [float(bar.split(" ")[0]) for bar in kept.split("M")[1:]] == [157.5, 262.5]  # of 420, 1.5 and 2.5 of 4
        assert 'y1="76.8"' in drawn  # the cut-off 1.10
        assert ">1.50<" in drawn

    def test_scores_below_the_cut_off_leave_room_for_it(self):
        drawn = dimensions(PairDimensions(np.array([1.0, 1.01]), np.array([True, True])), "c0", "x")
        assert ">1.15<" in drawn


def test_suspect_holds_plain_values(small):
    assert {type(getattr(small[1][0], name)) for name in Suspect.__dataclass_fields__} == {str, float, int}
