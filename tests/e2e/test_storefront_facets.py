"""Filters, counts, price range and order in the storefront, judged by the rows of the feed."""

import json
from collections import Counter

import pytest
from playwright.sync_api import expect

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}
SEARCHES = "**/v1/search"  # and not those that only count, which end in ?counts


def facet(visit, field):
    """The part of the panel that narrows by one field."""
    return visit.page.locator(f'fieldset[data-field="{field}"]')


def value(visit, field, name):
    """The box to tick for one value, and its count."""
    row = facet(visit, field).locator("li").filter(has=visit.page.get_by_text(name, exact=True))
    return row.locator("input"), row.locator("small")


def narrow(visit, act, path=SEARCHES):
    """Do something that narrows, and wait for the answer."""
    with visit.page.expect_response(path):
        act()
    visit.answered()


def by_id(shop, visit):
    """The rows of the products shown."""
    rows = {row["id"]: row for row in shop.rows}
    return [rows[identity] for identity in visit.ids()]


def found(visit):
    """How many products there are on all pages."""
    return int(visit.page.locator("#count").inner_text().split(" of ")[1])


def test_choices_of_a_field_widen_each_other_and_narrow_the_other_fields(visit, shop):
    visit.open()
    visit.page.get_by_role("button", name="Filter").click()
    expect(visit.page.locator(".panel")).to_be_focused()
    categories = Counter(row["category"] for row in shop.rows)
    [(first, n), (second, m)] = categories.most_common(2)
    box, count = value(visit, "category", first)
    expect(count).to_have_text(f"{n}")
    narrow(visit, box.check)
    expect(visit.page.locator("#hero")).to_be_hidden()
    assert found(visit) == n
    assert {row["category"] for row in by_id(shop, visit)} == {first}

    brand, of_brand = Counter(row["brand"] for row in shop.rows if row["category"] == first).most_common(1)[0]
    expect(value(visit, "brand", brand)[1]).to_have_text(f"{of_brand}")
    other, count = value(visit, "category", second)
    expect(count).to_have_text(f"{m}")
    narrow(visit, other.check)
    expect(box).to_be_checked()
    assert found(visit) == n + m
    narrow(visit, value(visit, "brand", brand)[0].check)
    wanted = [row for row in shop.rows if row["category"] in {first, second} and row["brand"] == brand]
    assert {row["id"] for row in by_id(shop, visit)} == {row["id"] for row in wanted}
    of_category = Counter(row["category"] for row in shop.rows if row["brand"] == brand)
    expect(count).to_have_text(f"{of_category[second]}")

    chips = visit.page.locator("#chosen .chip")
    expect(chips).to_have_count(3)
    narrow(visit, chips.filter(has_text=first).click)
    expect(box).not_to_be_checked()
    visit.page.locator("#chosen").get_by_role("button", name="Clear all").click()
    expect(visit.page.locator("#hero")).to_be_visible()
    expect(chips).to_have_count(0)
    assert visit.page.url == f"{visit.base_url}/"


def test_filters_are_for_words_too_and_come_back_with_the_address(visit, shop):
    visit.open("/?q=red")
    colours = Counter(row["colour"] for row in shop.rows)
    [(colour, n)] = colours.most_common(1)
    box, count = value(visit, "attributes.colour", colour)
    expect(count).to_have_text(f"{n}")
    expect(facet(visit, "attributes.split")).to_have_count(0)  # which is no business of a customer's
    more = facet(visit, "attributes.colour").get_by_role("button", name=f"Show all {len(colours)}")
    more.press("Enter")
    expect(facet(visit, "attributes.colour").locator("li")).to_have_count(len(colours))
    narrow(visit, lambda: box.press("Space"))
    expect(box).to_be_focused()
    switch = visit.page.get_by_role("switch", name="In stock only")
    narrow(visit, lambda: switch.press("Space"))
    wanted = [row["id"] for row in shop.rows if row["colour"] == colour and row["in_stock"]]
    assert sorted(visit.ids()) == sorted(wanted)
    expect(visit.page.locator("#results-title")).to_have_text("Results for “red”")

    visit.ask("blue")
    assert sorted(visit.ids()) == sorted(wanted)
    visit.page.reload()
    visit.answered()
    expect(visit.page.locator("#chosen .chip")).to_have_text(
        [f"Colour{colour}: remove this filter", "In stock: remove this filter"]
    )
    assert sorted(visit.ids()) == sorted(wanted)
    visit.page.go_back()
    visit.page.go_back()
    expect(switch).not_to_be_checked()
    expect(box).to_be_checked()
    visit.answered()
    assert len(visit.ids()) == min(n, 24)
    visit.page.locator(".logo").click()
    expect(visit.page.locator("#hero")).to_be_visible()
    expect(visit.page.locator("#chosen .chip")).to_have_count(0)


def test_a_price_range_and_the_order_of_prices(visit, shop):
    visit.open("/?q=red")
    prices = sorted(row["price"] for row in shop.rows)
    low, high = (facet(visit, "price").get_by_role("spinbutton", name=f"{end} price") for end in ("Lowest", "Highest"))
    thumbs = [facet(visit, "price").get_by_role("slider", name=f"{end} price") for end in ("Lowest", "Highest")]
    expect(thumbs[0]).to_have_attribute("min", f"{int(prices[0])}")
    assert float(thumbs[1].get_attribute("max")) >= prices[-1]

    low.fill("20")
    narrow(visit, lambda: low.press("Enter"))
    assert found(visit) == sum(price >= 20 for price in prices)
    high.fill("90")
    narrow(visit, lambda: high.press("Enter"))
    within = [price for price in prices if 20 <= price <= 90]
    assert found(visit) == len(within)
    assert "range=price%3A20..90" in visit.page.url
    expect(thumbs[1]).to_have_js_property("valueAsNumber", 90)
    narrow(visit, lambda: thumbs[1].press("ArrowLeft"))
    expect(high).to_have_value("89")

    narrow(visit, lambda: visit.page.get_by_label("Sort by").select_option("Price, low to high"))
    shown = [row["price"] for row in by_id(shop, visit)]
    assert shown == [price for price in within if price <= 89][:24]
    narrow(visit, lambda: visit.page.get_by_label("Sort by").select_option("price:desc"))
    shown = [row["price"] for row in by_id(shop, visit)]
    assert shown == sorted(shown, reverse=True)
    narrow(visit, visit.page.locator('#chosen .chip[data-field="price"]').click)
    expect(low).to_have_value("")
    assert found(visit) == len(prices)


def test_a_picture_and_what_is_like_a_product_are_narrowed_too(visit, shop):
    row = shop.rows[30]
    rest = Counter(other["brand"] for other in shop.rows if other["brand"] != row["brand"])
    [(brand, n)] = rest.most_common(1)
    visit.open(f"/?is=brand:{brand}&sort=price:asc")
    visit.keep_forms()
    visit.give(shop.picture(row))
    assert {row["brand"] for row in by_id(shop, visit)} == {brand}
    sent = visit.page.evaluate("['filter', 'sort'].map((name) => window.sent[0].get(name))")
    assert [json.loads(text) for text in sent] == [{"brand": [brand]}, ["price:asc"]]
    rival = rest.most_common(2)[1]
    expect(value(visit, "brand", rival[0])[1]).to_have_text(f"{rival[1]}")

    visit.page.goto(f"{visit.base_url}/?like={row['id']}&is=brand:{brand}")
    visit.answered()
    assert found(visit) == n
    assert {row["brand"] for row in by_id(shop, visit)} == {brand}
    expect(value(visit, "brand", rival[0])[1]).to_have_text(f"{rival[1]}")


@pytest.mark.parametrize("visit", [PHONE], ids=["phone"], indirect=True)
def test_a_phone_has_a_sheet_of_filters(visit, shop):
    visit.open("/?q=red")
    button = visit.page.locator("#filter")
    expect(button).to_have_text("Filter")
    expect(visit.page.locator("#facets")).to_be_hidden()
    button.tap()
    sheet = visit.page.get_by_role("dialog", name="Filter")
    [(season, n)] = Counter(row["season"] for row in shop.rows if row["season"]).most_common(1)
    narrow(visit, value(visit, "season", season)[0].tap)
    box = sheet.bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    sheet.get_by_role("button", name=f"Show {n} products").tap()
    expect(sheet).to_be_hidden()
    expect(button).to_have_text("Filter1")
    assert {row["season"] for row in by_id(shop, visit)} == {season}
    assert visit.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")

    button.tap()
    visit.page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(button).to_be_focused()
    button.tap()
    narrow(visit, sheet.get_by_role("button", name="Clear all").tap)
    expect(button).to_have_text("Filter")


def test_a_filter_that_the_catalogue_has_no_more_can_be_taken_away(visit):
    visit.open("/?q=red&is=attributes.flavour:mint")
    expect(visit.page.get_by_role("alert")).to_contain_text("flavour")
    narrow(visit, visit.page.locator("#chosen .chip").click)
    expect(visit.page.get_by_role("alert")).to_have_count(0)
    assert len(visit.ids()) == 24
    visit.forgive("status of 422")


ADDRESSES = {
    "?is=brand%3AEmber&is=brand%3AOak+%26+Co&range=price%3A10..50.5&sort=price%3Aasc": None,
    "?q=red&is=attributes.ratio%3A4%3A3&yes=in_stock&no=attributes.organic": None,
    "?range=price%3A..9": None,
    "?range=price%3A..": "",
    "?range=price%3Aa..b": "",
    "?is=brand&yes=&sort=score%3Aasc": "",
    "?range=price%3A1..2&range=price%3A3..": "?range=price%3A3..",
}


def test_what_the_pure_parts_make_of_filters_and_facets(visit):
    visit.open()
    script = """async ([addresses, hits, facets]) => {
        const { fromAddress, toAddress } = await import('/js/address.js');
        const { isUseful, offeredBy, toCount } = await import('/js/counting.js');
        return {
            addresses: addresses.map((address) => toAddress(fromAddress(address).query, null)),
            offered: offeredBy(hits),
            none: offeredBy([]),
            useful: facets.map(([field, facet]) => isUseful(field, facet)),
            asks: toCount(['brand', 'season', 'price'], { brand: ['a'], price: { gte: 1 } }, {}, ['season']),
        };
    }"""
    attributes = [
        {"colour": "red", "split": "train", "note": "x" * 80, "weight": 3, "organic": True, "sizes": ["S", "M"]},
        *[{"colour": "red", "a:b": "c"}] * 5,
    ]
    hits = [{"id": f"{n}", "product": {"id": f"{n}", "attributes": stated}} for n, stated in enumerate(attributes[:5])]
    counted = {"values": [{"value": "a", "count": 1}, {"value": "b", "count": 1}], "distinct": 2, "statistics": None}
    nothing = {"values": [], "distinct": 0, "statistics": None}
    facets = [("brand", counted), ("attributes.sku", counted), ("season", nothing), ("price", nothing), ("brand", None)]
    made = visit.page.evaluate(script, [list(ADDRESSES), hits, facets])
    assert dict(zip(ADDRESSES, made["addresses"], strict=True)) == {
        address: address if meant is None else meant for address, meant in ADDRESSES.items()
    }
    standard = ["in_stock", "price", "category", "brand", "season", "composition"]
    assert made["none"] == standard
    assert made["offered"] == [*standard, "attributes.colour", "attributes.organic", "attributes.sizes"]
    assert made["useful"] == [True, False, False, False, False]
    assert made["asks"] == [
        {"fields": ["season"], "filter": {"brand": ["a"], "price": {"gte": 1}}, "whole": ["season"]},
        {"fields": ["brand"], "filter": {"price": {"gte": 1}}, "whole": ["brand"]},
        {"fields": ["price"], "filter": {"brand": ["a"]}, "whole": ["price"]},
    ]
