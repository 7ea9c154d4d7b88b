"""Where one lab instance lives: its name, its network, its folders. All from the environment, with defaults."""
from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
IMAGES = HERE / "images"
NAME = os.environ.get("LAB_NAME", "mailops")
SUBNET = os.environ.get("LAB_SUBNET", "10.89.77.0/24")
RELEASE = os.environ.get("LAB_RELEASE", "bookworm")
STATE = HERE / ".state" / NAME


class LabError(Exception):
    """Something the person at the keyboard can put right; the message is one line that says how."""


def check():
    """Raise LabError when the environment asks for something that cannot be."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", NAME) or NAME == "podman":
        raise LabError(f"LAB_NAME={NAME}: give a short name of small letters, digits and dashes, other than podman")
    network()


def network():
    """The instance's subnet as an IPv4Network; raises LabError unless it is a /24."""
    try:
        subnet = ipaddress.IPv4Network(SUBNET)
    except ValueError as error:
        raise LabError(f"LAB_SUBNET={SUBNET} is not a network: {error}; give one like 10.89.77.0/24") from None
    if subnet.prefixlen != 24:
        raise LabError(f"LAB_SUBNET={SUBNET} must be a /24, like 10.89.77.0/24")
    return subnet


def address(number):
    """The `number`th address of the subnet, as text."""
    return str(network()[number])
