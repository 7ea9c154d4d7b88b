"""Turn loss of mail into delay for a while: soft_bounce, or deferring a transport (postconf(5)). A timer on the host takes it back at its expiry.

Each setting bears a remark in main.cf that says that it is ours, until when, and what was there before (``_postconf.contained``). So it can be taken back
when the timer is lost, and told from an administrator's setting; the timer stays until it has done its work.
"""
from __future__ import annotations

import os
import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.host._postconf import NOT_SET, contained
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
    now, ours, armed = values(text), contained(text), os.path.lexists(timer)
    # Whether an administrator's, or ours and with its end.
    if all(now.get(name) == value and (armed or name not in ours) for name, value in wanted.items()):
        return
    if not os.path.isdir("/run/systemd/system"):
        raise Refused("Without systemd no timer can take it back; set it by hand, and note when it must go.")
    before = {**{name: now.get(name) for name in wanted}, **{name: former for name, (_until, former) in ours.items()}}
    until = time.time() + options["expires"]
    for name, content in unit_texts(before, options["expires"], until, main).items():
        yield Write(unit + name, content.encode(), "takes the containment back by itself", undo=f"rm {unit}{name}", uid=0, gid=0, mode=0o644)
    yield Command(("systemctl", "daemon-reload"), "to know the timer")
    # Before the change, so that it cannot stay without its end.
    name = os.path.basename(timer)
    yield Command(("systemctl", "enable", "--now", name), f"it ends after {options['expires']} s", undo=f"systemctl disable --now {name}")
    if armed:
        yield Command(("systemctl", "restart", name), "the time begins anew")
    wanted = {**{name: now[name] for name in ours if name in now}, **wanted}
    yield Write(main, with_values(text, wanted, remarks(before, until)).encode("utf-8", "surrogateescape"), "what would be lost waits instead",
                undo="; ".join(_undo(name, former) for name, former in before.items()))
    # One that does not run reads it when it starts.
    yield Command(("postfix", "reload"), "to read it", ok=(0, 1))


def _taken_back(text: str, main: str, timer: str, service: str):
    content = with_values(text, {name: former for name, (_until, former) in contained(text).items()})
    there = [path for path in (timer, service) if os.path.lexists(path)]
    if content != text:
        yield Write(main, content.encode("utf-8", "surrogateescape"), "the containment is over")
    if content != text or there:
        yield Command(("postfix", "reload"), "to read it", ok=(0, 1))
    if timer in there:
        yield Command(("systemctl", "disable", "--now", os.path.basename(timer)), "it is taken back already")
    for path in there:
        yield Remove(path, "it is not needed any more")
    if there:
        yield Command(("systemctl", "daemon-reload"), "to forget the timer")


def values(text: str) -> dict:
    """{name: value} of main.cf, the last of several."""
    return {one.names[0]: " ".join(one.text.partition("=")[2].split()) for one in config_text.statements(text, "main") if one.names}


def with_values(text: str, wanted: dict, remarked: str = "") -> str:
    """main.cf with these settings, each set once where it was first, and with our remarks on them at its end in place of all former ones; None takes a
    setting out."""
    kept, done = [], set()
    for one in config_text.statements(text, "main"):
        name = one.names[0] if one.names else ""
        if name not in wanted:
            kept += [] if not name and contained(one.text) else [one.text]
        elif name not in done and wanted[name] is not None:
            kept.append(f"{name} = {wanted[name]}\n")
        done.add(name)
    whole = "".join(kept)
    added = remarked + "".join(f"{name} = {value}\n" for name, value in wanted.items() if name not in done and value is not None)
    return whole + ("\n" if added and whole and not whole.endswith("\n") else "") + added


def remarks(before: dict, until: float) -> str:
    """The remarks on settings, as ``_postconf.contained`` reads them; ``before`` is {name: former value, None where there was none}."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))
    return "".join(f"# mailops-contain: {name} until {stamp}, before: {NOT_SET if former is None else former}\n" for name, former in before.items())


def unit_texts(before: dict, expires: int, until: float, main: str = MAIN) -> dict:
    """{".service": text, ".timer": text} that put the values ``before`` back after ``expires`` seconds or at ``until`` (epoch), whichever is first.

    A reboot begins the seconds anew, and a clock may be wrong: so there are two ends (systemd.timer(5)). What fails is tried again each minute, and only what
    was done takes the timer away.
    """
    undo = "".join(f"ExecStart=/usr/sbin/{_undo(name, former)}\n" for name, former in before.items())
    # Postfix that does not run reads it when it starts.
    reload = "ExecStart=/bin/sh -c '! /usr/sbin/postfix status 2>/dev/null || exec /usr/sbin/postfix reload'\n"
    return {
        ".service": "[Unit]\nDescription=Take back the containment of a mail outage\n\n[Service]\nType=oneshot\nTimeoutStartSec=120\n"
                    f"{undo}ExecStart=/bin/sed -i --follow-symlinks \"/^# mailops-contain: /d\" {main}\n{reload}"
                    "ExecStartPost=/bin/systemctl disable --now mailops-contain.timer\nExecStartPost=/bin/rm -f "
                    f"{UNIT}.timer {UNIT}.service\n",
        ".timer": "[Unit]\nDescription=End of the containment of a mail outage\n\n[Timer]\n"
                  f"OnActiveSec={expires}\nOnCalendar={time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(until))} UTC\nPersistent=true\n"
                  "OnUnitInactiveSec=60\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n",
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
