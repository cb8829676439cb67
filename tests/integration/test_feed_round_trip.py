"""From a shop's export to a search: look at it, keep the mapping, build with it, and find a product."""

import base64

import pytest
from click.testing import CliRunner

from indexer.__main__ import main
from indexer.bundle import Bundle, current_bundle
from indexer.manifest import QueryKind
from indexer.ranking import rank

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src,"
    "Season (product.metafields.custom.season)"
)

pytestmark = pytest.mark.usefixtures("quick_builds")


def line(*cells):
    return ",".join('"{}"'.format(str(cell).replace('"', '""')) for cell in cells)


def shopify_csv(feeds, n=24):
    lines = [HEADER]
    for i in range(n):
        colour = list(feeds.COLOURS)[i % len(feeds.COLOURS)]
        brand, category = feeds.BRANDS[i % len(feeds.BRANDS)], feeds.CATEGORIES[i % len(feeds.CATEGORIES)]
        uri = "data:image/jpeg;base64," + base64.b64encode(feeds.jpeg(feeds.picture(i, colour, (60, 80)))).decode()
        title, body = f"{colour} {category} no {i}", f"<p>A <b>{colour}</b> {category},\nmodel {i}</p>"
        lines += [
            line(f"h{i}", title, body, brand, category, "Size", "S", f"s{i}", 10 + i, uri, "summer"),
            line(f"h{i}", "", "", "", "", "", "M", f"m{i}", 8 + i, "", ""),
        ]
    return "\n".join(lines) + "\n"


def test_shopify_export_to_search(weightless, support, tmp_path, monkeypatch):
    feeds = support("feeds")
    encoder = weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    monkeypatch.setattr("models.checkpoint.load_encoder", lambda *_: encoder)
    feed, mapping, data = tmp_path / "products_export.csv", tmp_path / "mapping.toml", tmp_path / "data"
    feed.write_text(shopify_csv(feeds), encoding="utf-8-sig")

    def run(*words):
        answer = CliRunner().invoke(main, [*map(str, words)])
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "Shopify product CSV; 24 products in 24 records" in run("inspect", feed, "--write", mapping)
    mapping.write_text(mapping.read_text() + '\n[defaults]\ncurrency = "EUR"\n')
    run(
        "build",
        "--catalogue",
        feed,
        "--mapping",
        mapping,
        "--data-dir",
        data,
        "--recipe",
        "exact",
        "--publish",
        "--no-fetch-images",
    )
    with Bundle.open(current_bundle(data)) as bundle:
        assert (bundle.manifest.counts.products, bundle.manifest.catalogue) == (24, "products_export.csv")
        weights = bundle.manifest.fusion[QueryKind.TEXT]
        product = bundle.products[7]
        assert (product.id, product.price, product.currency) == ("h7", 15.0, "EUR")
        assert (product.attributes["Size"], product.season) == (("S", "M"), "summer")
        query = encoder.encode_texts([product.title], [product.entities()])[0]
        assert rank(bundle, query, weights, 3).rows[0] == 7
