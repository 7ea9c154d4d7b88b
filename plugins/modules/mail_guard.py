#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_guard
short_description: Guard a repair on a mail host with a lock, a budget, a checkpoint and a rollback timer
version_added: 0.1.0
description:
  - Before a repair it takes a lock, opens a checkpoint and sets a timer that puts the host back unless the repair is confirmed in time.
  - While a checkpoint is open, M(mailops.outage.mail_remedy) notes in it what each step touches, as it was and as the step left it.
  - Only what is still exactly as the repair left it is put back, once, and what is replaced is kept in the checkpoint. What somebody else changed
    since is left and told. While a person is at work nothing is put back; the timer tries again later, five times in all.
  - A checkpoint that could not be put back wholly is shown by C(status) and keeps the next repair from beginning, until a person acknowledges it.
  - It never touches mail, SSH or the firewall.
  - Needs systemd on the host. A refusal is a result, not a failure.
author: mailops.outage contributors (@mailops)
options:
  action:
    description: What to do.
    type: str
    required: true
    choices: [status, begin, confirm, roll_back, acknowledge, release]
  step:
    description: The step of the plan, or the name of a checkpoint; needed by begin, confirm, roll_back and acknowledge.
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
    description: Why the repair is confirmed or rolled back.
    type: str
    default: ""
  journal:
    description: The last digest of the controller's journal; begin, confirm and roll_back keep it in the checkpoint.
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
    step: 4be1f0c2a9d7
    owner: run-20261124T020000Z
    remedy: restart_service
    cause: postfix-stopped
  register: guard
  become: true

- name: Say that a person has looked at what could not be put back
  mailops.outage.mail_guard:
    action: acknowledge
    step: 20261124T020000Z-4be1f0c2a9d7
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
  sample: 20261124T020000Z-4be1f0c2a9d7
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
  sample: {"owner": "run-20261124T020000Z", "step": "4be1f0c2a9d7", "seconds_left": 1312.5}
human_at_work:
  description: The marker of a person at work, or null.
  returned: status
  type: str
  sample: null
checkpoints:
  description: The open checkpoints, and those that could not be put back and that nobody has acknowledged.
  returned: status
  type: list
  elements: dict
  contains:
    id:
      description: Its name.
      type: str
      sample: 20261124T020000Z-4be1f0c2a9d7
    step:
      description: The step of the plan.
      type: str
      sample: 4be1f0c2a9d7
    owner:
      description: Who repairs.
      type: str
      sample: run-20261124T020000Z
    remedy:
      description: The role that repairs.
      type: str
      sample: restart_service
    cause:
      description: The cause that is repaired.
      type: str
      sample: service.mta_stopped
    rolls_back_at:
      description: When the host puts itself back, in UTC.
      type: str
      sample: "2026-11-24T02:10:00Z"
    state:
      description: As RV(state).
      type: str
      sample: open
    because:
      description: Why it stands so.
      type: str
      sample: ""
    journal:
      description: The last digest of the controller's journal that the host was told.
      type: str
      sample: ""
    left:
      description: As RV(left), of the last try.
      type: list
      elements: dict
      sample: []
    attempts:
      description: How often it was tried to put it back.
      type: int
      sample: 0
tries:
  description: The tries of the last day; null when the ledger cannot be read.
  returned: status
  type: list
  elements: dict
  sample: []
state:
  description:
    - How the checkpoint stands on the host in the end, whoever brought it there.
    - C(open), C(confirmed), C(rolled_back), or C(interrupted) where what was rolled back is a repair that its controller never finished.
    - C(not_put_back) when something could not be put back, or is not known to be; C(given_up) when the last try failed.
    - C(rolling_back) only after a crash in the middle, until the timer goes on. Empty when there is no such checkpoint.
  returned: confirm, roll_back, acknowledge
  type: str
  sample: confirmed
restored:
  description: What was put back.
  returned: confirm, roll_back, acknowledge
  type: list
  elements: str
  sample: [/etc/postfix/main.cf]
left:
  description: What was left as it is, and why; C(again) tells whether another try may help.
  returned: confirm, roll_back, acknowledge
  type: list
  elements: dict
  sample: [{"path": /etc/postfix/main.cf, "because": it is not as the repair left it, "again": false}]
units:
  description: What was done to units.
  returned: confirm, roll_back, acknowledge
  type: list
  elements: str
  sample: [reload-or-restart postfix.service]
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import guard, rollback

_ACTIONS = {"begin": guard.begin, "release": guard.release, "confirm": guard.end, "roll_back": guard.end, "acknowledge": guard.end}


def main():
    text = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "required": True, "choices": ["status", "begin", "confirm", "roll_back", "acknowledge", "release"]},
            "step": {"type": "str"}, "owner": {"type": "str"}, "remedy": text, "cause": text, "because": text, "journal": text,
            "lock_seconds": {"type": "int", "default": 1800}, "rollback_after": {"type": "int", "default": 600},
            "per_hour": {"type": "int", "default": 1}, "per_day": {"type": "int", "default": 3},
            "expect": {"type": "list", "elements": "dict", "default": [],
                       "options": {"path": {"type": "path", "required": True}, "digest": {"type": "str", "required": True}}},
            "interrupted": {"type": "bool", "default": False},
        },
        required_if=[("action", "begin", ("step", "owner")), ("action", "confirm", ("step",)), ("action", "roll_back", ("step",)),
                     ("action", "acknowledge", ("step",)), ("action", "release", ("owner",))],
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="The guard needs root: it keeps and puts back files of root. Run it with become.")
    os.umask(0o077)
    if module.params["action"] == "status":
        module.exit_json(changed=False, **guard.status())
    with rollback.alone():
        result = _ACTIONS[module.params["action"]](module.params, check=module.check_mode)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
