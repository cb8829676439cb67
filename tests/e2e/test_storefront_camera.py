"""A photo taken in the storefront: Chromium's own fake cameras, and every way in which there may be none."""

import os
import shutil
import time

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

pytestmark = pytest.mark.e2e

PATIENCE_S = 30
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "locale": "de-DE"}
CAMERAS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream=device-count=2",
    "--host-resolver-rules=MAP shop.test 127.0.0.1",
]

# Keeps every stream, and holds them back while `hold` is set.
KEEP_STREAMS = """() => {
    const start = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.streams = [];
    window.hold = null;
    navigator.mediaDevices.getUserMedia = async (asked) => {
        const stream = await start(asked);
        window.streams.push(stream);
        await window.hold;
        return stream;
    };
}"""
FAIL = "(name) => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name)); }"
RUNNING = "window.streams.flatMap(stream => stream.getTracks()).filter(track => track.readyState === 'live').length"
STREAMS = "window.streams.length"
USED = "window.streams.map(stream => stream.getVideoTracks()[0].getSettings().deviceId)"


@pytest.fixture(scope="module")
def browser():
    """Chromium with two cameras that show a made-up film."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("no chromium on the path and no CHROMIUM in the environment")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CAMERAS)
        yield chromium
        chromium.close()


def wait_until(page, script, wanted):
    """Playwright's own waiting for a script evaluates it in the page, which the page's policy forbids."""
    end = time.monotonic() + PATIENCE_S
    while (found := page.evaluate(script)) != wanted:
        assert time.monotonic() < end, f"{script} is {found}"
        page.wait_for_timeout(20)


def opened(visit):
    dialog = visit.page.get_by_role("dialog")
    visit.page.locator("#shoot").click()
    expect(dialog).to_be_visible()
    return dialog


def test_a_photo_is_taken_and_searched_with(visit):
    visit.page.context.grant_permissions(["camera"])
    visit.open()
    visit.page.evaluate(KEEP_STREAMS)
    dialog = opened(visit)
    shutter = dialog.get_by_role("button", name="Take the photo")
    expect(shutter).to_be_focused()
    expect(dialog.get_by_label("What the camera sees")).to_have_js_property("paused", False)
    shutter.press("Enter")
    taken = dialog.get_by_role("img", name="The photo you took")
    expect(taken).to_be_visible()
    expect(shutter).to_be_hidden()
    dialog.get_by_role("button", name="Retake").click()
    expect(taken).to_be_hidden()
    dialog.get_by_role("button", name="Use the other camera").click()
    wait_until(visit.page, STREAMS, 2)
    expect(shutter).to_be_focused()
    one, other = visit.page.evaluate(USED)
    assert one != other
    assert visit.page.evaluate(RUNNING) == 1

    shutter.click()
    use = dialog.get_by_role("button", name="Search with this photo")
    expect(use).to_be_focused()
    with visit.page.expect_response("**/v1/search/image"):
        use.press("Enter")
    visit.answered()
    expect(dialog).to_be_hidden()
    expect(visit.page.locator(".token canvas")).to_be_visible()
    assert len(visit.ids()) == 24
    wait_until(visit.page, RUNNING, 0)


def test_however_it_is_left_the_camera_is_off(visit):
    visit.page.context.grant_permissions(["camera"])
    visit.open()
    visit.page.evaluate(KEEP_STREAMS)
    ways = [
        lambda: visit.page.keyboard.press("Escape"),
        lambda: visit.page.get_by_role("button", name="Close").click(),
        lambda: visit.page.mouse.click(5, 300),
    ]
    for number, leave in enumerate(ways, 1):
        dialog = opened(visit)
        expect(dialog.get_by_role("button", name="Take the photo")).to_be_visible()
        assert visit.page.evaluate(RUNNING) == 1
        leave()
        expect(dialog).to_be_hidden()
        wait_until(visit.page, RUNNING, 0)
        assert visit.page.evaluate(STREAMS) == number
    expect(visit.page.locator("#shoot")).to_be_focused()

    visit.page.evaluate("() => { window.hold = new Promise((release) => (window.release = release)); }")
    dialog = opened(visit)
    expect(dialog).to_contain_text("Starting the camera")
    wait_until(visit.page, STREAMS, 4)
    visit.page.keyboard.press("Escape")
    visit.page.evaluate("window.release()")
    wait_until(visit.page, RUNNING, 0)


@pytest.mark.parametrize("visit", [PHONE], ids=["german phone"], indirect=True)
def test_without_a_camera_the_way_out_is_a_file(visit, shop):
    visit.open()
    dialog = opened(visit)
    expect(dialog.get_by_role("status")).to_contain_text("Die Kamera darf nicht verwendet werden")
    for fault, words in {
        "NotFoundError": "Es gibt keine Kamera",
        "NotReadableError": "lässt sich nicht starten",
    }.items():
        visit.page.evaluate(FAIL, fault)
        dialog.get_by_role("button", name="Erneut versuchen").tap()
        expect(dialog.get_by_role("status")).to_contain_text(words)
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= visit.page.viewport_size["width"]
    with visit.page.expect_file_chooser() as chooser:
        dialog.get_by_role("button", name="Stattdessen ein Bild wählen").tap()
    with visit.page.expect_response("**/v1/search/image"):
        chooser.value.set_files(shop.picture(shop.rows[30]))
    visit.answered()
    assert shop.rows[30]["id"] in visit.ids()[:5]


def test_an_unsafe_connection_is_named(visit, base_url):
    port = httpx.URL(base_url).port
    visit.base_url = f"http://shop.test:{port}"
    visit.open()
    dialog = opened(visit)
    expect(dialog.get_by_role("status")).to_contain_text("The camera needs a safe connection")
    expect(dialog.get_by_role("button", name="Choose a picture instead")).to_be_focused()
    expect(dialog.get_by_role("button", name="Try again")).to_be_hidden()
    visit.hosts.remove(f"shop.test:{port}")
    visit.forgive("Cross-Origin-Opener-Policy")


def test_only_the_shop_itself_may_use_the_camera(base_url):
    allowed = {path: httpx.get(base_url + path).headers["permissions-policy"] for path in ("/", "/docs")}
    assert "camera=(self)" in allowed["/"]
    assert "camera=()" in allowed["/docs"]
    assert all("microphone=()" in policy for policy in allowed.values())
