"""Looking at feeds: which column is what, what is wrong, and the mapping file that comes of it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.__main__ import main
from indexer.catalogue import CatalogueError, CatalogueRow, read_catalogue
from indexer.feed_inspect import inspect
from indexer.feed_mapping import FeedMapping, MappingError, mapping_text, read_mapping
from indexer.feed_show import words
from indexer.feed_words import SYNONYMS, name_score, plain_name

GERMAN = """Artikel-Nr.;Bezeichnung;Beschreibung;Marke;Warengruppe;Preis (brutto);Währung;Verfügbarkeit;Bild;Material
100-1;Rotes Kleid;"<p>Leicht &amp; luftig</p>";Ruby;Kleider;39,90 €;EUR;ja;https://shop.example/1.jpg;Baumwolle
100-2;Blaues Kleid;<p>Warm</p>;Ruby;Kleider;1.299,00 €;EUR;nein;https://shop.example/2.jpg;Wolle
100-3;Tasse;;Golden Goat;Tassen;9,50 €;EUR;ja;https://shop.example/3.jpg;
"""
FRENCH = """Référence,Libellé,Marque,Catégorie,Prix TTC,Lien,Photo
r1,Robe rouge légère,Ruby,Robes,"39,90",https://shop.example/p/r1,https://shop.example/r1.jpg
r2,Tasse à café,Chèvre,Tasses,"9,50",https://shop.example/p/r2,https://shop.example/r2.jpg
"""
FASHION = """productCode,productDisplayName,masterCategory,articleType,season,brandName,listPrice,stockCount,imagePath
1,Ruby red dress,Apparel,Dress,Summer,Ruby,39.9,7,https://x.example/1.png
2,Goat white mug,Home,Mug,Winter,Goat,9.5,0,https://x.example/2.png
"""
NAMELESS = """a,b,c,d
x-1,Red dress for summer,https://x.example/1.jpg,A long text that describes the red dress in every way there is
x-2,White mug with a goat,https://x.example/2.jpg,A long text that describes the white mug in every way there is
"""
PIECES = [
    "Handle,Title,Variant Price,Variant SKU,Image Src\n",
    "ID,Type,SKU,Name,Regular price,Parent,Images\n",
    "1,variation,s,Mug,9.5,id:1,\n",
    '"a","b\n",5,,\n',
    *('{"@type": "Product", "name": "x", "sku": "1"}', '{"@graph": [', '{"@id": "#1", "@type": "ProductGroup"}'),
    *('"hasVariant": [{"@id": "#1"}], ', '"offers": {"price": "x"}', "[", "]", "{", "}", ",", '"', "\\", "\n"),
    *('<script type="application/ld+json">', "</script>", "<!--", "<p>", "\ufeff", "\0", "é"),
]


def write(folder, text, name="feed.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def columns_of(found):
    return {guess.field: guess.column for guess in found.guesses}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GERMAN,
            {
                "id": "Artikel-Nr.",
                "title": "Bezeichnung",
                "description": "Beschreibung",
                "brand": "Marke",
                "category": "Warengruppe",
                "composition": "Material",
                "price": "Preis (brutto)",
                "currency": "Währung",
                "in_stock": "Verfügbarkeit",
                "images": "Bild",
            },
        ),
        (
            FRENCH,
            {
                "id": "Référence",
                "title": "Libellé",
                "brand": "Marque",
                "category": "Catégorie",
                "price": "Prix TTC",
                "url": "Lien",
                "images": "Photo",
            },
        ),
        (
            FASHION,
            {
                "id": "productCode",
                "title": "productDisplayName",
                "category": "articleType",
                "season": "season",
                "brand": "brandName",
                "price": "listPrice",
                "images": "imagePath",
            },
        ),
        (NAMELESS, {"id": "a", "title": "b", "images": "c", "description": "d"}),
        ("id,title,price\n1,one,2\n", {"id": "id", "title": "title", "price": "price"}),
    ],
)
def test_columns_are_guessed_and_products_read(tmp_path, text, expected):
    path = write(tmp_path, text)
    found = inspect(path, FeedMapping())
    assert columns_of(found) == expected
    assert found.products == found.records == len(text.splitlines()) - 1
    written = write(tmp_path, mapping_text(found.mapping, "of a test\nof two lines"), "mapping.toml")
    again = read_mapping(written)
    assert again == found.mapping
    rows = list(read_catalogue(path, again.options()))
    assert [row.product for row in rows if isinstance(row, CatalogueRow)] == found.preview


def test_known_formats_say_which_column_they_read(tmp_path):
    header = "Handle,Title,Body (HTML),Vendor,Type,Variant SKU,Variant Price,Image Src,Fabric\n"
    path = write(tmp_path, header + "mug,Mug,<p>Of clay</p>,Goat,Mug,M1,9.5,https://x.example/m.jpg,clay\n")
    found = inspect(path, FeedMapping())
    assert {guess.field: (guess.column, guess.why) for guess in found.guesses} == {
        "id": ("Handle", "format"),
        "title": ("Title", "format"),
        "description": ("Body (HTML)", "format"),
        "brand": ("Vendor", "format"),
        "category": ("Type", "format"),
        "price": ("Shopify product CSV", "format"),
        "images": ("Shopify product CSV", "format"),
        "composition": ("Fabric", "name"),
    }
    assert (found.mapping.fields_, found.mapping.html) == ({"composition": "Fabric"}, [])
    assert [p.composition for p in found.preview] == ["clay"]
    assert any("no currency" in note for note in found.notes)


def test_merchant_rows_in_json_lines(tmp_path):
    row = {"id": "1", "title": "Mug", "link": "https://x.example/p", "image_link": "https://x.example/1.jpg"}
    row |= {"additional_image_link": "https://x.example/2.jpg", "price": "9.50 EUR", "availability": "in_stock"}
    found = inspect(write(tmp_path, json.dumps(row), "feed.jsonl"), FeedMapping())
    assert found.mapping.fields_ == {}
    (product,) = found.preview
    assert (len(product.images), product.in_stock, product.url) == (2, True, "https://x.example/p")


@given(st.sampled_from(["csv", "json", "jsonl", "jsonld", "html"]), st.lists(st.sampled_from(PIECES), max_size=30))
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_text_gives_rows_or_one_clear_line(tmp_path, suffix, pieces):
    path = write(tmp_path, "".join(pieces), f"feed.{suffix}")
    for variants in (False, True):
        said = ""
        try:
            found = inspect(path, FeedMapping(variants=variants))
            assert words(found, path, None)
        except CatalogueError as error:
            said = str(error)
        assert "\n" not in said


def test_html_is_noticed(tmp_path):
    found = inspect(write(tmp_path, GERMAN), FeedMapping())
    assert found.mapping.html == ["description"]
    assert [p.description for p in found.preview] == ["Leicht & luftig", "Warm", ""]
    assert [(p.price, p.in_stock) for p in found.preview] == [(39.9, True), (1299.0, False), (9.5, True)]


@pytest.mark.parametrize(
    ("column", "values", "field"),
    [
        ("price", ["cheap", "dear"], "price"),
        ("sku", ["same", "same"], "id"),
        ("name", ["https://x.example/a", "https://x.example/b"], "title"),
        ("image", ["red", "blue"], "images"),
        ("link", ["https://x.example/1.jpg", "https://x.example/2.jpg"], "url"),
        ("currency", ["euro", "euro"], "currency"),
        ("stock", ["17", "4"], "in_stock"),
        ("brand_id", ["7", "8"], "brand"),
        ("category_url", ["https://x.example/c/1", "https://x.example/c/2"], "category"),
    ],
)
def test_values_and_names_that_do_not_fit(tmp_path, column, values, field):
    rows = [{"id": f"p{n}", "title": f"Product {n}", column: value} for n, value in enumerate(values)]
    if field in rows[0]:
        del rows[0][field], rows[1][field]
    path = tmp_path / "feed.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert columns_of(inspect(path, FeedMapping())).get(field) != column


def test_what_is_stated_wins_over_guesses(tmp_path):
    stated = FeedMapping(
        fields={"title": "Marke", "brand": "Bezeichnung"}, ignore=["Material"], defaults={"season": "all"}
    )
    found = inspect(write(tmp_path, GERMAN), stated)
    assert columns_of(found)["title"] == "Marke"
    assert columns_of(found)["id"] == "Artikel-Nr."
    assert "composition" not in columns_of(found)
    assert {p.season for p in found.preview} == {"all"}


def test_names():
    assert plain_name("Référence Produit_ID") == "referenceproduitid"
    assert plain_name("Größe") == "grosse"
    assert name_score("title", "title") == 0
    assert name_score("title", "productDisplayName") < name_score("title", "name of the product")
    assert name_score("brand", "brand_id") is None
    assert name_score("price", "description") is None
    assert all(words for words in SYNONYMS.values())


PROBLEMS = """id,title,price,images
1,one,1,https://x.example/1.jpg
2,two,free,
3,three,gratis,
3,,1,
1,again,1,
4,four,-1,
5,five
"""


def test_problems_are_counted_by_reason(tmp_path):
    found = inspect(write(tmp_path, PROBLEMS), FeedMapping(fields={"price": "price"}))
    assert (found.records, found.products) == (7, 1)
    assert {(p.field, p.reason): p.records for p in found.problems} == {
        ("price", "not a price"): 2,
        ("title", "missing"): 1,
        ("id", "used by an earlier row"): 1,
        ("price", "negative"): 1,
        ("", "2 columns, where the first line names 4"): 1,
    }
    assert found.problems[0].example == "row 2 (line 3) [2]: price: not a price: 'free'"
    assert found.coverage["price"] == found.coverage["images"] == 1
    few = inspect(write(tmp_path, PROBLEMS), FeedMapping(fields={"price": "price"}), rows=2, shown=0)
    assert (few.records, few.more, few.preview) == (2, True, [])


def run(*words):
    return CliRunner().invoke(main, [*map(str, words)])


def test_the_command_shows_and_writes(tmp_path):
    path = write(tmp_path, GERMAN)
    mapping = tmp_path / "mapping.toml"
    told = run("inspect", path, "--write", mapping)
    assert told.exit_code == 0
    for part in ("CSV or TSV; 3 products in 3 records", "Rotes Kleid", "1299.00 EUR", "brand: 2 different: Ruby 2"):
        assert part in told.output
    assert read_mapping(mapping).fields_["title"] == "Bezeichnung"
    assert "is there already" in run("inspect", path, "--write", mapping).output
    assert run("inspect", path, "--write", mapping, "--force").exit_code == 0
    found = json.loads(run("inspect", path, "--mapping", mapping, "--map", "brand=Material", "--json").output)
    assert (found["products"], found["format"]) == (3, "CSV or TSV")
    assert {"field": "brand", "column": "Material", "why": "mapped"} in found["fields"]
    assert found["groups"]["brand"] == {"Baumwolle": 1, "Wolle": 1}
    assert found["preview"][0]["title"] == "Rotes Kleid"


def test_a_feed_without_products_says_why(tmp_path):
    told = run("inspect", write(tmp_path, "x,y\n1.5,2.5\n1.5,2.5\n"))
    assert told.exit_code == 1
    assert "no column 'id', 'title'" in told.output
    told = run("inspect", tmp_path / "nowhere.csv")
    assert (told.exit_code, told.output.count("\n")) == (1, 1)
    assert "cannot be read" in told.output


def test_convert_takes_the_mapping_file_and_flags_win(tmp_path):
    path = write(tmp_path, GERMAN)
    mapping = tmp_path / "mapping.toml"
    assert run("inspect", path, "--write", mapping).exit_code == 0
    out = tmp_path / "out.parquet"
    done = run("convert", "--catalogue", path, "--out", out, "--mapping", mapping, "--map", "brand=Material")
    assert done.exit_code == 0, done.output
    assert pq.read_table(out)["brand"].to_pylist() == ["Baumwolle", "Wolle", None]
    assert pq.read_table(out)["description"].to_pylist() == ["Leicht & luftig", "Warm", ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("felds = 1", "unknown key 'felds'; its keys are ignore, html, variants, fields, defaults"),
        ("[fields]\ncolour = 'x'", "fields: 'colour' is none of"),
        ("[fields]\nid = 5", "fields.id: input should be a valid string"),
        ("variants = 'yes'", "variants: input should be a valid boolean"),
        ("ignore = 'x'", "ignore: input should be a valid list"),
        ("html = ['body']", "html: 'body' is none of"),
        ("[defaults]\nid = 'x'", "defaults: 'id' is none of"),
        ("[fields]\nid = 'a'\nid = 'b'", "not valid TOML"),
        ("id = ", "not valid TOML"),
    ],
)
def test_a_wrong_mapping_file_is_one_line_that_names_the_key(tmp_path, text, said):
    path = write(tmp_path, text, "mapping.toml")
    with pytest.raises(MappingError) as caught:
        read_mapping(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    told = run("convert", "--catalogue", "x", "--out", tmp_path / "y", "--mapping", path)
    assert told.exit_code == 1
    assert (told.output.count("\n"), said in told.output) == (1, True)


def test_names_with_any_signs_survive_the_file(tmp_path):
    odd = 'a "b" \\ \x7f \t é 😀 [x] = #'
    mapping = FeedMapping(
        fields={"id": odd}, ignore=[odd, "y"], defaults={"in_stock": True, "price": 1.5, "season": odd}
    )
    assert read_mapping(write(tmp_path, mapping_text(mapping, odd), "m.toml")) == mapping
