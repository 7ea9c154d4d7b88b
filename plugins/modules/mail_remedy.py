#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_remedy
short_description: Take one remedy on a mail host, step by step
version_added: 0.1.0
description:
  - Looks at the host, works out the steps that the remedy needs there, and takes them one after the other. Where nothing needs to be done nothing is.
  - Each step is held against a list of what a repair may do at all. Mail, SSH, the firewall and accounts are never touched.
  - In check mode it tells the same steps, with the commands to type, and takes none.
  - It has no guard of its own. Use the role P(mailops.outage.remediate#role) to have the host locked, kept and rolled back when the repair does not help.
author: mailops.outage contributors (@mailops)
options:
  remedy:
    description: The remedy, by the name of its role; that role's argument_specs describe it.
    type: str
    required: true
  options:
    description: The role's variables without the role's name before them.
    type: dict
    default: {}
  checkpoint:
    description: The checkpoint of M(mailops.outage.mail_guard) that guards the repair; nothing is done when it is not open any more.
    type: str
    default: ""
attributes:
  check_mode:
    description: Tells the steps and takes none.
    support: full
  diff_mode:
    description: Shows what changes in files, without what may be secret.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Compile the lookup tables that are missing or stale
  mailops.outage.mail_remedy:
    remedy: rebuild_maps
  become: true
"""

RETURN = r"""
steps:
  description: The steps in their order; in check mode those that would be taken.
  returned: always
  type: list
  elements: dict
  contains:
    does:
      description: The command, as a person would type it.
      type: str
      sample: postmap hash:/etc/postfix/transport
    because:
      description: Why.
      type: str
      sample: /etc/postfix/transport.db is missing
    undo:
      description: How it is taken back.
      type: str
      sample: ""
    path:
      description: The file that it writes, moves or owns; null of a command.
      type: str
      sample: null
    mark:
      description: The start of the SHA-256 of the lines that it changes in the file; null where it writes nothing.
      type: str
      sample: null
    taken:
      description: Whether it was taken.
      type: bool
      sample: true
    rc:
      description: The exit status; null when it was not taken, or did not end.
      type: int
      sample: 0
    said:
      description: What the command printed.
      type: list
      elements: str
      sample: []
    seconds:
      description: How long it took.
      type: float
      sample: 0.02
loosens:
  description: The guards that would be loosened, and are therefore left as they are.
  returned: success
  type: list
  elements: str
  sample: []
refused:
  description: Why the remedy is not for this host as it is; empty when it is.
  returned: always
  type: str
  sample: ""
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import steps
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
from ansible_collections.mailops.outage.plugins.module_utils.secrets import mask


def main():
    module = AnsibleModule(
        argument_spec={"remedy": {"type": "str", "required": True}, "options": {"type": "dict", "default": {}}, "checkpoint": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    name = module.params["remedy"]
    if name not in REMEDIES:
        module.fail_json(msg=f"There is no remedy {name}; known are {', '.join(sorted(REMEDIES))}.", steps=[], refused="")
    checked = ArgumentSpecValidator(REMEDIES[name].OPTIONS).validate(module.params["options"])
    if checked.error_messages:
        module.fail_json(msg=f"{name}: {'; '.join(checked.error_messages)}", steps=[], refused="")
    if os.geteuid() != 0:
        module.fail_json(msg="A remedy needs root. Run it with become.", steps=[], refused="")
    now = time.time()
    records = []
    result = {"steps": records, "refused": "", "loosens": []}
    try:
        looked = Context(options={"since": now - 3600, "until": now, "signatures": {}})
        result["loosens"] = steps.take(REMEDIES[name].steps(looked, checked.validated_parameters), module.check_mode, records, module.params["checkpoint"])
    except steps.Refused as problem:
        result.update(refused=mask(str(problem)), loosens=problem.loosens)
        module.fail_json(msg=f"{name} was refused: {result['refused']}", changed=any(record["taken"] for record in records), **result)
    except steps.StepFailed as problem:
        module.fail_json(msg=f"{name} stopped half-way: {mask(str(problem))}", changed=True, **result)
    finally:
        diffs = [record.pop("diff") for record in records]
    module.exit_json(changed=bool(records), diff=[diff for diff in diffs if diff], **result)


if __name__ == "__main__":
    main()
