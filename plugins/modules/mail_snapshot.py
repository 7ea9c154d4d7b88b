#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_snapshot
short_description: Keep a mail host's state as the known-good one
version_added: 0.1.0
description:
  - Records what a mail host is like while mail works, so that a later diagnosis can say what changed.
  - The configuration files are copied, with owner and mode, to a folder that only root can enter. The manifest describes them
    by digest and holds the effective settings, units, versions, listeners, mounts and firewall rules, without secrets.
  - Take it only while mail is healthy. The playbook C(mailops.outage.snapshot) checks that first.
author: mailops.outage contributors (@mailops)
options:
  keep:
    description: How many snapshots to keep; the oldest beyond that are removed.
    type: int
    default: 5
  free_bytes:
    description: Do nothing when the file system of the snapshots has less free space than this, in bytes.
    type: int
    default: 67108864
attributes:
  check_mode:
    description: Shows what would be recorded and writes nothing.
    support: full
  diff_mode:
    description: Shows the differences from the former snapshot.
    support: none
"""

EXAMPLES = r"""
- name: Keep the state of a healthy mail host
  mailops.outage.mail_snapshot:
  become: true
"""

RETURN = r"""
path:
  description: The folder of the snapshot on the host.
  returned: always
  type: str
  sample: /var/lib/mailops/known-good/20261123T210000Z
manifest:
  description: What was recorded; C(state) is compared by later looks.
  returned: always
  type: dict
  sample:
    schema: 1
    taken: "2026-11-23T21:00:00Z"
    taken_epoch: 1795467600
    state:
      units:
        postfix@-.service: {"enabled": "enabled", "running": true}
differences:
  description: What differs from the snapshot that was in force before; empty for the first one.
  returned: always
  type: list
  elements: dict
  sample: [{"what": "setting", "name": "relayhost", "before": null, "after": "[relay.example.org]", "source": "postconf -n", "time_epoch": null}]
"""

import hashlib
import json
import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailops.outage.plugins.module_utils.host import known_good, registry
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context


def flushed(path):
    """The entries of a folder, or the content of a file, are on the disk before anything points at them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def store(path, manifest, keep):
    """Write the snapshot aside, rename it into place, point ``current`` at it, and drop the oldest ones.

    Returns the files that were changed while they were copied, and so are not what the manifest says; then nothing is put in place.
    """
    os.umask(0o077)
    aside = path + ".new"
    shutil.rmtree(aside, ignore_errors=True)
    os.makedirs(os.path.join(aside, "files"), mode=0o700)
    described, moved = manifest["state"]["files"], []
    for name in known_good.config_paths():
        if os.path.isfile(name) and not os.path.islink(name):
            target = os.path.join(aside, "files", name.lstrip("/"))
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            shutil.copy2(name, target)
            state = os.stat(name)
            os.chown(target, state.st_uid, state.st_gid)
            with open(target, "rb") as stream:
                digest = hashlib.sha256(stream.read()).hexdigest()
            if digest != described.get(name, {}).get("sha256", digest):
                moved.append(name)
    with open(os.path.join(aside, "manifest.json"), "w", encoding="utf-8") as stream:
        json.dump(manifest, stream, sort_keys=True)
    if moved:
        shutil.rmtree(aside, ignore_errors=True)
        return moved
    for folder, _folders, names in os.walk(aside, topdown=False):
        for name in names:
            flushed(os.path.join(folder, name))
        flushed(folder)
    os.rename(aside, path)
    flushed(known_good.STORE)
    link = os.path.join(known_good.STORE, "current")
    if os.path.lexists(link + ".new"):
        os.unlink(link + ".new")
    os.symlink(os.path.basename(path), link + ".new")
    os.replace(link + ".new", link)
    flushed(known_good.STORE)
    taken = sorted(name for name in os.listdir(known_good.STORE) if name[:1].isdigit())
    for name in taken[:-keep]:
        shutil.rmtree(os.path.join(known_good.STORE, name), ignore_errors=True)
    return []


def main():
    module = AnsibleModule(
        argument_spec={"keep": {"type": "int", "default": 5}, "free_bytes": {"type": "int", "default": 64 * 1024 * 1024}},
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="A snapshot needs root: it copies files that only root may read. Run it with become.")
    now = time.time()
    context = Context(options={"since": now - 60, "until": now, "signatures": {}})
    looked = registry.collect_all(context, 30)
    missing = [name for name, end in looked["collectors"].items() if not end["ok"]]
    if missing:
        module.fail_json(msg=f"The host could not be seen completely ({', '.join(missing)}), so no snapshot was taken.", collectors=looked["collectors"])
    contained = [entry["setting"] for entry in (looked["facts"].get("postfix") or {}).get("contained") or []]
    if contained:
        module.fail_json(msg=f"A containment is in force ({', '.join(contained)}), and what is temporary is not kept as known good. Take it back first.")
    taken = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    manifest = {"schema": 1, "taken": taken, "taken_epoch": int(now), "state": known_good.state(looked["facts"], known_good.files(context))}
    path = os.path.join(known_good.STORE, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)))
    if not module.check_mode:
        os.makedirs(known_good.STORE, mode=0o700, exist_ok=True)
        room = os.statvfs(known_good.STORE)
        if room.f_bavail * room.f_frsize < module.params["free_bytes"]:
            module.fail_json(msg=f"Less than {module.params['free_bytes']} bytes are free under {known_good.STORE}: a snapshot must not fill a mail host.")
        moved = store(path, manifest, max(1, module.params["keep"]))
        if moved:
            module.fail_json(msg=f"Files were changed while the snapshot was taken ({', '.join(moved[:5])}); take it again when nobody works on this host.")
    module.exit_json(changed=True, path=path, manifest=manifest, differences=looked["facts"]["known_good"]["differences"])


if __name__ == "__main__":
    main()
