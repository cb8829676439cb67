"""The storefront in three languages: all words of each, the right one chosen, and no other seen on the way."""

import httpx
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

DESK = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
SAME_IN_BOTH = {"Filter", "Suggestions", "Points", "Part", "Catalens", "Q 700%"}
"""Words that are spelt alike in English and another of the languages, and what has no words of its own."""

# Every text, functions called with a few numbers, else with words, else with a list.
ALL_TEXTS = """async (languages) => {
    const asked = { group: ['brand'], stage: ['encode'], problemTitle: [404, 'There is nothing here'] };
    const said = (key, text) => {
        if (typeof text !== 'function') return text;
        for (const args of [asked[key] ?? [7, 5, 3], ['Q', 7, 'Q'], ['Q', 'Q', 'Q'], [['rerank']]]) {
            try { return text(...args); } catch {}
        }
    };
    const all = {};
    for (const language of languages) {
        const { text } = await import(`/js/text/${language}.js`);
        all[language] = Object.entries(text).map(([key, value]) => [key, said(key, value)]);
    }
    return all;
}"""


def test_every_language_says_everything_in_its_own_words(visit):
    visit.page.goto(visit.base_url, wait_until="commit")
    texts = {language: dict(said) for language, said in visit.page.evaluate(ALL_TEXTS, ["en", "de", "fr"]).items()}
    english = texts.pop("en")
    for language, said in texts.items():
        assert list(said) == list(english), language
        assert all(isinstance(words, str) and words for words in said.values()), language
        wordless = {key for key, words in english.items() if not any(map(str.isalpha, words.replace("Q", "")))}
        same = {key for key in said if said[key] == english[key] and english[key] not in SAME_IN_BOTH} - wordless
        assert not same - {"took", "index", "pageTitle"}, f"{language} still speaks English: {same}"


# What the page says before a script runs, and under which key; keys of words that have none are null.
STATIC_WORDS = """(html) => {
    const page = new DOMParser().parseFromString(html, 'text/html');
    const said = [];
    const spoken = document.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    while (spoken.nextNode()) {
        const { data, parentElement: holder } = spoken.currentNode;
        if (/\\p{L}/u.test(data) && !holder.closest('noscript')) said.push([holder.dataset.say ?? null, data.trim()]);
    }
    for (const name of ['aria-label', 'placeholder', 'title', 'alt']) {
        for (const node of page.querySelectorAll(`[${name}]`)) {
            const [attribute, key] = (node.dataset.say ?? '').split(':');
            said.push([attribute === name ? key : null, node.getAttribute(name)]);
        }
    }
    return said;
}"""


def test_the_words_of_the_page_itself_are_those_of_its_english(visit):
    visit.page.goto(visit.base_url, wait_until="commit")
    said = visit.page.evaluate(STATIC_WORDS, httpx.get(visit.base_url).text)
    english = visit.page.evaluate("async () => ({ ...(await import('/js/text/en.js')).text })")
    assert len(said) > 20
    assert {words for key, words in said if key is None} <= {"Catalens"}
    assert {key: words for key, words in said if key} == {key: english[key] for key, _ in said if key}


@pytest.mark.parametrize(
    ("visit", "language", "wanted", "price"),
    [
        ({**DESK, "locale": "de-AT"}, "de", "Was suchen Sie?", "€ 1.234,50"),
        ({**DESK, "locale": "fr-FR"}, "fr", "Que cherchez-vous ?", "1 234,50 €"),
        ({**DESK, "locale": "it-IT"}, "en", "What are you looking for?", "€1,234.50"),
    ],
    ids=["german", "french", "italian"],
    indirect=["visit"],
)
def test_the_page_speaks_as_its_reader_does(visit, language, wanted, price):
    visit.page.goto(visit.base_url, wait_until="commit")
    expect(visit.page.locator(".language select")).to_have_value(language)
    expect(visit.page.locator("html")).to_have_attribute("lang", language)
    assert visit.page.locator("#q").get_attribute("placeholder").replace("\xa0", " ") == wanted
    loaded = "performance.getEntriesByType('resource').map(entry => entry.name.split('/text/')[1]).filter(Boolean)"
    assert set(visit.page.evaluate(loaded)) == {"numbers.js", f"{language}.js"}
    script = "async () => (await import('/js/text.js')).formatPrice({ price: 1234.5, currency: 'EUR' })"
    assert visit.page.evaluate(script).translate({0xA0: " ", 0x202F: " "}) == price


def test_a_chosen_language_stays_until_an_address_asks_for_another(visit):
    visit.open("/?q=red")
    with visit.page.expect_navigation():
        visit.page.get_by_label("Language").select_option("Deutsch")
    expect(visit.page.locator("#results-title")).to_have_text("Ergebnisse für „red“")
    assert "lang" not in visit.page.url

    visit.open("/?q=red&lang=fr")
    visit.ask("green")
    expect(visit.page.locator("#results-title")).to_have_text("Résultats pour «\xa0green\xa0»")
    assert "lang=fr" in visit.page.url
    with visit.page.expect_navigation():
        visit.page.get_by_label("Langue").select_option("English")
    expect(visit.page.locator("#results-title")).to_have_text("Results for “green”")
    assert "lang" not in visit.page.url


def test_a_picture_is_searched_for_in_another_language_too(visit, shop):
    visit.open("/?sort=price:asc")
    visit.give(shop.picture(shop.rows[30]))
    found = visit.ids()
    with visit.page.expect_navigation():
        visit.page.get_by_label("Language").select_option("Deutsch")
    expect(visit.page.locator(".token canvas")).to_be_visible()
    visit.answered()
    assert visit.ids() == found
    with visit.page.expect_response("**/v1/search/image"):
        visit.page.locator("#q").fill("red")  # a step in the history, from which one comes back to the picture alone
    visit.answered()
    with visit.page.expect_response("**/v1/search/image"):
        visit.page.go_back()
    visit.answered()
    assert visit.ids() == found
    visit.page.get_by_role("button", name="Das Bild entfernen").click()
    visit.page.reload()
    expect(visit.page.locator("#results")).to_have_attribute("aria-busy", "false")
    expect(visit.page.locator(".token")).to_have_count(0)


@pytest.mark.parametrize("visit", [{**DESK, "locale": "de-DE"}], ids=["german"], indirect=True)
def test_no_english_is_seen_on_the_way_to_german(visit):
    held = []

    def hold(route):
        held.append(route)

    visit.page.route("**/js/text/de.js", hold)
    visit.page.goto(visit.base_url, wait_until="commit")
    wanted = visit.page.locator("#q")
    expect(wanted).to_be_attached()
    expect(wanted).to_be_hidden()
    expect(visit.page.locator("#foot")).to_be_attached()
    assert held
    held[0].continue_()
    expect(wanted).to_be_visible()
    expect(wanted).to_have_attribute("placeholder", "Was suchen Sie?")


def test_what_the_service_says_is_marked_as_english(visit):
    visit.open("/?like=no-such-product&lang=de")
    alert = visit.page.get_by_role("alert")
    expect(alert.locator(".notice-title")).to_have_text("Das gibt es hier nicht")
    expect(alert.locator("[lang=en]")).to_contain_text("no-such-product")
    visit.forgive("status of 404")
