"""schema.org products in files, lines and pages, as shop systems and plugins write them."""

import gzip
import json
import time

import pytest

from indexer.catalogue import CatalogueError, CatalogueOptions, RejectedRow, read_catalogue
from indexer.catalogue_formats import FeedFormat
from indexer.catalogue_open import open_feed

DRESS = {
    "@context": "https://schema.org/",
    "@type": "Product",
    "sku": "rd-1",
    "gtin13": "4006381333931",
    "name": "Red dress &amp; belt",
    "description": "<p>Light.</p><p>Airy.</p>",
    "image": ["https://shop.example/1.jpg", {"@type": "ImageObject", "url": "https://shop.example/2.jpg"}],
    "brand": {"@type": "Brand", "name": "Ruby"},
    "category": "Clothing > Women > Dresses",
    "material": "Cotton",
    "color": ["red", "white"],
    "url": "https://shop.example/red-dress",
    "additionalProperty": [{"@type": "PropertyValue", "name": "season", "value": "summer"}],
    "aggregateRating": {"@type": "AggregateRating", "ratingValue": 4.4},
    "offers": {
        "@type": "Offer",
        "price": "39.90",
        "priceCurrency": "EUR",
        "availability": "https://schema.org/InStock",
    },
}
MUG = {"@type": "schema:Product", "@id": "https://shop.example/mug", "name": "Mug", "offers": []}


def read(path, **options):
    return list(read_catalogue(path, CatalogueOptions(**options)))


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str | bytes) else json.dumps(content, indent=1)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def page(*documents, head=""):
    scripts = "".join(
        f'<script type="application/ld+json">{d if isinstance(d, str) else json.dumps(d)}</script>\n' for d in documents
    )
    return f"<!DOCTYPE html>\n<html><head><meta charset='utf-8'>{head}\n{scripts}</head><body>shop</body></html>"


def check_dress(product):
    assert (product.id, product.title, product.description) == ("rd-1", "Red dress & belt", "Light. Airy.")
    assert (product.brand, product.category, product.composition) == ("Ruby", "Dresses", "Cotton")
    assert (product.price, product.currency, product.in_stock) == (39.9, "EUR", True)
    assert (product.season, product.url) == ("summer", "https://shop.example/red-dress")
    assert product.images == ("https://shop.example/1.jpg", "https://shop.example/2.jpg")
    assert product.attributes == {
        "category_path": "Clothing > Women > Dresses",
        "color": ("red", "white"),
        "gtin13": "4006381333931",
        "sku": "rd-1",
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("one.jsonld", DRESS),
        ("one.json", DRESS),
        ("list.json", [DRESS, MUG]),
        ("graph.jsonld", {"@context": "https://schema.org", "@graph": [{"@type": "WebSite"}, DRESS, MUG]}),
        ("list.jsonld", {"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": DRESS}, MUG]}),
        ("page.jsonld", {"@type": ["WebPage", "ItemPage"], "mainEntity": DRESS}),
        ("lines.jsonl", json.dumps(DRESS) + "\n\n" + json.dumps(MUG)),
        ("lines.jsonl.gz", gzip.compress(json.dumps(DRESS).encode())),
        ("marked.json", b"\xef\xbb\xbf" + json.dumps([DRESS]).encode()),
        ("page.html", page({"@type": "BreadcrumbList"}, DRESS)),
        ("page.htm", page("\n<!--\n" + json.dumps(DRESS) + "\n-->\n")),
        ("page.html", page("//<![CDATA[\n" + json.dumps(DRESS).replace("Airy.", "Airy.\n") + "\n//]]>")),
        ("page.html.gz", gzip.compress(page(DRESS).encode())),
    ],
)
def test_all_ways_to_write_a_product(tmp_path, name, content):
    path = write(tmp_path, name, content)
    rows = read(path)
    check_dress(rows[0].product)
    assert [row.product.id for row in rows[1:]] in ([], ["https://shop.example/mug"])
    assert [row.row for row in rows] == list(range(1, len(rows) + 1))
    assert open_feed(path).format in {FeedFormat.JSON_LD, FeedFormat.PAGES}


@pytest.mark.parametrize(
    ("offers", "price", "currency", "in_stock"),
    [
        ({"@type": "AggregateOffer", "lowPrice": 10, "highPrice": 20, "priceCurrency": "USD"}, 10.0, "USD", None),
        (
            [{"price": 12, "availability": "OutOfStock"}, {"price": 11, "availability": "http://schema.org/InStock"}],
            11.0,
            None,
            True,
        ),
        (
            [{"price": 12, "availability": "SoldOut"}, {"price": 9, "availability": "schema:Discontinued"}],
            9.0,
            None,
            False,
        ),
        (
            {
                "priceSpecification": [
                    {"price": "5", "priceCurrency": "GBP"},
                    {"price": 9, "priceType": "https://schema.org/ListPrice"},
                ]
            },
            5.0,
            "GBP",
            None,
        ),
        ({"@type": "AggregateOffer", "priceCurrency": "EUR", "offers": [{"price": 8}, {"price": 7}]}, 7.0, "EUR", None),
        ({"price": "", "availability": "InStock"}, None, None, True),
        (None, None, None, None),
    ],
)
def test_offers(tmp_path, offers, price, currency, in_stock):
    (row,) = read(write(tmp_path, "one.jsonld", {**MUG, "offers": offers}))
    assert (row.product.price, row.product.currency, row.product.in_stock) == (price, currency, in_stock)


GROUP = {
    "@context": "https://schema.org",
    "@type": "ProductGroup",
    "productGroupID": "tee",
    "name": "Tee",
    "brand": "Ruby",
    "variesBy": ["https://schema.org/size", "https://schema.org/color"],
    "hasVariant": [
        {
            "@type": "Product",
            "sku": "tee-s",
            "name": "Tee, small",
            "size": "S",
            "color": "red",
            "image": "https://shop.example/s.jpg",
            "offers": {"price": 9, "priceCurrency": "EUR", "availability": "OutOfStock"},
        },
        {
            "@type": "Product",
            "sku": "tee-m",
            "name": "Tee, medium",
            "size": {"@type": "SizeSpecification", "name": "M"},
            "color": "red",
            "offers": {"price": 8, "priceCurrency": "EUR", "availability": "InStock"},
        },
    ],
}
# The same group as plugins write it: nodes that refer to each other.
GRAPH = {
    "@context": "https://schema.org",
    "@graph": [
        {**{k: v for k, v in GROUP.items() if k != "hasVariant"}, "@id": "#tee", "brand": {"@id": "#ruby"}},
        *({**variant, "@id": f"#{n}", "isVariantOf": {"@id": "#tee"}} for n, variant in enumerate(GROUP["hasVariant"])),
        {"@type": "Brand", "@id": "#ruby", "name": "Ruby"},
    ],
}
LISTED = {
    "@graph": [
        {**GRAPH["@graph"][0], "hasVariant": [{"@id": "#0"}, {"@id": "#1"}]},
        *({**variant, "@id": f"#{n}"} for n, variant in enumerate(GROUP["hasVariant"])),
        {"@type": "Brand", "@id": "#ruby", "name": "Ruby"},
    ]
}


@pytest.mark.parametrize("document", [GROUP, GRAPH, LISTED])
def test_a_group_is_one_product_or_several(tmp_path, document):
    path = write(tmp_path, "group.jsonld", document)
    (row,) = read(path)
    product = row.product
    assert (product.id, product.title, product.brand) == ("tee", "Tee", "Ruby")
    assert (product.price, product.currency, product.in_stock) == (8.0, "EUR", True)
    assert product.images == ("https://shop.example/s.jpg",)
    assert product.attributes["size"] == ("S", "M")
    assert product.attributes["color"] == "red"
    assert product.attributes["sku"] == ("tee-s", "tee-m")
    small, medium = read(path, variants=True)
    assert [(r.product.id, r.product.title, r.product.group, r.product.price) for r in (small, medium)] == [
        ("tee-s", "Tee, small", "tee", 9.0),
        ("tee-m", "Tee, medium", "tee", 8.0),
    ]
    assert (medium.product.attributes["size"], medium.product.brand) == ("M", "Ruby")


def test_a_folder_of_pages(tmp_path):
    write(tmp_path, "a/dress.html", page(DRESS))
    write(tmp_path, "a/images/mug.png", b"not looked at")
    write(tmp_path, "about.html", page({"@type": "Organization", "name": "Shop"}))
    write(tmp_path, "broken.html", page('{"@type": "Product",}'))
    write(tmp_path, "latin.html", page({**MUG, "name": "Tasse à café"}).replace("utf-8", "latin-1").encode("latin-1"))
    write(tmp_path, "lying.html", page({**MUG, "name": "Tasse à café"}).encode("latin-1").replace(b"\\u00e0", b"\xe0"))
    write(tmp_path, "z.html", page({**MUG, "@id": "m2", "url": "https://shop.example/p/m2", "image": "../i/m2.jpg"}))
    write(tmp_path, ".hidden/x.html", page(DRESS))
    rows = read(tmp_path)
    told = [(r.row, r.reason[:50]) if isinstance(r, RejectedRow) else (r.row, r.product.id) for r in rows]
    assert told[:3] == [
        (1, "broken.html: JSON-LD that is not valid: trailing c"),
        (2, "https://shop.example/mug"),
        (3, "lying.html: not valid utf-8 text"),
    ]
    assert [row[1] for row in told[3:]] == ["m2", "rd-1"]
    assert rows[1].product.title == "Tasse à café"
    assert rows[3].product.images == ("https://shop.example/i/m2.jpg",)
    assert rows[0].line == 3
    feed = open_feed(tmp_path)
    list(feed.rows)
    assert feed.left_out["a page without a product"] == 1


def test_what_is_refused(tmp_path):
    lines = [
        DRESS,
        {**DRESS, "sku": "x", "offers": {"price": "ask us"}},
        {**DRESS, "sku": "", "gtin13": "", "url": ""},
        {**DRESS, "sku": "y", "name": ""},
        DRESS,
    ]
    rows = read(write(tmp_path, "lines.jsonl", "\n".join([*map(json.dumps, lines), "{oops", "[]"])))
    assert [(r.row, r.line, r.field, r.reason[:30]) for r in rows[1:]] == [
        (2, 2, "price", "not a price: 'ask us'"),
        (3, 3, "id", "missing"),
        (4, 4, "title", "missing"),
        (5, 5, "id", "used by an earlier row"),
        (6, 6, "", rows[5].reason[:30]),
        (7, 7, "", "not a JSON object"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("one.jsonld", '{"@type": "Product", ', "not valid JSON"),
        ("list.json", '[{"@type": "Product", "name": "a"}', "breaks off: its list is not closed"),
        ("list.json", "[] and more", "goes on behind its list"),
        ("page.html", "<html>no product</html>", "without a product"),
    ],
)
def test_files_that_are_no_catalogue(tmp_path, name, content, said):
    with pytest.raises(CatalogueError, match=said):
        read(write(tmp_path, name, content))


def test_a_list_goes_on_behind_a_bad_object(tmp_path, monkeypatch):
    monkeypatch.setattr("indexer.catalogue_json.MAX_LINE_BYTES", 100)
    objects = [
        '{"id": "a", "title": "one, [two] {three} \\"four\\\\"}',
        '{"id": "b", "title": oops}',
        '{"id": "c", "title": "' + "x" * 200 + '"}',
        "5",
        '{"id": "d", "title": "d", "sizes": ["S", "M"]}',
    ]
    path = write(tmp_path, "list.json", "[" + ",\n".join(objects) + "]\n")
    for size in (1, 7, 2**18):
        monkeypatch.setattr("indexer.catalogue_json._CHUNK_BYTES", size)
        rows = read(path)
        assert [r.row for r in rows] == [1, 2, 3, 4, 5]
        assert [r.reason.partition(":")[0] for r in rows[1:4]] == [
            "not valid JSON",
            "longer than 100 bytes",
            "not a JSON object",
        ]
        assert rows[0].product.title == 'one, [two] {three} "four\\'
        assert rows[4].product.attributes == {"sizes": ("S", "M")}


@pytest.mark.parametrize("piece", ["<script", '<script type="application/ld+json">', "<meta ", "<!--", "]]>", "{"])
def test_hostile_pages_take_no_time(tmp_path, piece):
    path = write(tmp_path, "a.html", piece * 50_000)
    write(tmp_path, "b.html", page(piece * 20_000, DRESS))
    start = time.process_time()
    read(tmp_path)
    assert time.process_time() - start < 2
    assert path.stat().st_size >= 50_000


def test_deep_nesting_is_refused_not_followed(tmp_path):
    deep = '{"@type":"Product","name":"x","a":' * 5_000 + "1" + "}" * 5_000
    (row,) = read(write(tmp_path, "deep.jsonl", deep))
    assert isinstance(row, RejectedRow)
    ways = '{"@graph":' * 200 + json.dumps(MUG) + "}" * 200
    assert read(write(tmp_path, "ways.jsonld", ways)) == []
