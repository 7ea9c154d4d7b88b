#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_guard
short_description: Guard a repair on a mail host with a lock, a budget, a checkpoint and a rollback timer
version_added: 0.1.0
description:
  - Before a repair it takes a lock and a checkpoint and sets a timer that puts the host back unless the repair is confirmed in time.
  - It never touches mail, SSH or the firewall, and leaves a file that a person changed after the repair.
  - Needs systemd on the host. A refusal is a result, not a failure.
author: mailops.outage contributors (@mailops)
options:
  action:
    description: What to do.
    type: str
    required: true
    choices: [status, begin, note, confirm, roll_back, release]
  step:
    description: The step of the plan; needed by begin, note, confirm and roll_back.
    type: str
  owner:
    description: Who repairs; needed by begin and release.
    type: str
  remedy:
    description: The role that repairs; needed by begin.
    type: str
    default: ""
  cause:
    description: The cause that is repaired.
    type: str
    default: ""
  because:
    description: Why the repair is rolled back.
    type: str
    default: ""
  interrupted:
    description: Whether roll_back ends a repair that its controller never finished; the hour's budget does not count it.
    type: bool
    default: false
  lock_seconds:
    description: How long the lock holds, in seconds.
    type: int
    default: 1800
  rollback_after:
    description: After how many seconds without confirmation the host is put back.
    type: int
    default: 600
  per_hour:
    description: How often the remedy may be tried in an hour for the same cause.
    type: int
    default: 1
  per_day:
    description: How often the remedy may be tried in a day.
    type: int
    default: 3
  expect:
    description: Files as the diagnosis saw them; C(digest) is the start of their SHA-256. Empty means absent.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      digest:
        description: The first hexadecimal digits of its SHA-256.
        type: str
        required: true
  files:
    description: Files that the remedy changes; begin keeps them, also that they are absent, and note tells how the remedy left them.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Changes nothing; begin says whether the marker, the budget and the files would allow it.
    support: full
  diff_mode:
    description: Shows no differences.
    support: none
"""

EXAMPLES = r"""
- name: Begin a guarded repair
  mailops.outage.mail_guard:
    action: begin
    step: s1
    owner: run-20261124T020000Z
    remedy: restart_service
    cause: postfix-stopped
  register: guard
  become: true
"""

RETURN = r"""
granted:
  description: Whether the step may go on.
  returned: always
  type: bool
  sample: true
because:
  description: Why not, or what is worth knowing; empty otherwise.
  returned: always
  type: str
  sample: ""
checkpoint:
  description: The checkpoint's name.
  returned: begin
  type: str
  sample: 20261124T020000Z-s1
rolls_back_at:
  description: When the host puts itself back, in UTC.
  returned: begin
  type: str
  sample: "2026-11-24T02:10:00Z"
storage:
  description: Where the checkpoint is; below C(/run) it is lost by a reboot.
  returned: begin
  type: str
  sample: /var/lib/mailops
lock:
  description: The lock that is held; C(seconds_left) is below 0 when it has expired.
  returned: status
  type: dict
  sample: {"owner": "run-20261124T020000Z", "step": "s1", "seconds_left": 1312.5}
human_at_work:
  description: The marker of a person at work, or null.
  returned: status
  type: str
  sample: null
checkpoints:
  description: The open checkpoints.
  returned: status
  type: list
  elements: dict
  sample: []
tries:
  description: The tries of the last day; null when the ledger cannot be read.
  returned: status
  type: list
  elements: dict
  sample: []
restored:
  description: What was put back.
  returned: roll_back
  type: list
  elements: str
  sample: [/etc/postfix/main.cf]
left:
  description: What was left as it is, and why.
  returned: roll_back
  type: list
  elements: dict
  sample: []
"""

import os
import re
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailops.outage.plugins.module_utils.host import known_good
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import budget, checkpoint, harmless, lock, moment, rollback, store, timer


def status():
    """What the guard knows on this host; changes nothing."""
    try:
        tries = budget.recent(moment.present())
    except ValueError:
        tries = None
    names = ("id", "step", "owner", "remedy", "cause", "rolls_back_at")
    return {"granted": True, "because": "", "lock": lock.read(), "human_at_work": store.human_at_work(), "tries": tries,
            "checkpoints": [{name: manifest[name] for name in names} for _folder, manifest in checkpoint.opened()]}


def not_as_seen(expect):
    """The first expected file that is not as the diagnosis saw it, as a sentence, or an empty text."""
    for item in expect:
        digest = (rollback.describe(item["path"]) or {}).get("sha256", "")
        if not digest.startswith(item["digest"]) or bool(digest) != bool(item["digest"]):
            return f"{item['path']} was changed since the diagnosis; run the diagnosis again."
    return ""


def refusal(params, now):
    """Why the repair may not begin, apart from the lock; an empty text when it may."""
    marker = store.human_at_work()
    if marker:
        return f"A person is at work on this host ({marker}); remove the marker when they are done."
    for _folder, manifest in checkpoint.opened():
        return f"The repair {manifest['id']} of {manifest['owner']} is still open; confirm it or roll it back first."
    return budget.refusal(params["remedy"], now, params["per_hour"], params["per_day"], cause=params["cause"]) or not_as_seen(params["expect"])


def begin(params, check_mode):
    """Lock, budget, checkpoint, timer, in this order; nothing is left half-done when one of them refuses."""
    now = moment.present()
    because = refusal(params, now)
    if because or check_mode:
        return {"changed": False, "granted": not because, "because": because}
    taken, said = lock.take(params["owner"], params["step"], params["lock_seconds"], now["uptime"])
    if not taken:
        return {"changed": False, "granted": False, "because": said}
    # Another guard may have begun between the first look and the lock.
    because = refusal(params, now)
    folder = identity = None
    if not because:
        identity = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now["epoch"])) + "-" + re.sub(r"[^A-Za-z0-9]", "_", params["step"])[:40]
        about = {name: params[name] for name in ("step", "owner", "remedy", "cause")}
        about.update(id=identity, rolls_back_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now["epoch"] + params["rollback_after"])))
        try:
            place = store.choose()
            budget.append(place, {**now, "id": identity, "step": params["step"], "remedy": params["remedy"],
                                  "cause": params["cause"], "outcome": "begun"})
            units = {unit: rollback.unit_state(unit) for unit in checkpoint.UNITS}
            # Of what is not configuration only the owner is kept: it could be somebody's mail.
            written = {path for path in params["files"] if harmless.may_write(path)}
            files = sorted(written.union(checkpoint.config_files()))
            owned = sorted(set(known_good.files(Context())).difference(known_good.config_paths()).union(params["files"]) - written)
            folder = checkpoint.take(place, about, files, owned, {unit: state for unit, state in units.items() if state["enabled"]})
            because = timer.arm(identity, folder, params["rollback_after"])
        except OSError as problem:
            because = f"No checkpoint could be taken ({problem}); make room and try again."
    if because:
        if folder:
            checkpoint.discard(folder)
        lock.release(params["owner"])
        return {"changed": False, "granted": False, "because": because}
    return {"changed": True, "granted": True, "because": said, "checkpoint": identity, "rolls_back_at": about["rolls_back_at"], "storage": place}


def act(params, check_mode):
    """The action on the open checkpoint of this step."""
    action = params["action"]
    if action == "release":
        held = lock.read()
        mine = bool(held and held["owner"] == params["owner"])
        return {"changed": mine if check_mode else lock.release(params["owner"]), "granted": True, "because": ""}
    folder, manifest = next(((path, found) for path, found in checkpoint.opened() if found["step"] == params["step"]), (None, None))
    if folder is None:
        return {"changed": False, "granted": False, "because": f"No open checkpoint of the step {params['step']}; look at the status.",
                "restored": [], "left": []}
    result = {"changed": True, "granted": True, "because": ""}
    if check_mode:
        return result
    if action == "note":
        checkpoint.note(folder, params["files"])
    elif action == "confirm":
        # In this order: a timer that finds a closed checkpoint does nothing, an open one without a timer would stay.
        rollback.close(folder, manifest, "confirmed")
        rollback.disarm(manifest["id"])
        checkpoint.drop_old()
        result["state"] = "confirmed"
    else:
        result.update(rollback.roll_back(folder, params["because"], outcome="interrupted" if params["interrupted"] else "rolled_back"))
        result["state"] = "not_put_back" if result["left"] else "rolled_back"
    return result


def main():
    text = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "required": True, "choices": ["status", "begin", "note", "confirm", "roll_back", "release"]},
            "step": {"type": "str"}, "journal": text, "owner": {"type": "str"}, "remedy": text, "cause": text, "because": text,
            "lock_seconds": {"type": "int", "default": 1800}, "rollback_after": {"type": "int", "default": 600},
            "per_hour": {"type": "int", "default": 1}, "per_day": {"type": "int", "default": 3},
            "expect": {"type": "list", "elements": "dict", "default": [],
                       "options": {"path": {"type": "path", "required": True}, "digest": {"type": "str", "required": True}}},
            "files": {"type": "list", "elements": "path", "default": []}, "interrupted": {"type": "bool", "default": False},
        },
        required_if=[("action", "begin", ("step", "owner")), ("action", "note", ("step",)), ("action", "confirm", ("step",)),
                     ("action", "roll_back", ("step",)), ("action", "release", ("owner",))],
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="The guard needs root: it keeps and puts back files of root. Run it with become.")
    os.umask(0o077)
    params = module.params
    if params["action"] == "status":
        module.exit_json(changed=False, **status())
    module.exit_json(**(begin(params, module.check_mode) if params["action"] == "begin" else act(params, module.check_mode)))


if __name__ == "__main__":
    main()
