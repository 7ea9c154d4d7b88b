"""Turn loss of mail into delay for a while: soft_bounce, or deferring a transport (postconf(5)). A timer on the host takes it back at its expiry."""
from __future__ import annotations

import os
import re

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import config_text
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused, Remove, Write

OPTIONS = {
    "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
    "soft_bounce": {"type": "bool", "default": False},
    "defer_transports": {"type": "list", "elements": "str", "default": []},
    "expires": {"type": "int", "default": 14400},
}
MAIN = "/etc/postfix/main.cf"
UNIT = "/etc/systemd/system/mailops-contain"
_VALUE = re.compile(r"[A-Za-z0-9_.-]+")


def steps(_context, options, main: str = MAIN, unit: str = UNIT):
    """See the role. Refused where Postfix is not there to be told, and where a value could mean something else."""
    text = _text(main)
    if text is None:
        raise Refused("There is no Postfix here that could be told to wait; for Exim, stop its queue runner or its port by hand.")
    timer, service = unit + ".timer", unit + ".service"
    if options["state"] == "absent":
        yield from _taken_back(text, main, timer, service)
        return
    wanted = {"soft_bounce": "yes"} if options["soft_bounce"] else {}
    if options["defer_transports"]:
        wanted["defer_transports"] = ", ".join(options["defer_transports"])
    if not wanted:
        raise Refused("Name what to do: contain_soft_bounce or contain_defer_transports.")
    if options["expires"] < 60 or any(not _VALUE.fullmatch(name) for name in options["defer_transports"]):
        raise Refused("A containment needs an expiry of at least 60 seconds, and transports by their plain names.")
    now = values(text)
    if all(now.get(name) == value for name, value in wanted.items()):
        return
    if not os.path.isdir("/run/systemd/system"):
        raise Refused("Without systemd no timer can take it back; set it by hand, and note when it must go.")
    for name, content in unit_texts(wanted, now, options["expires"]).items():
        yield Write(unit + name, content.encode(), "takes the containment back by itself", undo=f"rm {unit}{name}", uid=0, gid=0, mode=0o644)
    yield Command(("systemctl", "daemon-reload"), "to know the timer")
    # Before the change, so that it cannot stay without its end.
    yield Command(("systemctl", "enable", "--now", os.path.basename(timer)), f"it ends after {options['expires']} s",
                  undo=f"systemctl disable --now {os.path.basename(timer)}")
    yield Write(main, with_values(text, wanted).encode("utf-8", "surrogateescape"), "what would be lost waits instead",
                undo="; ".join(_undo(name, now.get(name)) for name in wanted))
    yield Command(("postfix", "reload"), "to read it")


def _taken_back(text: str, main: str, timer: str, service: str):
    undo = re.findall(r"^ExecStart=/usr/sbin/postconf (-X|-e) \"?(\w+)(?: = ([^\"\n]*))?", _text(service) or "", re.M)
    then = {name: value if how == "-e" else None for how, name, value in undo}
    content = with_values(text, then) if then else text
    if content != text:
        yield Write(main, content.encode("utf-8", "surrogateescape"), "the containment is over")
        yield Command(("postfix", "reload"), "to read it")
    if os.path.lexists(timer):
        yield Command(("systemctl", "disable", "--now", os.path.basename(timer)), "it is taken back already")
    there = [path for path in (timer, service) if os.path.lexists(path)]
    for path in there:
        yield Remove(path, "it is not needed any more")
    if there:
        yield Command(("systemctl", "daemon-reload"), "to forget the timer")


def values(text: str) -> dict:
    """{name: value} of main.cf, the last of several."""
    return {one.names[0]: " ".join(one.text.partition("=")[2].split()) for one in config_text.statements(text, "main") if one.names}


def with_values(text: str, wanted: dict) -> str:
    """main.cf with these settings, each set once where it was first; None takes one out."""
    kept, done = [], set()
    for one in config_text.statements(text, "main"):
        name = one.names[0] if one.names else ""
        if name not in wanted:
            kept.append(one.text)
        elif name not in done and wanted[name] is not None:
            kept.append(f"{name} = {wanted[name]}\n")
        done.add(name)
    whole = "".join(kept)
    added = "".join(f"{name} = {value}\n" for name, value in wanted.items() if name not in done and value is not None)
    return whole + ("\n" if added and whole and not whole.endswith("\n") else "") + added


def unit_texts(wanted: dict, before: dict, expires: int) -> dict:
    """{".service": text, ".timer": text} that put the former values back after ``expires`` seconds; kept over a reboot, which begins the time anew."""
    undo = "".join(f"ExecStart=/usr/sbin/{_undo(name, before.get(name))}\n" for name in wanted)
    return {
        ".service": f"[Unit]\nDescription=Take back the containment of a mail outage\n\n[Service]\nType=oneshot\n{undo}"
                    "ExecStart=-/usr/sbin/postfix reload\nExecStartPost=/bin/systemctl disable mailops-contain.timer\n",
        ".timer": f"[Unit]\nDescription=End of the containment of a mail outage\n\n[Timer]\nOnActiveSec={expires}\nAccuracySec=1s\n\n"
                  "[Install]\nWantedBy=timers.target\n",
    }


def _undo(name: str, before: str | None) -> str:
    # A value that systemd would read in its own way is put back as the default is.
    if before is None or not re.fullmatch(r"[A-Za-z0-9_., -]*", before):
        return f"postconf -X {name}"
    return f'postconf -e "{name} = {before}"'


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return None
