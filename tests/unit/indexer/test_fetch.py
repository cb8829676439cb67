"""What the guard refuses before any byte is sent; no socket is opened here."""

import ipaddress
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import dialling
from indexer.addresses import is_public, parse_host
from indexer.fetch import FetchError, FetchLimits, FetchPolicy, guarded_get

QUICK = FetchLimits(connect_ms=300, total_ms=600)


@pytest.fixture(autouse=True)
def dialled(monkeypatch):
    """Record the addresses the guard would dial; nothing is."""
    seen = []

    def create_connection(address, *_, **__):
        seen.append(address)
        raise OSError("the network is down")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return seen


def answering(*addresses):
    return FetchPolicy(resolver=lambda *_: addresses)


def reason_of(url, policy=None, limits=QUICK):
    with pytest.raises(FetchError) as caught:
        guarded_get(url, policy or answering("8.8.8.8"), limits)
    return caught.value.reason


# --- addresses, against the registries of special uses

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
]
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "224.0.1.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "100::1",
    "2001::1", "2001:0:7f00:1::1", "2001:db8::1", "2001:10::1", "2002:7f00:1::1", "2002:c0a8:101::1",
    "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text):
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_other_addresses(text):
    assert not is_public(ipaddress.ip_address(text))


def test_teredo_is_judged_by_both_addresses_inside():
    server, client = int(ipaddress.IPv4Address("65.54.227.120")), int(ipaddress.IPv4Address("192.168.0.1"))
    address = ipaddress.IPv6Address((0x20010000 << 96) | (server << 64) | (client ^ 0xFFFFFFFF))
    assert address.teredo == (ipaddress.IPv4Address("65.54.227.120"), ipaddress.IPv4Address("192.168.0.1"))
    assert not is_public(address)


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_makes_it_public(address):
    number = int(address)
    for wrapped in ((0xFFFF << 32) | number, (0x64FF9B << 96) | number, (0x2002 << 112) | (number << 80), number):
        if not is_public(address):
            assert not is_public(ipaddress.IPv6Address(wrapped))


@settings(deadline=None)
@given(st.ip_addresses())
def test_nothing_the_standard_library_calls_special_is_public(address):
    if address.is_loopback or address.is_private or address.is_link_local or address.is_multicast:
        mapped = address.version == 6 and (address.ipv4_mapped or address in ipaddress.ip_network("64:ff9b::/96"))
        assert mapped or not is_public(address)


# --- hosts


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example.", "shop.example."),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a_b.example", "a_b.example"),
        ("1.2.3.4", ipaddress.IPv4Address("1.2.3.4")),
        ("::1", ipaddress.IPv6Address("::1")),
        ("4chan.example", "4chan.example"),
        ("0x7f", None),
        ("0x", None),
        ("2130706433", None),
        ("127.1", None),
        ("0177.0.0.1", None),
        ("0x7f.0.0.1", None),
        ("1.2.3.4.", None),
        ("1.2.3", None),
        ("256.1.1.1", None),
        ("a.b.1", None),
        ("fe80::1%eth0", None),
        ("::1::", None),
        ("", None),
        (".", None),
        ("a..b", None),
        ("-a.example", None),
        ("a b", None),
        ("a" * 64, None),
        ("a." * 127 + "com", None),
        ("exa%6dple.com", None),
    ],
)
def test_parse_host(host, expected):
    if expected is None:
        with pytest.raises(ValueError):  # noqa: PT011 - each parser words it in its own way
            parse_host(host)
    else:
        assert parse_host(host) == expected


# --- URLs


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "forbidden_scheme"),
        ("ftp://shop.example/a.jpg", "forbidden_scheme"),
        ("gopher://shop.example/", "forbidden_scheme"),
        ("data:image/png;base64,AAAA", "forbidden_scheme"),
        ("//shop.example/a.jpg", "forbidden_scheme"),
        ("shop.example/a.jpg", "forbidden_scheme"),
        ("", "forbidden_scheme"),
        ("http://", "bad_url"),
        ("http:///a.jpg", "bad_url"),
        ("http://user@shop.example/", "bad_url"),
        ("http://user:secret@shop.example/", "bad_url"),
        ("http://shop.example\\@127.0.0.1/", "bad_url"),
        ("http://shop.example/a b.jpg", "bad_url"),
        ("http://shop.example/\r\nX: y", "bad_url"),
        ("http://shop.example/\0", "bad_url"),
        ("http://shop.example:99999/", "forbidden_port"),
        ("http://shop.example:x/", "bad_url"),
        ("http://[::1/", "bad_url"),
        ("http://[fe80::1%25eth0]/", "bad_url"),
        ("http://2130706433/", "bad_url"),
        ("http://0x7f.0.0.1/", "bad_url"),
        ("http://0177.0.0.1/", "bad_url"),
        ("http://127.1/", "bad_url"),
        ("http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "bad_url"),
        ("http://%31%32%37.0.0.1/", "bad_url"),
        ("http://shop.example/" + "a" * 5_000, "bad_url"),
        ("http://shop.example:22/", "forbidden_port"),
        ("http://shop.example:0/", "forbidden_port"),
        ("https://shop.example:6379/", "forbidden_port"),
    ],
)
def test_urls_refused_by_their_spelling(dialled, url, reason):
    assert reason_of(url) == reason
    assert dialled == []


@pytest.mark.parametrize(
    "host", [f"[{text}]" if ":" in text else text for text in NOT_PUBLIC if "." not in text or text[0].isdigit()]
)
def test_addresses_in_urls_that_are_not_public(dialled, host):
    assert reason_of(f"http://{host}/a.jpg") in {"forbidden_address", "bad_url"}
    assert dialled == []


@pytest.mark.parametrize("text", [*NOT_PUBLIC, "fe80::1%eth0", "not an address"])
def test_names_that_resolve_to_what_is_not_public(dialled, text):
    assert reason_of("https://shop.example/a.jpg", answering(text)) == "forbidden_address"
    assert dialled == []


def test_one_private_address_among_public_ones_refuses_them_all(dialled):
    assert reason_of("http://shop.example/", answering("8.8.8.8", "10.0.0.1", "1.1.1.1")) == "forbidden_address"
    assert dialled == []


def test_the_resolved_address_is_dialled_and_nothing_is_resolved_twice(dialled):
    asked = []

    def rebinding(host, port):
        asked.append((host, port))
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    assert reason_of("http://shop.example:8080/", FetchPolicy(resolver=rebinding)) == "connection"
    assert asked == [("shop.example", 8080)]
    assert dialled == [("8.8.8.8", 8080)]


def test_every_address_is_tried_up_to_a_few(dialled):
    addresses = [f"8.8.8.{n}" for n in range(10)]
    assert reason_of("https://shop.example/", answering(*addresses)) == "connection"
    assert dialled == [(address, 443) for address in addresses[:4]]


def test_international_names_are_resolved_in_ascii(dialled):
    asked = []

    def resolver(host, port):
        asked.append(host)
        return ["8.8.8.8"]

    reason_of("http://b\u00fccher.example/", FetchPolicy(resolver=resolver))
    assert asked == ["xn--bcher-kva.example"]


def test_addresses_in_urls_are_not_resolved(dialled):
    def resolver(host, port):
        raise AssertionError

    assert reason_of("http://[2606:4700:4700::1111]/", FetchPolicy(resolver=resolver)) == "connection"
    assert dialled == [("2606:4700:4700::1111", 80)]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), OSError("down"), UnicodeError("label too long")])
def test_names_that_do_not_resolve(error):
    def resolver(host, port):
        raise error

    assert reason_of("http://shop.example/", FetchPolicy(resolver=resolver)) == "unresolved"


def test_a_name_without_addresses():
    assert reason_of("http://shop.example/", answering()) == "unresolved"


def test_refusals_do_not_tell_private_names_from_unknown_ones():
    messages = set()
    for policy in (answering("10.0.0.1"), answering()):
        with pytest.raises(FetchError) as caught:
            guarded_get("http://shop.example/", policy, QUICK)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert "10.0.0.1" not in messages.pop()


def test_a_resolver_that_hangs_is_left_at_the_deadline():
    released = threading.Event()

    def resolver(host, port):
        released.wait(10)
        return ["8.8.8.8"]

    started = time.monotonic()
    assert reason_of("http://shop.example/", FetchPolicy(resolver=resolver)) == "timeout"
    assert time.monotonic() - started < 3
    released.set()


def test_a_fault_in_a_resolver_reaches_the_caller():
    def resolver(host, port):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded_get("http://shop.example/", FetchPolicy(resolver=resolver), QUICK)


def test_no_time_at_all():
    assert reason_of("http://shop.example/", limits=FetchLimits(total_ms=0)) == "timeout"


def test_admitted_hosts_and_networks(dialled):
    private = ipaddress.ip_network("10.1.0.0/16")
    by_host = FetchPolicy(admitted_hosts=frozenset({"cdn.shop.example"}), resolver=lambda *_: ["10.1.2.3"])
    by_network = FetchPolicy(admitted_networks=(private,), resolver=lambda *_: ["10.1.2.3", "8.8.8.8"])
    assert reason_of("http://CDN.shop.example./a", by_host) == "connection"
    assert reason_of("http://other.example/a", by_network) == "connection"
    assert dialled == [("10.1.2.3", 80), ("10.1.2.3", 80), ("8.8.8.8", 80)]
    assert reason_of("http://other.example/a", by_host) == "forbidden_address"
    elsewhere = FetchPolicy(admitted_networks=(private,), resolver=lambda *_: ["10.2.0.1"])
    assert reason_of("http://other.example/a", elsewhere) == "forbidden_address"
    v6 = FetchPolicy(admitted_networks=(private,), resolver=lambda *_: ["fd00::1"])
    assert reason_of("http://other.example/a", v6) == "forbidden_address"


def test_the_systems_resolver_gives_addresses_once_each():
    assert "127.0.0.1" in dialling.resolve("127.0.0.1", 80)
    found = dialling.resolve("localhost", 80)
    assert len(found) == len(set(found))
    assert reason_of("http://localhost/", FetchPolicy()) == "forbidden_address"


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_refused_cleanly(text):
    with pytest.raises(FetchError):
        guarded_get(text, FetchPolicy(resolver=lambda *_: []), QUICK)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_host_is_refused_cleanly(text):
    with pytest.raises(FetchError):
        guarded_get(f"http://{text}/", FetchPolicy(resolver=lambda *_: []), QUICK)
