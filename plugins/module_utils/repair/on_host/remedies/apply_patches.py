"""Patches of the mail software in an outage: finish, reinstall, install what is missing, security updates, a step back (apt-get(8), dpkg(1), dnf(8)).

Nothing is removed, no configuration file replaced, and nothing upgraded that was not named: each transaction is simulated and read first.
"""
from __future__ import annotations

import dataclasses
import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import packages, postfix
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import _apt, _dnf
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies._transaction import Wanted, shortage
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Refused
from ansible_collections.mailops.outage.plugins.module_utils.text import clean, clean_lines

# How long an installation may take, in seconds, beyond what a repair has.
MOST_SECONDS = 1800
OPTIONS = {
    "action": {"type": "str", "default": "auto", "choices": ["auto", "finish", "reinstall", "install", "security", "step_back"]},
    "packages": {"type": "list", "elements": "str", "default": []},
}
# Types of lookup tables that a package of their own brings (DATABASE_README), named alike at Debian and at Red Hat.
_TYPES = ("cdb", "ldap", "lmdb", "mongodb", "mysql", "pcre", "pgsql", "sqlite")
_LIBRARIES_SECONDS = 4.0
_MOST_TOLD = 8


def steps(context, options):
    """``action``: what to do; ``auto`` finishes, reinstalls and installs what is missing, and changes no version. ``packages``: only these."""
    known = packages.collect(context)
    manager = {"dpkg": _apt, "rpm": _dnf}.get(known["manager"])
    if manager is None or context.run("apt-get" if manager is _apt else "dnf", "--version").missing:
        raise Refused("This host has neither apt-get nor dnf; its packages are not looked after here.")
    host = _Host(context, manager, known, options["packages"])
    host.check_names(options["action"])
    actions = {"auto": _auto, "finish": _finish, "reinstall": _reinstall, "install": _install, "security": _security, "step_back": _step_back}
    yield from actions[options["action"]](host)


@dataclasses.dataclass
class _Host:
    """One host with its package manager (_apt or _dnf), what host/packages.py found, and the packages that were named."""

    context: object
    manager: object
    known: dict
    names: list
    # In check mode what is to be finished stays unfinished.
    finishing: bool = False

    def chosen(self, found) -> list:
        return [name for name in found if not self.names or name in self.names]

    def again(self):
        """The same host, looked at anew."""
        context = dataclasses.replace(self.context, not_visible=[])
        return dataclasses.replace(self, context=context, known=packages.collect(context))

    def check_names(self, action: str) -> None:
        """Raises Refused for a package that is not mail's."""
        for name in self.names:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", name):
                raise Refused(f"{clean(name, 60)} is no name of a package.")
            if action == "step_back" and not packages.is_mail_software(name):
                raise Refused(f"{name} is no mail software; only mail software is taken back to a former version.")
            if not packages.concerns_mail(name) and not (action in ("auto", "reinstall") and name in self.manager.libraries(self.context)):
                raise Refused(f"{name} is no package of the mail software, which is all that is touched here.")
        missing = [name for name in self.names if name not in self.manager.installed(self.context)]
        if missing and action not in ("auto", "install"):
            raise Refused(f"{', '.join(missing)} is not installed.")


def _auto(host):
    if (yield from _finish(host)):
        host = host.again()
    yield from _reinstall(host)
    yield from _install_types(host)


def _finish(host):
    """What an interrupted run left unconfigured. It cannot be done by halves, so that other software's packages are finished with it.

    Returns whether it was really done.
    """
    manager, context = host.manager, host.context
    due = manager.interrupted(context)
    if not due:
        return False
    halves = [name for name in manager.damaged(context, host.known, time.monotonic()) if not packages.concerns_mail(name)]
    if halves:
        raise Refused(f"{', '.join(halves)} is half-installed and no mail software: a person reinstalls it before the rest can be finished.")
    _refuse_busy(host)
    _refuse_full({"/var/lib/dpkg": 0, "/usr": 0, "/etc": 0})
    host.finishing = True
    ran = yield manager.finish("an interrupted run left " + _listed(f"{name} {state}" for name, state in due.items()))
    return bool(ran.seconds)


def _reinstall(host):
    """The same version again of packages with missing or changed files."""
    found = host.manager.damaged(host.context, host.known, time.monotonic() + _LIBRARIES_SECONDS)
    damaged = {name: found[name] for name in host.chosen(found) if packages.concerns_mail(name) or name in host.manager.libraries(host.context)}
    if not damaged:
        lost = [entry["path"] for entry in host.known["broken_files"] if entry["conffile"] and (not host.names or entry["package"] in host.names)]
        if lost:
            raise Refused(f"{_listed(lost)} is configuration, which a reinstallation leaves as it is; bring it back with rollback_config.")
        return
    really = yield from _reinstalled(host, damaged)
    if really:
        again = host.again()
        still = again.manager.damaged(again.context, again.known, time.monotonic() + _LIBRARIES_SECONDS)
        still = {name: still[name] for name in damaged if name in still}
        if still:
            raise Refused(f"Reinstalled, and still not as packaged: {_listed(f'{name}: {wrong[0]}' for name, wrong in still.items())}. "
                          "Look for a diversion or an override (dpkg-divert --list, dpkg-statoverride --list).")


def _reinstalled(host, damaged: dict):
    """All at once, so that services restart once; where that cannot be, whichever can. Returns whether it was really done."""
    versions = host.manager.installed(host.context)
    try:
        because = _listed(f"{name}: {', '.join(wrong[:3])}" for name, wrong in damaged.items())
        return (yield from _change(host, "reinstall", {name: versions[name] for name in damaged}, because))
    except Refused:
        if len(damaged) == 1:
            raise
    refusals = []
    for name in damaged:
        try:
            yield from _change(host, "reinstall", {name: versions[name]}, f"{name}: {', '.join(damaged[name][:3])}")
        except Refused as problem:
            refusals.append(f"{name}: {problem}")
    if refusals:
        raise Refused(" ".join(refusals))
    return True


def _unsupported(context) -> list:
    """The types of Postfix's tables that are configured but not there."""
    return sorted({entry["type"] for entry in postfix.collect(context)["maps"] if entry["supported"] is False})


def _install(host):
    """The packages that bring missing table types, or those named."""
    yield from _install_types(host, host.names)


def _install_types(host, named=()):
    """The packages of table types that Postfix does not know; when some are ``named``, these, whatever they bring."""
    types = _unsupported(host.context)
    wanted = {f"postfix-{kind}": kind for kind in types if kind in _TYPES}
    other = [kind for kind in types if kind not in _TYPES]
    if other and not host.names:
        raise Refused(f"No package brings the table type {', '.join(other)} to this Postfix; a person converts the table (postmap -s, postconf -m).")
    versions = host.manager.installed(host.context)
    # A type whose package is there needs its own set-up again.
    again = [name for name in host.chosen(wanted) if name in versions]
    new = [name for name in (named or host.chosen(wanted)) if name not in versions]
    really = False
    if again:
        because = f"Postfix does not know {_listed(wanted[name] for name in again)} although the package is installed"
        really = yield from _change(host, "reinstall", {name: versions[name] for name in again}, because)
    if new:
        offered = {name: host.manager.candidate(host.context, name, versions.get("postfix", "")) for name in new}
        because = _listed(f"Postfix does not know the table type {wanted[name]}" if name in wanted else f"{name} is not installed" for name in new)
        really = (yield from _change(host, "install", offered, because, undo=f"Remove {' '.join(new)} by hand, when nothing uses it")) or really
    if really:
        still = [wanted[name] for name in again + new if wanted.get(name) in _unsupported(host.again().context)]
        if still:
            raise Refused(f"Installed, and Postfix still does not know {_listed(still)}; look at dynamicmaps.cf and postconf -m.")


def _security(host):
    """Security updates of mail software, and of what else was named."""
    pending = host.manager.pending(host.context, host.known, host.names)
    versions = host.manager.installed(host.context)
    because = "security updates are pending: " + _listed(f"{name} {versions[name]} -> {pending[name]}" for name in pending)
    yield from _change(host, "upgrade", pending, because, _way_back(host, "downgrade", pending))


def _way_back(host, verb: str, changed) -> str:
    """The command back to the present versions of the ``changed`` packages, or the plain word that there is none."""
    versions = {name: host.manager.installed(host.context)[name] for name in changed}
    if not versions:
        return ""
    wanted = _sources(host, versions)
    if wanted is None:
        return f"None: neither the archive nor the cache holds {_listed(_versioned(versions))}"
    return host.manager.install(verb, wanted, "").does()


def _step_back(host):
    """The version that was there before the last upgrade, of the packages named."""
    if not host.names:
        lately = _listed(host.manager.upgrades(host.known))
        raise Refused(f"Name the packages to take back (apply_patches_packages). Upgraded lately: {lately or 'nothing'}.")
    versions = host.manager.installed(host.context)
    back = {name: version for name, version in ((name, host.manager.former(host.context, host.known, name)) for name in host.names) if version}
    because = "the version before the upgrade: " + _listed(f"{name} {versions[name]} -> {back[name]}" for name in back)
    yield from _change(host, "downgrade", back, because, _way_back(host, "upgrade", back))


def _change(host, verb: str, versions: dict, because: str, undo: str = ""):
    """Simulate, refuse or change. ``versions`` is ``{package: version}``. Returns whether it was really done (check mode only tells it)."""
    if not versions:
        return False
    manager, context = host.manager, host.context
    on_hold = sorted(set(versions) & manager.held(context))
    if on_hold:
        raise Refused(f"{', '.join(on_hold)} is on hold: an administrator keeps that version. Take the hold back (apt-mark unhold, dnf versionlock delete), "
                      "or name only the other packages.")
    if manager.cut_short() and not host.finishing:
        raise Refused("The package manager was cut short and has to finish first (apply_patches_action: finish).")
    if verb in ("upgrade", "downgrade"):
        kept = manager.replaced_config(context, host.known, sorted(versions))
        if kept:
            raise Refused(f"The package would replace the changed configuration {_listed(kept)}; a person merges it.")
    _refuse_busy(host)
    wanted = _sources(host, versions)
    if wanted is None:
        ran = yield manager.refresh(f"the package lists do not know {_listed(_versioned(versions))}")
        if not ran.seconds:
            # Check mode: whether the archive knows it cannot be said.
            if all(versions.values()):
                yield manager.install(verb, [Wanted(*entry) for entry in versions.items()], because, undo)
            return False
        host = host.again()
        context = host.context
        versions = {name: version or manager.candidate(context, name, "") for name, version in versions.items()}
        wanted = _sources(host, versions)
        if wanted is None:
            raise Refused(f"The archive does not answer, or does not hold {_listed(_versioned(versions))}, and the cache does not hold it. {_said(ran)}")
    transaction = _check(host, verb, wanted)
    fetch = manager.download(verb, wanted, because) if transaction.download else None
    if fetch is not None:
        ran = yield fetch
        if ran.rc != 0:
            wanted = [dataclasses.replace(entry, path=manager.cached(context, entry.name, entry.version)) for entry in wanted]
            if not all(entry.path for entry in wanted):
                raise Refused(f"The archive does not answer, or no longer holds {_listed(_versioned(versions))} (apt-get update), "
                              f"and the cache does not hold it. {_said(ran)}")
            _check(host, verb, wanted)
    ran = yield manager.install(verb, wanted, because, undo)
    return bool(ran.seconds)


def _sources(host, versions: dict):
    """Where each package comes from: the lists, else the cache; None when one comes from nowhere."""
    found = []
    for name, version in versions.items():
        path = ""
        if not version or version not in host.manager.offered(host.context, name):
            path = host.manager.cached(host.context, name, version) if version else ""
            if not path:
                return None
        found.append(Wanted(name, version, path))
    return found


def _check(host, verb: str, wanted: list):
    """The transaction as simulated. Raises Refused unless it is exactly what is wanted, and there is room for it."""
    transaction = host.manager.simulate(host.context, verb, wanted)
    names = {entry.name: entry.version for entry in wanted}
    if transaction.removed:
        raise Refused(f"It would remove {_listed(transaction.removed)}." + (" Name these, too, when they were upgraded along." if verb == "downgrade" else ""))
    if transaction.complaint:
        raise Refused(f"The package manager would not do it: {transaction.complaint}")
    extra = [change for change in transaction.changes if change.name not in names and not (verb == "install" and not change.before)]
    if extra:
        raise Refused(f"It would also change {_listed(change.told() for change in extra)}. Name these, too, when that is wanted.")
    wrong = [change for change in transaction.changes if names.get(change.name, change.after) != change.after]
    idle = sorted(set(names) - {change.name for change in transaction.changes})
    if wrong or idle:
        raise Refused(f"It would not do what is wanted: {_listed([change.told() for change in wrong] + [f'{name} stays as it is' for name in idle])}.")
    _refuse_full(host.manager.room(transaction))
    return transaction


def _refuse_busy(host) -> None:
    busy = host.manager.busy(host.context)
    if busy:
        raise Refused(f"{busy}: wait until it has ended.")


def _refuse_full(needs: dict) -> None:
    lacking = shortage(needs)
    if lacking:
        raise Refused(f"{lacking}: make room first (free_space)." if "read-only" not in lacking else f"{lacking}: make it writable first.")


def _versioned(versions: dict) -> list:
    return [f"{name} {version}".strip() for name, version in versions.items()]


def _listed(texts) -> str:
    texts = list(texts)
    return ", ".join(texts[:_MOST_TOLD]) + (f" and {len(texts) - _MOST_TOLD} more" if len(texts) > _MOST_TOLD else "")


def _said(ran) -> str:
    """The first complaint of a command that failed."""
    lines = [line for line in clean_lines(ran.err, 20) + clean_lines(ran.out, 40) if line.startswith(("E: ", "W: ", "Err", "Error"))]
    return f"It said: {clean(lines[0], 200)}" if lines else "It gave no answer in time." if ran.timed_out else ""
