"""When something was, so that its age is known whatever is done to the clock meanwhile.

Seconds since the boot are counted by CLOCK_BOOTTIME (clock_gettime(2)), which nobody can set and which goes on while the machine sleeps.
"""
from __future__ import annotations

import time

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def uptime() -> float:
    """Seconds since the boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def present() -> dict:
    """``{epoch, boot, uptime}``: the wall clock in seconds, the boot's own id, and the seconds since it."""
    try:
        with open(_BOOT_ID, encoding="ascii") as stream:
            boot = stream.read().strip()
    except OSError:
        boot = ""
    return {"epoch": time.time(), "boot": boot, "uptime": uptime()}


def age(then: dict, now: dict) -> float:
    """The seconds between two moments: by the uptime within one boot, else by the wall clock, and then below 0 when that went back."""
    if then.get("boot") and then["boot"] == now["boot"]:
        return now["uptime"] - float(then["uptime"])
    return now["epoch"] - float(then["epoch"])
