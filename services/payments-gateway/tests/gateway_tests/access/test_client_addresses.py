from ipaddress import ip_network

import pytest

from payments_gateway.access.client_addresses import UNKNOWN, ClientAddresses

PROXIES = [ip_network(network) for network in ("10.0.0.0/8", "192.0.2.7/32", "2001:db8:ff::/48")]
BEHIND_PROXIES = ClientAddresses(PROXIES)


def test_without_trusted_proxies_the_connection_counts() -> None:
    """Anybody can write the header."""
    assert ClientAddresses([]).client_of("198.51.100.1", ["203.0.113.9"]) == "198.51.100.1"


HEADERS = {
    "peer not trusted": ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
    "one proxy": ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
    "the client wrote one itself": ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
    "on two lines": ("10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
    "two proxies": ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
    "three proxies": ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 192.0.2.7, 10.9.9.9"], "203.0.113.9"),
    "a client that names a proxy": ("10.0.0.1", ["10.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
    "no header": ("10.0.0.1", [], "10.0.0.1"),
    "empty header": ("10.0.0.1", [""], "10.0.0.1"),
    "only proxies": ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
    "written as IPv6": ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
    "with a port": ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
    "IPv6": ("10.0.0.1", ["2001:db8::5"], "2001:db8::/64"),
    "IPv6 in brackets": ("10.0.0.1", ["[2001:db8::5]"], "2001:db8::/64"),
    "IPv6 with a port": ("10.0.0.1", ["[2001:db8::5]:443"], "2001:db8::/64"),
    "proxy with IPv6": ("2001:db8:ff::1", ["203.0.113.9"], "203.0.113.9"),
    "white space": ("10.0.0.1", ["  203.0.113.9\t"], "203.0.113.9"),
}
"""Peer, lines of X-Forwarded-For, client."""


@pytest.mark.parametrize(("peer", "lines", "client"), HEADERS.values(), ids=HEADERS)
def test_the_header_is_read_from_its_end_past_trusted_proxies(peer: str, lines: list[str], client: str) -> None:
    """The first address that is no trusted proxy is the client; entries left of it may be forged."""
    assert BEHIND_PROXIES.client_of(peer, lines) == client


@pytest.mark.parametrize(
    "malformed",
    [
        "unknown",
        "_hidden",
        "",
        "999.1.1.1",
        "1.1.1",
        "0x7f.0.0.1",
        "010.0.0.1",
        "[::1",
        "[::1]x",
        "::1]",
        "a" * 100_000,
    ],
)
def test_a_malformed_entry_ends_the_reading(malformed: str) -> None:
    """The nearest address that is known counts."""
    assert BEHIND_PROXIES.client_of("10.0.0.1", [f"203.0.113.9, {malformed}, 10.0.0.2"]) == "10.0.0.2"


def test_the_number_of_hops_is_bounded() -> None:
    """A very long header costs little."""
    client = BEHIND_PROXIES.client_of("10.0.0.1", [", ".join(["203.0.113.9", *["10.0.0.2"] * 100_000])])

    assert client == "10.0.0.2"


@pytest.mark.parametrize("peer", [None, "", "unix:/run/gateway.sock", "testclient"])
def test_clients_without_an_address_share_one(peer: str | None) -> None:
    """They are limited, too."""
    assert BEHIND_PROXIES.client_of(peer, ["203.0.113.9"]) == UNKNOWN


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:203.0.113.9", "203.0.113.9", True),
        ("::ffff:203.0.113.9", "::ffff:203.0.113.10", False),
        ("203.0.113.9", "203.0.113.10", False),
    ],
)
def test_an_ipv6_client_is_its_64(one: str, other: str, *, same: bool) -> None:
    """Each home or server has a /64; IPv4 addresses are counted one by one."""
    addresses = ClientAddresses([])

    assert (addresses.client_of(one, []) == addresses.client_of(other, [])) is same
