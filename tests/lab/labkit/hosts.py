"""The lab's hosts and layouts."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit import settings

MAIL_PORTS = (22, 24, 25, 53, 110, 143, 465, 587, 993, 995, 4190)
ALL_IN_ONE_PORTS = (22, 25, 110, 143, 465, 587, 993, 995, 4190, 8891)
MOST_COPIES = 99


@dataclass(frozen=True)
class Host:
    """One host. `number` is its place in the subnet, `ports` what must listen before it counts as up."""

    name: str
    fqdn: str
    domain: str
    image: str
    number: int
    ports: tuple = ALL_IN_ONE_PORTS
    aliases: tuple = ()

    @property
    def address(self):
        return settings.address(self.number)

    @property
    def mac(self):
        """Fixed, or a recreated host is unreachable until the neighbour cache forgets the old one."""
        return "02:6d:" + ":".join(f"{int(part):02x}" for part in self.address.split("."))

    @property
    def container(self):
        return f"{settings.NAME}-{self.name}"

    @property
    def folder(self) -> Path:
        """What this host keeps when it is recreated: its keys and its certificate."""
        return settings.STATE / "hosts" / self.name

    def tokens(self):
        """What stands for @NAME@ in the files under images/."""
        return {
            "HOST": self.name,
            "FQDN": self.fqdn,
            "DOMAIN": self.domain,
            "IP": self.address,
            "GATEWAY": settings.address(1),
            "RESOLVER": OUTSIDE.address,
            "STORE": STORE.address,
        }


OUTSIDE = Host("outside", "mail.outside.test", "outside.test", "outside", 2, (*ALL_IN_ONE_PORTS, 53), aliases=("ns.outside.test",))
MAIL = Host("mail", "mail.single.test", "single.test", "single", 10)
EDGE = Host("edge", "mx.split.test", "split.test", "edge", 20, (22, 25, 8891))
STORE = Host("store", "store.split.test", "split.test", "store", 21, (22, 24, 110, 143, 465, 587, 993, 995, 4190),
             aliases=("imap.split.test", "smtp.split.test", "pop.split.test"))


def copy(number):
    """The fleet's host `number` (from 1): a host like `mail`, with a domain of its own."""
    name = f"mail{number:02d}"
    return Host(name, f"{name}.fleet.test", f"{name}.fleet.test", "single", 100 + number)


def fleet(copies):
    if not 1 <= copies <= MOST_COPIES:
        raise settings.LabError(f"--copies {copies}: give a number from 1 to {MOST_COPIES}")
    return [copy(number) for number in range(1, copies + 1)]


def layout(name, copies):
    """The hosts of a layout, the name server first."""
    mail_hosts = {"single": lambda: [MAIL], "split": lambda: [EDGE, STORE], "fleet": lambda: fleet(copies)}
    return [OUTSIDE, *mail_hosts[name]()]


def every_host():
    return [OUTSIDE, MAIL, EDGE, STORE, *fleet(MOST_COPIES)]


def by_name(name):
    for host in every_host():
        if host.name == name:
            return host
    raise settings.LabError(f"no host named {name}: give one of outside, mail, edge, store, mail01, mail02, ...")
