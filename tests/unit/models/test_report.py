"""The report: what it measures, that examples add up, and that the page is whole, safe and needs nothing else."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from models.__main__ import main
from models.checkpoint import Card, save_checkpoint
from models.compare import compare
from models.eiclip import EiClipEncoder
from models.evaluate import Protocol, measure
from models.picture import decode_picture
from models.product import canonical_text
from models.report.charts import histogram, interval, meter, waterfall
from models.report.collect import NO_GATES, collect, training_counts
from models.report.markup import Markup, element
from models.report.page import page
from models.train.feed import DataError, Feed

EVIL = '<script>alert("x")</script> & Söhne'
VOCABULARIES = {"brand": ["Nike", "Diesel", EVIL], "category": ["circle", "square", "bar"], "house <b>": ["one"]}


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def feed(tiny, tmp_path):
    """Every third product is of a brand that would be markup; a group of any name is an attribute."""
    rows = [{**row, "house <b>": "one"} for row in tiny.shop_rows(48, "val")]
    for row in rows[::3]:
        row["brand"], row["title"] = EVIL, f"{EVIL} {row['title']}"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    return Feed.open(tmp_path)


@pytest.fixture
def look(support):
    """Check an HTML page and give what is in it: `look(text)`."""
    return support("pages").Page


class TestCollect:
    @pytest.fixture
    def encoder(self, weightless):
        return weightless(dim=48, vocabularies=VOCABULARIES)

    def test_contributions_are_those_of_the_protocols(self, encoder, feed):
        found = collect(encoder, feed, split="val")
        given = measure(encoder, feed, Protocol(split="val"))
        assert found.given == given.evaluation
        assert found.none == measure(encoder, feed, Protocol(split="val", entities="none")).evaluation
        assert [group.group for group in found.groups] == list(VOCABULARIES)
        for group in found.groups:
            without = measure(encoder, feed, Protocol(split="val", withheld=(group.group,)))
            want = {(c.key, c.k): c for c in compare([given.ranks], [without.ranks])}
            assert group.worth.ways
            assert all(way == want[way.key, way.k] for way in group.worth.ways)
            assert group.advice.startswith(group.group)

    def test_examples_and_shares_add_up(self, encoder, feed):
        found = collect(encoder, feed, split="val")
        assert sum(term.share for term in found.terms) == pytest.approx(1.0)
        assert [term.term for term in found.terms] == ["words", *VOCABULARIES]
        items = {item.product.id: item for item in feed.items("val", pictures=1)}
        assert len({example.product for example in found.examples}) == 6
        ranks = measure(encoder, feed, Protocol(split="val")).ranks["pair/text_to_image"]
        rows = {product: row for row, product in enumerate(items)}
        for example in found.examples:
            assert sum(example.parts.values()) == pytest.approx(example.score, abs=1e-5)
            assert example.parts.keys() - {"words"} == example.gates.keys() == example.entities.keys()
            assert example.rank == ranks[rows[example.product]]

    def test_scores_are_the_encoders_own(self, encoder, feed):
        found = collect(encoder, feed, split="val")
        items = {item.product.id: item for item in feed.items("val", pictures=1)}
        for example in found.examples:
            item = items[example.product]
            text = encoder.encode_texts([canonical_text(item.product)], [item.product.entities(VOCABULARIES)])[0]
            image = encoder.encode_images([decode_picture(item.pictures[0])])[0]
            assert example.score == pytest.approx(float(text @ image), abs=1e-5)

    def test_stated_shares_count_known_values_only(self, encoder, feed):
        found = {group.group: group.stated for group in collect(encoder, feed, split="val").groups}
        brands = [item.product.brand for item in feed.items("val")]
        assert found["brand"] == np.mean([brand in VOCABULARIES["brand"] for brand in brands]) < 1
        assert found["house <b>"] == 1.0

    def test_the_smallest_split_has_fewer_examples(self, encoder, feed):
        assert len(collect(encoder, feed, split="val", limit=2).examples) == 2

    def test_an_absent_split_is_an_error(self, encoder, feed):
        with pytest.raises(DataError, match="split 'test'"):
            collect(encoder, feed, split="test")


class TestPage:
    def test_escapes_every_value_and_needs_nothing_from_elsewhere(self, look, weightless, feed):
        found = collect(weightless(dim=48, vocabularies=VOCABULARIES), feed, split="val")
        text = page(found)
        assert EVIL in [value.value for value in found.values]
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        seen = look(text)
        assert not set(seen.names) & {"script", "link", "iframe", "object", "b>"}
        assert EVIL in "".join(seen.text)
        assert len(seen.links) == 6
        assert all(link.startswith("data:image/jpeg;base64,") for link in seen.links)
        assert "url(" not in text
        assert "prefers-color-scheme: dark" in text
        for group in found.groups:
            assert group.advice in "".join(seen.text)

    def test_more_groups_than_colours(self, look, weightless, tiny, tmp_path):
        groups = {f"group {n}": ["one"] for n in range(11)}
        rows = [{**row, **dict.fromkeys(groups, "one")} for row in tiny.shop_rows(12, "val")]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
        text = page(collect(weightless(vocabularies=groups), Feed.open(tmp_path), split="val"))
        assert "group 10" in "".join(look(text).text)
        assert "fill-c8" not in text

    @pytest.mark.parametrize(("mode", "groups"), [("pasted", 3), ("none", 0)])
    def test_a_model_without_entity_encoders_gets_a_shorter_page_that_says_so(
        self, look, tiny, tmp_path, feed, mode, groups
    ):
        model = tiny.eiclip(tmp_path, mode=mode)
        encoder = EiClipEncoder(model, name=mode, fingerprint="0" * 64, text_fields=("title",), device="cpu")
        found = collect(encoder, feed, split="val")
        assert found.note == NO_GATES
        assert (len(found.groups), found.values, found.terms, found.examples) == (groups, (), (), ())
        said = "".join(look(page(found)).text)
        assert NO_GATES in said
        assert "Worked examples" not in said
        assert ("What each entity group is worth" in said) == bool(groups)

    def test_a_model_with_a_closed_vocabulary_unlike_the_catalogue(self, look, weightless, feed):
        found = collect(weightless(vocabularies={"brand": ["Unseen"]}), feed, split="val")
        assert [(g.stated, g.verdict) for g in found.groups] == [(0.0, "nothing")]
        assert "only 0% of the products" in found.groups[0].advice
        look(page(found))


class TestCharts:
    def test_markup_is_escaped_once(self):
        once = element("b", "<i>", title='"')
        assert once == '<b title="&quot;">&lt;i&gt;</b>'
        assert element("p", [once, Markup("<br>")]) == f"<p>{once}<br></p>"

    def test_a_waterfall_ends_at_the_sum(self):
        drawn = waterfall(
            {"words": 0.5, "brand": -0.2, "season": 0.1}, {"words": "words", "brand": "c0", "season": "c1"}
        )
        assert drawn.count("<rect") == 4
        assert ">-0.200<" in drawn
        assert ">0.400<" in drawn

    def test_bars_of_the_waterfall_join(self):
        drawn = waterfall({"words": 0.5, "brand": 0.25}, {"words": "words", "brand": "c0"})
        x = [float(part.split('"')[0]) for part in drawn.split('<rect x="')[1:]]
        wide = [float(part.split('"')[0]) for part in drawn.split('width="')[1:]]
        assert x[1] == pytest.approx(x[0] + wide[0], abs=0.02)
        assert wide[2] == pytest.approx(wide[0] + wide[1], abs=0.02)

    def test_a_histogram_counts_the_ends_too(self):
        assert histogram([0.0, 1.0, 0.5], 0.5, "c0").count("<rect") == 3

    def test_intervals_and_meters_stay_in_their_box(self, weightless, feed):
        worth = collect(weightless(dim=48, vocabularies=VOCABULARIES), feed, split="val").groups[0].worth
        assert 'x1="90' in interval(worth.r1, 1.0, "c0")
        assert "width:100.0%" in meter(1.7, "c0")
        assert "width:0.0%" in meter(-1.0, "c0")


class TestCommand:
    @pytest.fixture
    def checkpoint(self, tiny, tmp_path, support):
        model = tiny.eiclip(tmp_path)
        card = Card(name="small", licence="none", backbone="tiny", image=model.backbone.recipe, entities=model.design)
        save_checkpoint(tmp_path / "checkpoint", model, card)
        return tmp_path / "checkpoint"

    def test_writes_the_page_and_prints_the_advice_or_json(self, look, checkpoint, feed, tmp_path):
        out = tmp_path / "new" / "report.html"
        flags = [
            "report",
            "--encoder",
            str(checkpoint),
            "--catalogue",
            str(feed.path),
            "--out",
            str(out),
            "--device",
            "cpu",
        ]
        done = CliRunner().invoke(main, flags)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"{out}: small on ")
        assert done.stdout.count("\n") == 1 + 3
        look(out.read_text(encoding="utf-8"))
        figures = json.loads(CliRunner().invoke(main, [*flags, "--json"]).stdout)
        assert {(v["group"], v["value"], v["count"]) for v in figures["values"]} >= {("brand", "Nike", 5)}

    def test_counts_come_from_the_checkpoint(self, checkpoint, tiny, tmp_path):
        assert training_counts(str(checkpoint)) == tiny.COUNTS
        assert sum(training_counts("mini")["brand"].values()) > 0
        assert training_counts(str(tmp_path / "nowhere")) is None
        (checkpoint / "entities.json").write_text("[1]")
        assert training_counts(str(checkpoint)) is None

    def test_fails_with_one_line(self, checkpoint, feed, tmp_path):
        (tmp_path / "file").write_text("")
        for change, message in (
            ({"--split": "dev"}, "split 'dev'"),
            ({"--encoder": "nowhere"}, "neither a folder nor an open_clip model"),
            ({"--out": tmp_path / "file" / "x.html"}, "cannot write"),
        ):
            usual = {"--encoder": checkpoint, "--catalogue": feed.path, "--out": tmp_path / "x.html", "--device": "cpu"}
            options = {**usual, **change}
            done = CliRunner().invoke(main, ["report", *(str(part) for pair in options.items() for part in pair)])
            assert (done.exit_code, done.stderr.strip().count("\n")) == (1, 0)
            assert message in done.stderr
