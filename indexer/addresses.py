"""Which hosts a URL may name and which addresses may be dialled, for `indexer.fetch`."""

import ipaddress
import re
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
_MOST_HOST = 253
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)

_UNICAST = ipaddress.IPv6Network("2000::/3")  # all the IPv6 space there is beyond special uses
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")

# Special uses of the IANA registries that `is_global` of some supported Python versions lets pass.
_NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)


def parse_host(host: str) -> str | Address:
    """Return the address that `host` spells, or the name it is, in lower case.

    Addresses must be written the usual way: forms that only some parsers read (`2130706433`, `0x7f.1`,
    `0177.0.0.1`, `127.1`) and zones are refused.

    Args:
        host: of a URL, in ASCII, IPv6 without brackets.

    Raises:
        ValueError: it is neither a plain address nor a host name.
    """
    lowered = host.lower()
    if ":" in lowered:
        address = ipaddress.IPv6Address(lowered)
        if address.scope_id is not None:
            msg = "an address with a zone"
            raise ValueError(msg)
        return address
    if len(lowered) > _MOST_HOST or not _HOST.fullmatch(lowered):
        msg = "not a host name"
        raise ValueError(msg)
    if _NUMBER.fullmatch(lowered.rstrip(".").rpartition(".")[2]):
        return ipaddress.IPv4Address(lowered)
    return lowered


def is_public(address: Address) -> bool:
    """Tell whether `address`, and any IPv4 address a tunnel would carry it to, is global unicast."""
    return all(_is_public(part) for part in _unwrapped(address))


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _unwrapped(address: Address) -> Iterator[Address]:
    """Yield what to judge: the IPv4 address inside mapped and NAT64 ones, and those inside 6to4 and Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64 or address in _COMPATIBLE:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    else:
        yield address
