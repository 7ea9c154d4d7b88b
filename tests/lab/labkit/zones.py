"""What the lab's name server serves: a zone a domain, the reverse zone, and a root zone that ends the world at the lab."""
from __future__ import annotations

from labkit import keys, settings
from labkit.hosts import EDGE, MAIL, MOST_COPIES, OUTSIDE, STORE, fleet

HEAD = """$TTL 60
@ IN SOA ns.outside.test. hostmaster.outside.test. 1 3600 600 86400 60
@ IN NS ns.outside.test.
"""
SERVICES = (("_submission", 587), ("_submissions", 465), ("_imap", 143), ("_imaps", 993), ("_pop3", 110), ("_pop3s", 995), ("_sieve", 4190))


def quoted(text):
    """A TXT record's text in strings of at most 255 octets (RFC 1035, 3.3)."""
    return " ".join(f'"{text[start:start + 250]}"' for start in range(0, len(text), 250))


def mail_records(domain, exchanger, client_names, dkim):
    """A domain's records for mail: MX, SPF, DKIM, DMARC, and where clients go (RFC 6186). Names are absolute, with their last dot."""
    submission, imap, pop3 = client_names
    target = {"_imap": imap, "_imaps": imap, "_sieve": imap, "_pop3": pop3, "_pop3s": pop3}
    return [
        f"{domain}. IN MX 10 {exchanger}.",
        f'{domain}. IN TXT "v=spf1 mx -all"',
        f"lab1._domainkey.{domain}. IN TXT {quoted(dkim)}",
        f'_dmarc.{domain}. IN TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}"',
        *(f"{service}._tcp.{domain}. IN SRV 0 1 {port} {target.get(service, submission)}." for service, port in SERVICES),
    ]


def addresses(hosts):
    return [f"{name}. IN A {host.address}" for host in hosts for name in (host.fqdn, *host.aliases)]


def zones():
    """{zone: text of its file}."""
    copies = fleet(MOST_COPIES)
    fleet_key = keys.dkim_record("fleet.test")
    records = {
        "outside.test": mail_records("outside.test", OUTSIDE.fqdn, [OUTSIDE.fqdn] * 3, keys.dkim_record("outside.test")) + addresses([OUTSIDE])
        + [f"gateway.outside.test. IN A {settings.address(1)}"],
        "single.test": mail_records("single.test", MAIL.fqdn, [MAIL.fqdn] * 3, keys.dkim_record("single.test")) + addresses([MAIL]),
        "split.test": mail_records("split.test", EDGE.fqdn, ["smtp.split.test", "imap.split.test", "pop.split.test"], keys.dkim_record("split.test"))
        + addresses([EDGE, STORE]),
        "fleet.test": addresses(copies) + [line for host in copies for line in mail_records(host.domain, host.fqdn, [host.fqdn] * 3, fleet_key)],
        reverse_zone(): [f"{settings.address(1).split('.')[3]} IN PTR gateway.outside.test."]
        + [f"{host.number} IN PTR {host.fqdn}." for host in (OUTSIDE, MAIL, EDGE, STORE, *copies)],
        ".": [f"ns.outside.test. IN A {OUTSIDE.address}"],
    }
    return {zone: HEAD + "".join(f"{line}\n" for line in lines) for zone, lines in records.items()}


def reverse_zone():
    first, second, third, _last = settings.address(0).split(".")
    return f"{third}.{second}.{first}.in-addr.arpa"


def server_files():
    """{path: text} for the name server: its list of zones, and the zones."""
    found = zones()
    names = {zone: "root" if zone == "." else zone for zone in found}
    listed = "".join(f'zone "{zone}" {{ type primary; file "/etc/bind/zones/{names[zone]}"; }};\n' for zone in found)
    return {"/etc/bind/named.conf.local": listed, **{f"/etc/bind/zones/{names[zone]}": text for zone, text in found.items()}}
