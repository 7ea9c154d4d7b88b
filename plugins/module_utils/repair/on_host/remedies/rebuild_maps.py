"""Compile the lookup tables of Postfix that are missing or older than their source (DATABASE_README, postmap(1), newaliases(1))."""
from __future__ import annotations

import os

from ansible_collections.mailops.outage.plugins.module_utils.host import postfix, services
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused

OPTIONS = {"paths": {"type": "list", "elements": "str", "default": []}}


def steps(context, options):
    """``paths``: sources of tables, as main.cf names them; all that need it when empty. Refused where a source is missing or empty but its table is not."""
    wanted = options["paths"]
    maps = [entry for entry in postfix.collect(context)["maps"] if entry["compiled_path"] and (not wanted or entry["path"] in wanted)]
    unknown = sorted(set(wanted) - {entry["path"] for entry in maps})
    if unknown:
        raise Refused(f"Postfix uses no compiled table with the source {', '.join(unknown)}; look at postconf -n.")
    unusable = False
    for entry in maps:
        because = _because(entry)
        if not because:
            continue
        if not entry["source_exists"]:
            raise Refused(f"{entry['path']} is missing, too, so that nothing can be compiled; bring it back first (rollback_config).")
        if os.path.getsize(entry["path"]) == 0 and entry["compiled_exists"] and os.path.getsize(entry["compiled_path"]) > 0:
            raise Refused(f"{entry['path']} is empty: compiling it would lose what {entry['compiled_path']} still knows; look at the source first.")
        program = "postalias" if "alias_maps" in entry["parameter"] or "alias_database" in entry["parameter"] else "postmap"
        if "virtual_alias" in entry["parameter"]:
            program = "postmap"
        yield Command((program, f"{entry['type']}:{entry['path']}"), because, writes=(entry["compiled_path"],),
                      undo="Roll back: the checkpoint keeps the former compiled table" if entry["compiled_exists"] else f"Remove {entry['compiled_path']}")
        unusable = unusable or not entry["stale"]
    # A daemon opens a table anew when it was changed, but not one that it could not open at all.
    if unusable and (services.collect(context)["mta"] or {}).get("running"):
        yield Command(("postfix", "reload"), "daemons that could not open the table do not try again by themselves")


def _because(entry: dict) -> str:
    if entry["compiled_exists"] is False:
        return f"{entry['compiled_path']} is missing"
    if entry["stale"]:
        return f"{entry['path']} was changed after it was compiled"
    return f"{entry['compiled_path']} cannot be asked: {entry['text']}" if entry["lookup"] == "error" and entry["supported"] is not False else ""
