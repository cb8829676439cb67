"""WooCommerce's product CSV as it is exported: variations behind their products, lists with escaped commas."""

import csv
import io

import pytest

from indexer.catalogue import CatalogueOptions, CatalogueRow, RejectedRow, read_catalogue
from indexer.catalogue_formats import FeedFormat
from indexer.catalogue_open import open_feed

HEADER = (
    'ID,Type,SKU,"GTIN, UPC, EAN, or ISBN",Name,Published,"Is featured?","Visibility in catalog",'
    '"Short description",Description,"Date sale price starts","Date sale price ends","Tax status","Tax class",'
    '"In stock?",Stock,"Low stock amount","Backorders allowed?","Sold individually?","Weight (kg)",'
    '"Length (cm)","Allow customer reviews?","Purchase note","Sale price","Regular price",Categories,Tags,'
    '"Shipping class",Images,"Download limit",Parent,"Grouped products",Upsells,"External URL","Button text",'
    'Position,Brands,"Attribute 1 name","Attribute 1 value(s)","Attribute 1 visible","Attribute 1 global",'
    '"Attribute 2 name","Attribute 2 value(s)","Meta: origin","Meta: _wp_page_template"'
)
COLUMNS = next(csv.reader([HEADER]))
HOODIE = {
    "ID": "45",
    "Type": "variable",
    "SKU": "woo-hoodie",
    "Name": "Hoodie &amp; Hood",
    "Published": "1",
    "Visibility in catalog": "visible",
    "Short description": "<p>Warm.</p>",
    "Description": "<p>Soft inside,\\nwith a <em>zip</em>.</p>",
    "Tax status": "taxable",
    "In stock?": "1",
    "Categories": "Clothing, Clothing > Hoodies, Sale",
    "Tags": "warm, zip\\, metal",
    "Images": "https://shop.example/h1.jpg, https://shop.example/h2.jpg",
    "Brands": "Northmost",
    "Attribute 1 name": "Colour",
    "Attribute 1 value(s)": "Blue, Green",
    "Attribute 1 visible": "1",
    "Attribute 2 name": "Material",
    "Attribute 2 value(s)": "Wool",
    "Meta: origin": "Portugal",
    "Meta: _wp_page_template": "default",
}
TEE = {
    "ID": "44",
    "Type": "simple, virtual",
    "SKU": "tee",
    "Name": "Tee",
    "Published": "1",
    "Visibility in catalog": "visible",
    "In stock?": "backorder",
    "Sale price": "1.299,00",
    "Regular price": "1.500,00",
    "Images": "https://shop.example/tee.jpg",
}
BLUE = {
    "ID": "60",
    "Type": "variation",
    "SKU": "woo-hoodie-blue",
    "Name": "Hoodie - Blue",
    "Published": "1",
    "In stock?": "0",
    "Regular price": "45",
    "Images": "https://shop.example/blue.jpg",
    "Parent": "woo-hoodie",
    "Attribute 1 name": "Colour",
    "Attribute 1 value(s)": "Blue",
}
GREEN = {**BLUE, "ID": "61", "SKU": "", "In stock?": "1", "Sale price": "42", "Images": "", "Parent": "id:45"}
GREEN["Attribute 1 value(s)"] = "Green"
OFF = {**BLUE, "ID": "62", "SKU": "off", "Published": "0", "Regular price": "1"}


def write(folder, *lines):
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    path = folder / "wc-product-export.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    return path


def read(path, **options):
    return list(read_catalogue(path, CatalogueOptions(**options)))


@pytest.mark.parametrize("first", [(HOODIE, TEE, BLUE, OFF, GREEN), (BLUE, OFF, TEE, GREEN, HOODIE)])
def test_variations_join_their_product_wherever_they_stand(tmp_path, first):
    path = write(tmp_path, *first)
    assert open_feed(path).format is FeedFormat.WOOCOMMERCE
    rows = {row.product.id: row for row in read(path)}
    assert set(rows) == {"45", "44"}
    hoodie, tee = rows["45"].product, rows["44"].product
    assert rows["45"].row == first.index(HOODIE) + 1
    assert (hoodie.title, hoodie.brand, hoodie.category) == ("Hoodie & Hood", "Northmost", "Hoodies")
    assert hoodie.description == "Warm. Soft inside, with a zip."
    assert (hoodie.price, hoodie.in_stock, hoodie.composition) == (42.0, True, "Wool")
    assert hoodie.images == tuple(f"https://shop.example/{name}.jpg" for name in ("h1", "h2", "blue"))
    assert hoodie.attributes == {
        "Colour": ("Blue", "Green"),
        "Meta: origin": "Portugal",
        "categories": ("Clothing", "Clothing > Hoodies", "Sale"),
        "sku": "woo-hoodie",
        "tags": ("warm", "zip, metal"),
    }
    assert (tee.price, tee.in_stock, tee.description) == (1299.0, False, "")


def test_variations_apart(tmp_path):
    rows = read(write(tmp_path, HOODIE, TEE, BLUE, OFF, GREEN), variants=True)
    assert [(r.row, r.product.id, r.product.group, r.product.title, r.product.price) for r in rows] == [
        (2, "44", None, "Tee", 1299.0),
        (3, "60", "45", "Hoodie & Hood, Blue", 45.0),
        (5, "61", "45", "Hoodie & Hood, Green", 42.0),
    ]
    blue, green = rows[1].product, rows[2].product
    assert blue.images == ("https://shop.example/blue.jpg",)
    assert green.images == ("https://shop.example/h1.jpg", "https://shop.example/h2.jpg")
    assert (blue.attributes["sku"], blue.attributes["Colour"], blue.brand) == ("woo-hoodie-blue", "Blue", "Northmost")


def test_what_is_refused_and_left_out(tmp_path):
    path = write(
        tmp_path,
        {**TEE, "ID": "1", "Published": "-1"},
        {**TEE, "ID": "2", "Visibility in catalog": "hidden"},
        {**TEE, "ID": "3", "Regular price": "ask", "Sale price": ""},
        {**BLUE, "ID": "4", "Parent": "gone"},
        {**BLUE, "ID": "5", "Regular price": "-"},
        {**TEE, "ID": "6", "Name": ""},
        {**TEE, "ID": "", "SKU": "by-sku"},
        {**HOODIE, "Published": "0"},
    )
    rows = read(path)
    assert [(r.row, r.product.id) for r in rows if isinstance(r, CatalogueRow)] == [(7, "by-sku")]
    assert [(r.row, r.line, r.id, r.field, r.reason) for r in rows if isinstance(r, RejectedRow)] == [
        (3, 4, "3", "Regular price", "not a price: 'ask'"),
        (4, 5, "4", "Parent", "no product is called 'gone'"),
        (5, 6, "5", "Regular price", "not a price: '-'"),
        (6, 7, "6", "title", "missing"),
    ]
    feed = open_feed(path)
    list(feed.rows)
    assert feed.left_out == {"not published": 2, "kept out of searches by its shop": 1}


def test_columns_are_mapped_as_in_any_feed(tmp_path):
    (row,) = read(write(tmp_path, TEE), mapping={"id": "SKU", "price": "Regular price"}, defaults={"currency": "USD"})
    assert (row.product.id, row.product.price, row.product.currency) == ("tee", 1500.0, "USD")
