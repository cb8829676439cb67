"""Live updates over HTTP: every search sees what was stored, and it is kept through restarts, faults and overload."""

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.updating import (
    LAMP,
    MODES,
    ODD,
    Counting,
    assert_problem,
    at_once,
    changing,
    data_uri,
    encoded,
    everything,
    ids,
    metrics_of,
    partial,
    product,
    put,
    refused,
    searched_with,
    stored,
    version,
)

pytestmark = pytest.mark.usefixtures("no_long_waits")


# --- when it is seen ---


SEEN = {
    **{mode: {"q": "{title}", "mode": mode} for mode in MODES},
    "picture": {"image": {"data": "{picture}"}},
    "picture file": {},
    "product": {"query": [{"product": "{id}"}]},
    "filter": {"filter": {"colour": "{id}"}},
    "id": {"filter": {"id": "{id}"}},
    "filtered words": {"q": "red mug", "filter": {"group": "{id}"}},
    "sort": {"sort": ["price:asc"]},
    "collapse": {"sort": ["price:asc"], "collapse": "group"},
}


def test_what_was_waited_for_is_seen_by_the_very_next_search_of_every_kind(live, search, drawn):
    kinds = list(SEEN)
    for number in range(len(kinds)):
        picture = drawn(20 + number, ("green", "purple", "yellow")[number % 3])
        item = {
            **LAMP, "id": f"new-{number}", "title": f"Zebra{number} lamp", "price": 0.5 - number / 100,
            "group": f"new-{number}", "attributes": {"colour": f"new-{number}"}, "images": [data_uri(picture)],
        }  # fmt: skip
        stored(live, item)
        for kind in kinds[number:] + kinds[:number]:  # each time another one is the very next
            if kind == "picture file":
                found = searched_with(live, picture)
            else:
                asked = json.dumps(SEEN[kind]).replace("{id}", item["id"]).replace("{title}", item["title"])
                encoded_picture = base64.b64encode(picture).decode()
                found = search(live, **json.loads(asked.replace("{picture}", encoded_picture)), limit=1)
            assert ids(found)[0] == item["id"], kind
        assert live.get(f"/v1/products/{item['id']}/similar?limit=1").json()["hits"]
        facet = search(live, facets=["colour"], filter={"brand": "Ruby"})["facets"]["colour"]["values"]
        assert {"value": item["id"], "count": 1} in facet
        stored(live, partial(item["id"], price=2_000.0 + number))
        assert ids(search(live, sort=["price:desc"], limit=1)) == [item["id"]]
        live.delete(f"/v1/products/{item['id']}?wait=true")
        assert item["id"] not in ids(search(live, sort=["price:desc"], limit=1))


def test_likes_change_with_the_catalogue(live, shop, search, drawn):
    picture = drawn(30)
    twins = [{**LAMP, "id": f"twin-{n}", "images": [data_uri(picture)]} for n in range(3)]
    stored(live, *twins)
    assert set(ids(live.get("/v1/products/twin-0/similar?limit=2").json())) == {"twin-1", "twin-2"}
    stored(live, {"id": "twin-1", "delete": True}, partial("twin-2", price=1.0))
    found = live.get("/v1/products/twin-0/similar?limit=1&shares=brand").json()
    assert (ids(found), found["hits"][0]["product"]["price"]) == (["twin-2"], 1.0)


def test_what_was_not_waited_for_is_seen_within_a_second(live, search):
    for number in range(5):
        stored(live, {**LAMP, "id": f"new-{number}", "title": f"Zebra{number}"}, wait=False)
        began = time.perf_counter()
        while ids(search(live, q=f"zebra{number}", limit=1)) != [f"new-{number}"]:
            assert time.perf_counter() - began < 1


def test_a_version_comes_with_the_product_of_that_version(live):
    for number in range(1, 30):
        stored(
            live,
            partial("p3", **({"price": float(number)} if number % 3 else {"description": str(number)})),
            wait=False,
        )
        answer = live.get("/v1/products/p3?version=true").json()
        assert answer["version"] == number
        shown = answer["product"]
        assert number in {shown["price"], int(shown["description"]) if shown["description"].isdigit() else None}


def test_a_large_batch_is_stored_while_searches_go_on(live, search, shop, drawn):
    items = [
        {"id": f"n{n}", "title": f"Zebra{n} lamp", "price": 1_000.0 + n, "images": [data_uri(drawn(n))]}
        for n in range(200)
    ]
    many = [data_uri(drawn(300 + n)) for n in range(20)]  # in all, more than may wait anywhere
    items[:20] = [{**item, "images": many} for item in items[:20]]
    with ThreadPoolExecutor(2) as threads:
        storing = threads.submit(stored, live, *items)
        searches = 0
        while not storing.done():
            assert search(live, q="red mug")["hits"]
            assert searched_with(live, shop.picture(f"images/p{10 + searches % 30}-0.jpg"))["hits"]
            searches += 1
        assert storing.result() == [1] * 200
    assert searches >= 3
    assert everything(live, search, filter={"price": {"gte": 1_000, "lt": 1_100}}) == {f"n{n}" for n in range(100)}
    assert search(live, sort=["price:desc"])["found"] == 248
    assert len(product(live, "n0")["images"]) == 20
    for number in (0, 77, 199):
        assert ids(search(live, q=f"zebra{number}", limit=1)) == [f"n{number}"]


# --- restarts, and what can go wrong ---


def test_a_restart_keeps_everything(service, drawn, search):
    def state(client):
        return [
            everything(client, search),
            *({name: product(client, name)} for name in ("lamp", "p3", "p4")),
            *(version(client, name) for name in ("lamp", "p3", "p4")),
            *(client.get(f"/v1/products/lamp/images/{n}").content for n in (0, 1)),
            *(encoded(client, name).images.tobytes() for name in ("lamp", "p3", "p4")),
            *({hit["id"]: hit["score"] for hit in search(client, q="zebra mug", mode=mode)["hits"]} for mode in MODES),
            search(client, facets=["brand", "colour", "in_stock", "price"], sort=["price:asc"])["facets"],
        ]

    with service() as client:
        stored(client, {**LAMP, "images": [data_uri(drawn(40)), data_uri(drawn(41))]}, {"id": ODD, "delete": True})
        stored(client, partial("p3", title="Zebra"), partial("p4", price=0.5, attributes={"watts": 2}))
        stored(client, partial("p3", price=1.0), partial("lamp", in_stock=False))
        before = state(client)
    with service() as client:
        assert state(client) == before
        assert stored(client, partial("p3", price=2.0)) == [3]
    with service() as client:
        assert product(client, "p3")["price"] == 2.0


def test_without_a_log_changes_are_refused_and_reading_goes_on(service, search, tmp_path):
    with service() as client:
        stored(client, partial("p3", price=0.5))
    with service(update_log="off") as client:
        for answer in (
            client.put("/v1/products", json={"products": [LAMP]}),
            client.delete("/v1/products/p3"),
            client.get("/v1/products/p3?version=true"),
        ):
            assert "update log is off" in assert_problem(answer, 503, "unavailable")["detail"]
        assert product(client, "p3")["price"] == 13.0  # as it was built
        found = search(client, q="red mug")
        assert (len(found["hits"]), found["degraded"]) == (20, [])
        assert client.get("/readyz").json()["degraded"] == []
        (tmp_path / "updates.sqlite").unlink()
    with service(update_log="off"):
        assert not list(tmp_path.glob("updates*"))


def test_a_log_that_cannot_be_reached_refuses_changes_and_no_search(service, search, tmp_path):
    with service(update_log=f"unix://{tmp_path}/nobody.sock") as client:
        found = search(client, q="red mug")
        assert (len(found["hits"]), found["degraded"]) == (20, ["updates"])
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["degraded"]) == (200, ["updates"])
        for answer in (
            client.put("/v1/products", json={"products": [LAMP]}),
            client.put("/v1/products", json={"products": [partial("p3", price=1.0)]}),
            client.put("/v1/products?wait=true", json={"products": [{"id": "p3", "delete": True}]}),
            client.delete("/v1/products/p3"),
            client.get("/v1/products/p3?version=true"),
        ):
            assert_problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        [faulty] = put(client, {"id": "lamp"})
        assert refused(faulty) == (422, ["products[0].title"])
        assert client.get("/v1/products/p3").status_code == 200
        assert metrics_of(client)["catalens_degraded_answers_total", (("part", "updates"),)] >= 1


def test_a_batch_that_takes_too_long_is_given_up_and_the_next_is_stored(service, shop, search):
    encoder = Counting(shop.encoder)
    with service(encoder=encoder, write_timeout_ms=300) as client:
        encoder.open.clear()
        answer = client.put("/v1/products", json={"products": [partial("p4", price=1.0), LAMP]})
        assert_problem(answer, 504, "deadline-exceeded")
        assert version(client, "p4") == 0  # all of a batch is worked out before any of it is stored
        assert stored(client, partial("p4", price=2.0)) == [1]
        encoder.open.set()
        assert stored(client, LAMP) == [1]
        assert ids(search(client, q="zebra lamp", limit=1)) == ["lamp"]


def test_closing_leaves_no_threads_behind(service):
    def threads():
        ours = ("updates", "write", "batch-")
        return {thread for thread in threading.enumerate() if thread.name.startswith(ours)}

    before = threads()
    with service() as client:
        stored(client, LAMP, partial("p3", price=1.0), wait=False)
        assert {thread.name.split("_")[0] for thread in threads() - before} >= {"updates", "write", "batch-store"}
    deadline = time.monotonic() + 5
    while threads() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads() - before


def test_two_services_on_one_file_see_each_other(service, search):
    with service() as one, service() as other:
        for number in range(6):
            here, there = (one, other) if number % 2 else (other, one)
            assert stored(here, partial("p3", price=float(number), if_version=number)) == [number + 1]
            assert version(there, "p3") == number + 1
            assert product(there, "p3")["price"] == number
            assert put(there, partial("p3", price=0.0, if_version=number))[0]["status"] == 409


def test_more_than_may_wait_is_refused_and_nothing_that_was_acknowledged_is_lost(service, shop, search):
    asked = []
    for n in range(1_000):
        asked += [changing(partial(f"p{n % 5}", price=float(n))), changing({"id": f"n{n}", "title": f"Zebra {n}"})]
    patience = {"request_timeout_ms": 300_000, "write_timeout_ms": 300_000}
    with service(max_waiting=8, **patience) as client:
        answers = at_once(client, asked)
        assert {answer.status_code for answer in answers} == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert_problem(answer, 503, "overloaded")
                assert int(answer.headers["retry-after"]) >= 1
        changed, new = dict.fromkeys(range(5), 0), set()
        for n in range(1_000):
            for answer, is_new in ((answers[2 * n], False), (answers[2 * n + 1], True)):
                if answer.status_code == 200 and (result := answer.json()["results"][0])["status"] == 200:
                    changed[n % 5] += not is_new
                    new |= {f"n{n}"} if is_new else set()
                elif answer.status_code == 200:
                    assert refused(result) == (503, ["products[0]"])
        assert sum(changed.values()) + len(new) >= 8  # a new one may find the places taken, once it is encoded
        assert [version(client, f"p{n}") for n in range(5)] == list(changed.values())
        got = everything(client, search, filter={"brand": {"exists": False}})
        assert got == new if len(new) <= 100 else got <= new
        assert all(client.get(f"/v1/products/{name}").status_code == 200 for name in new)
        assert client.get("/v1/products/n999").status_code == (200 if "n999" in new else 404)
        assert metrics_of(client)["catalens_index_products", ()] == 48 + len(new)
        stored(client, LAMP)


def test_metrics_tell_of_updates(live):
    before = metrics_of(live)
    stored(live, LAMP, partial("p3", price=1.0), partial("p4", title="Zebra"), {"id": "p5", "title": "New"})
    stored(live, {"id": "p6", "delete": True})
    live.delete("/v1/products/p7?wait=true")
    put(live, partial("nobody", price=1.0))
    time.sleep(1.1)  # it has looked at the log again
    after = metrics_of(live)

    def grown(name, **labels):
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert grown("catalens_updates_applied_total") == 6
    assert after["catalens_updates_rows", ()] == 3
    assert after["catalens_updates_behind", ()] == 0
    assert 1 <= grown("catalens_updates_apply_duration_seconds_count") <= 6
    assert grown("catalens_requests_total", method="PUT", route="/v1/products", status="200") == 3
    assert grown("catalens_requests_total", method="DELETE", route="/v1/products/{id}", status="200") == 1
    assert grown("catalens_batch_size_count", kind="store") == 3
    assert after["catalens_queue_depth", (("stage", "store"),)] == 0
    assert after["catalens_index_products", ()] == 48  # two new, two deleted
