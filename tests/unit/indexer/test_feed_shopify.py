"""Shopify's product CSV as it is exported: several lines a product, HTML with line breaks, both kinds of columns."""

import csv
import gzip
import io

import pytest

from indexer.catalogue import CatalogueOptions, CatalogueRow, RejectedRow, UrlImage, read_catalogue
from indexer.catalogue_formats import FeedFormat
from indexer.catalogue_open import open_feed

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,"
    "Option2 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,"
    "Variant Inventory Policy,Variant Price,Variant Compare At Price,Variant Taxable,Image Src,Image Position,"
    "Image Alt Text,Gift Card,SEO Title,Google Shopping / Gender,Color (product.metafields.shopify.color-pattern),"
    "Variant Image,Cost per item,Status"
)
COLUMNS = next(csv.reader([HEADER]))
NEW_COLUMNS = {
    "Handle": "URL handle",
    "Body (HTML)": "Description",
    "Product Category": "Product category",
    "Published": "Published on online store",
    "Option1 Name": "Option1 name",
    "Option1 Value": "Option1 value",
    "Option2 Name": "Option2 name",
    "Option2 Value": "Option2 value",
    "Variant SKU": "SKU",
    "Variant Price": "Price",
    "Variant Compare At Price": "Compare-at price",
    "Variant Inventory Tracker": "Inventory tracker",
    "Variant Inventory Qty": "Inventory quantity",
    "Variant Inventory Policy": "Continue selling when out of stock",
    "Image Src": "Product image URL",
    "Image Position": "Image position",
    "Variant Image": "Variant image URL",
}
DRESS = [
    {
        "Handle": "red-dress",
        "Title": 'Red "Summer" Dress',
        "Body (HTML)": "<p>Light &amp; airy,\nfor summer.</p>\n<ul>\n<li>Machine wash</li></ul>",
        "Vendor": "Ruby",
        "Product Category": "Apparel & Accessories > Clothing > Dresses",
        "Type": "Dress",
        "Tags": "summer, sale",
        "Published": "true",
        "Option1 Name": "Size",
        "Option1 Value": "S",
        "Option2 Name": "Material",
        "Option2 Value": "Cotton",
        "Variant SKU": "RD-S",
        "Variant Grams": "200",
        "Variant Inventory Tracker": "shopify",
        "Variant Inventory Qty": "0",
        "Variant Inventory Policy": "deny",
        "Variant Price": "39.90",
        "Variant Compare At Price": "59.90",
        "Variant Taxable": "true",
        "Image Src": "https://cdn.example/back.jpg?v=2",
        "Image Position": "2",
        "Image Alt Text": "Back",
        "SEO Title": "Buy it",
        "Google Shopping / Gender": "female",
        "Color (product.metafields.shopify.color-pattern)": "red",
        "Cost per item": "11.00",
        "Status": "active",
    },
    {
        "Handle": "red-dress",
        "Option1 Value": "M",
        "Option2 Value": "Cotton",
        "Variant SKU": "RD-M",
        "Variant Inventory Tracker": "shopify",
        "Variant Inventory Qty": "3",
        "Variant Inventory Policy": "deny",
        "Variant Price": "35.00",
        "Variant Compare At Price": "59.90",
        "Image Src": "https://cdn.example/front.jpg?v=1",
        "Image Position": "1",
        "Variant Image": "https://cdn.example/m.jpg",
    },
    {"Handle": "red-dress", "Image Src": "https://cdn.example/side.jpg", "Image Position": "3"},
]
MUG = {
    "Handle": "mug",
    "Title": "Mug",
    "Vendor": "Golden Goat",
    "Option1 Name": "Title",
    "Option1 Value": "Default Title",
    "Variant SKU": "MUG",
    "Variant Inventory Policy": "deny",
    "Variant Price": "9.50",
}


def write(folder, *lines, names=None, name="products_export.csv"):
    names = names or {}
    text = io.StringIO()
    writer = csv.DictWriter(text, [names.get(c, c) for c in COLUMNS], restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({names.get(c, c): value for c, value in line.items()} for line in lines)
    content = b"\xef\xbb\xbf" + text.getvalue().encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def read(path, **options):
    return list(read_catalogue(path, CatalogueOptions(**options)))


@pytest.mark.parametrize(
    ("names", "name"), [({}, "products_export.csv"), ({}, "shop.csv.gz"), (NEW_COLUMNS, "products_export.csv")]
)
def test_lines_of_one_handle_are_one_product(tmp_path, names, name):
    path = write(tmp_path, *DRESS, MUG, names=names, name=name)
    assert open_feed(path).format is FeedFormat.SHOPIFY
    dress, mug = read(path)
    assert (dress.row, mug.row) == (1, 4)
    product = dress.product
    assert (product.id, product.title, product.brand, product.category) == (
        "red-dress",
        'Red "Summer" Dress',
        "Ruby",
        "Dress",
    )
    assert product.description == "Light & airy, for summer. Machine wash"
    assert (product.price, product.currency, product.in_stock) == (35.0, None, True)
    assert product.composition == "Cotton"
    assert product.images == (
        "https://cdn.example/front.jpg?v=1",
        "https://cdn.example/back.jpg?v=2",
        "https://cdn.example/side.jpg",
        "https://cdn.example/m.jpg",
    )
    assert all(isinstance(image, UrlImage) for image in dress.images)
    assert product.attributes == {
        "Color": "red",
        "Size": ("S", "M"),
        "compare_at_price": "59.90",
        "gender": "female",
        "product_category": "Apparel & Accessories > Clothing > Dresses",
        "product_type": "Dress",
        "sku": ("RD-S", "RD-M"),
        "tags": ("summer", "sale"),
    }
    assert (mug.product.price, mug.product.in_stock, mug.product.images) == (9.5, True, ())
    assert mug.product.attributes == {"sku": "MUG"}


def test_variants_apart(tmp_path):
    small, medium, mug = read(write(tmp_path, *DRESS, MUG), variants=True)
    assert [(r.product.id, r.product.group, r.product.price, r.product.in_stock) for r in (small, medium, mug)] == [
        ("RD-S", "red-dress", 39.9, False),
        ("RD-M", "red-dress", 35.0, True),
        ("MUG", "mug", 9.5, True),
    ]
    assert [r.product.title for r in (small, medium, mug)] == [
        'Red "Summer" Dress, S, Cotton',
        'Red "Summer" Dress, M, Cotton',
        "Mug",
    ]
    assert medium.product.images == ("https://cdn.example/m.jpg",)
    assert small.product.images[0] == "https://cdn.example/front.jpg?v=1"
    assert (small.product.attributes["Size"], small.product.brand) == ("S", "Ruby")


@pytest.mark.parametrize(
    ("lines", "in_stock"),
    [
        ([("shopify", "0", "deny")], False),
        ([("shopify", "0", "continue")], True),
        ([("shopify", "-2", "deny"), ("shopify", "1", "deny")], True),
        ([("shopify", "", "deny")], None),  # several places: their numbers are in a file of their own
        ([("shopify", "0", "deny"), ("shopify", "", "deny")], None),
        ([("", "", "deny")], True),
    ],
)
def test_stock(tmp_path, lines, in_stock):
    told = ("Variant Inventory Tracker", "Variant Inventory Qty", "Variant Inventory Policy")
    rows = [{**MUG, **dict(zip(told, line, strict=True)), "Variant SKU": f"M{n}"} for n, line in enumerate(lines)]
    (row,) = read(write(tmp_path, *rows))
    assert row.product.in_stock is in_stock


def test_what_is_refused_and_left_out(tmp_path):
    path = write(
        tmp_path,
        MUG,
        {**MUG, "Handle": "free", "Variant Price": "free"},
        {**MUG, "Handle": "draft", "Status": "draft"},
        {**MUG, "Handle": "unpublished", "Published": "FALSE"},
        {"Title": "no handle"},
        {"Handle": "untitled", "Variant Price": "1"},
        MUG,
        {**MUG, "Handle": "priceless", "Variant Price": ""},
    )
    with path.open("ab") as file:
        file.write(b"bowl,Bowl\r\n")
    rows = read(path)
    assert [(r.row, r.product.id) for r in rows if isinstance(r, CatalogueRow)] == [(1, "mug"), (8, "priceless")]
    assert [(r.row, r.line, r.id, r.field, r.reason) for r in rows if isinstance(r, RejectedRow)] == [
        (2, 3, "free", "Variant Price", "not a price: 'free'"),
        (5, 6, None, "Handle", "missing"),
        (6, 7, "untitled", "title", "missing"),
        (7, 8, "mug", "id", "used by an earlier row"),
        (9, 10, None, "", "2 columns, where the first line names 30"),
    ]
    assert [r.row for r in rows] == [1, 2, 5, 6, 7, 8, 9]
    feed = open_feed(path)
    list(feed.rows)
    assert feed.left_out == {"not published": 2}


def test_columns_are_mapped_and_ignored_as_in_any_feed(tmp_path):
    path = write(tmp_path, *DRESS)
    (row,) = read(
        path,
        mapping={"category": "Product Category", "season": "Tags"},
        ignore=frozenset({"Vendor", "Variant SKU"}),
        defaults={"currency": "EUR", "brand": "Own brand"},
    )
    product = row.product
    assert product.category == "Apparel & Accessories > Clothing > Dresses"
    assert (product.season, product.brand, product.currency) == ("summer, sale", "Own brand", "EUR")
    assert "sku" not in product.attributes


def test_a_product_of_endless_lines_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("indexer.catalogue_shopify.MAX_LINES_PER_PRODUCT", 3)
    rows = read(write(tmp_path, *DRESS, *DRESS, MUG))
    assert [type(r).__name__ for r in rows] == ["CatalogueRow", "RejectedRow", "CatalogueRow"]
    assert rows[1].reason == "used by an earlier row"
