"""All that the documentation's commands name, small and in one folder: catalogues as they come, and data folders."""

import csv
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

PRODUCTS = 24
KNOWN_ID = "s7-000001"  # a product of the demo shop, which pages change


def rows_of(feeds: ModuleType) -> list[dict[str, object]]:
    """Return flat rows of products with a picture each, one of them with the id that pages have."""
    rows = feeds.products(PRODUCTS, pictures=1)
    rows[1]["id"] = KNOWN_ID
    return rows


def write_shop(folder: Path, feeds: ModuleType, rows: list[dict[str, object]]) -> Path:
    """Write a catalogue as the demo shop has it into `folder`: products, pictures, judged queries."""
    feeds.write_pictures(folder, rows)
    finer = [row | {"sub_category": row["category"]} for row in rows]
    pq.write_table(pa.Table.from_pylist(finer), folder / "catalogue.parquet")
    queries = [
        {"qid": f"q{n}", "kind": "exact", "text": row["title"], "relevant": [row["id"]]} for n, row in enumerate(rows)
    ]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    return folder


def lay(folder: Path, shop: Path, rows: list[dict[str, object]], pages: Iterable[str]) -> None:
    """Put what the text of `pages` names into `folder`, but for data folders."""
    shutil.copytree(shop / "images", folder / "images")
    (folder / "data").mkdir()
    for name in {name for page in pages for name in re.findall(r"\bdata/((?:shop|myntra|flipkart)[\w-]*)", page)}:
        if not name.endswith("-val") or name == "myntra-val":
            (folder / "data" / name).symlink_to(shop)
    for name in {name for page in pages for name in re.findall(r"\bdata/(index-[\w-]+)", page)}:
        (folder / "data" / name).symlink_to("mine")
    shutil.copy(shop / "catalogue.parquet", folder / "feed.parquet")
    outfit = Image.new("RGB", (400, 240), "white")
    for left, name in ((20, "p1-0.jpg"), (220, "p9-0.jpg")):
        outfit.paste(Image.open(shop / "images" / name), (left, 40))
    outfit.save(folder / "outfit.jpg")
    _write_csv(folder / "feed.csv", [_of_a_shop(row) for row in rows])
    _write_csv(folder / "products_export.csv", [_of_shopify(row) for row in rows])
    _write_csv(folder / "products.csv", [_in_german(row) for row in rows])
    (folder / "pack").mkdir()
    described = [{"id": row["id"], "title": row["title"], "article_type": row["category"]} for row in rows]
    pictures = [{"id": row["id"], "jpg": (shop / str(row["images"][0])).read_bytes()} for row in rows]
    pq.write_table(pa.Table.from_pylist(described), folder / "pack" / "metadata.parquet")
    pq.write_table(pa.Table.from_pylist(pictures), folder / "pack" / "images224.parquet")


def _write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _of_a_shop(row: dict[str, object]) -> dict[str, object]:
    names = {"id": "sku", "category": "type"}
    fields = ("id", "title", "description", "brand", "category", "price", "currency")
    return {names.get(field, field): row[field] for field in fields} | {"images": row["images"][0]}


def _of_shopify(row: dict[str, object]) -> dict[str, object]:
    return {
        "Handle": row["id"], "Title": row["title"], "Body (HTML)": f"<p>{row['description']}</p>",
        "Vendor": row["brand"], "Type": row["category"], "Published": "true", "Option1 Name": "Size",
        "Option1 Value": "M", "Variant SKU": f"{row['id']}-M", "Variant Inventory Tracker": "shopify",
        "Variant Inventory Qty": "3", "Variant Inventory Policy": "deny", "Variant Price": row["price"],
        "Image Src": row["images"][0], "Image Position": "1", "Status": "active",
    }  # fmt: skip


def _in_german(row: dict[str, object]) -> dict[str, object]:
    return {
        "Artikel-Nr.": row["id"], "Bezeichnung": row["title"], "Preis (brutto)": row["price"],
        "description": f"<p>{row['description']}</p>", "internal_note": "check",
    }  # fmt: skip
