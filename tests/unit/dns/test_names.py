from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.dns import names, ownership
from ansible_collections.mailops.outage.plugins.module_utils.dns.names import Server


@pytest.mark.parametrize(("text", "name"), [
    ("Example.TEST.", "example.test"), ("bücher.test", "xn--bcher-kva.test"), ("_dmarc.example.test", "_dmarc.example.test"),
    ("mail-1.example.test", "mail-1.example.test"),
])
def test_a_name_in_its_plain_form(text, name):
    assert names.plain(text) == name


@pytest.mark.parametrize("text", [
    "", ".", "a..b", "-a.test", "a b.test", "$(id).test", "a" * 64 + ".test", ".".join(["abcdefgh"] * 32), "a;b.test", "bad\nname.test",
])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ValueError):
        names.plain(text)


@pytest.mark.slow
@given(st.text(max_size=80))
def test_a_plain_name_is_safe_in_a_shell(text):
    try:
        name = names.plain(text)
    except (ValueError, UnicodeError):
        return
    assert shlex.quote(name) == name and not name.startswith("-")


@pytest.mark.parametrize(("text", "address", "port"), [
    ("192.0.2.53", "192.0.2.53", 53), ("192.0.2.53#5353", "192.0.2.53", 5353), ("2001:db8::53", "2001:db8::53", 53), ("fe80::1%eth0", "fe80::1%eth0", 53),
])
def test_a_server(text, address, port):
    assert names.server(text) == Server(address, port)
    assert str(names.server(text)) == text


@pytest.mark.parametrize("text", ["resolver.test", "192.0.2.53:53", "192.0.2.53#0", "192.0.2.53#x", ""])
def test_a_server_is_an_address(text):
    with pytest.raises(ValueError):
        names.server(text)


@pytest.mark.parametrize(("given_", "command"), [
    (("MX", "example.test", Server("192.0.2.53")), "dig +short MX example.test @192.0.2.53"),
    (("PTR", "192.0.2.25", Server("192.0.2.53", 5353)), "dig +short -x 192.0.2.25 @192.0.2.53 -p 5353"),
    (("A", "example.test", None), "dig +short A example.test"),
    (("A", "a;b", None), "dig +short A 'a;b'"),
])
def test_the_command_that_shows_it_again(given_, command):
    assert names.dig(*given_) == command


@pytest.mark.parametrize(("name", "inside"), [
    ("example.test", False), ("example.org", False), ("mail", True), ("corp.local", True), ("x.home.arpa", True), ("locality.org", False),
    ("localhost.localdomain", True),
])
def test_names_for_inside_use(name, inside):
    assert names.is_inside(name) is inside


PUBLIC, PRIVATE, OTHER_PUBLIC, OTHER_PRIVATE = "9.9.9.25", "10.0.0.25", "9.9.9.99", "10.0.0.99"


@pytest.mark.parametrize(("hosts", "resolved", "asked", "ours"), [
    ({"mail.a.test": [PUBLIC]}, {}, ("mx.a.test", [PUBLIC]), True),
    ({"mail.a.test": [PUBLIC]}, {}, ("mx.a.test", [OTHER_PUBLIC]), False),
    ({"mail.a.test": [PUBLIC]}, {"mail.a.test": [OTHER_PUBLIC]}, ("mail.a.test", [OTHER_PUBLIC]), False),
    # Behind address translation: by name, else unknown.
    ({"mail.a.test": [PRIVATE]}, {"mail.a.test": [PUBLIC]}, ("mail.a.test", [PUBLIC]), True),
    ({"mail.a.test": [PRIVATE]}, {"mail.a.test": [PUBLIC]}, ("mx.a.test", [PUBLIC]), True),
    ({"mail.a.test": [PRIVATE]}, {"mail.a.test": [PUBLIC]}, ("mx.b.test", [OTHER_PUBLIC]), None),
    ({"mail.a.test": [PRIVATE]}, {"mail.a.test": [OTHER_PRIVATE]}, ("mail.a.test", [OTHER_PRIVATE]), False),
    ({"mail.a.test": [PRIVATE], "b.a.test": [PUBLIC]}, {}, ("mx.a.test", [OTHER_PUBLIC]), None),
    ({"mail.a.test": []}, {}, ("mail.a.test", [PUBLIC]), True),
    ({"mail.a.test": [PUBLIC]}, {}, ("mx.a.test", []), None),
    ({}, {}, ("mx.a.test", [PUBLIC]), None),
])
def test_whose_an_address_is(hosts, resolved, asked, ours):
    assert ownership.Estate(hosts, resolved).owns(*asked) is ours


@pytest.mark.parametrize(("address", "known", "networks", "seen"), [
    (PUBLIC, [], [], True),
    (PRIVATE, [PUBLIC], [], False),
    (PRIVATE, [OTHER_PRIVATE], [], True),
    (PRIVATE, [OTHER_PRIVATE], ["192.0.2.0/24"], True),
    (PRIVATE, [OTHER_PRIVATE], ["9.9.9.0/24"], False),
    (PRIVATE, [], [], False),
])
def test_a_private_sender_counts_only_where_all_is_private(address, known, networks, seen):
    assert ownership.seen_outside(address, known, networks) is seen
