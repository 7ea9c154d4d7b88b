"""Where one lab instance lives: its name, its network, its folders. All from the environment, with defaults."""
from __future__ import annotations

import ipaddress
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
IMAGES = HERE / "images"
NAME = os.environ.get("LAB_NAME", "mailops")
SUBNET = os.environ.get("LAB_SUBNET", "10.89.77.0/24")
RELEASE = os.environ.get("LAB_RELEASE", "bookworm")
STATE = HERE / ".state" / NAME


class LabError(Exception):
    """Something the person at the keyboard can put right; the message is one line that says how."""


def network():
    """The instance's subnet as an ip_network; raises LabError unless it is an IPv4 /24."""
    try:
        subnet = ipaddress.IPv4Network(SUBNET)
    except ValueError as error:
        raise LabError(f"LAB_SUBNET={SUBNET} is not a network: {error}; give one like 10.89.77.0/24")
    if subnet.prefixlen != 24:
        raise LabError(f"LAB_SUBNET={SUBNET} must be a /24, like 10.89.77.0/24")
    return subnet


def address(number):
    """The `number`th address of the subnet, as text."""
    return str(network()[number])
