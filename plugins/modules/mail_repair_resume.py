#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_repair_resume
short_description: Pick up what an interrupted repair left open
version_added: 0.1.0
description:
  - Looks at the guard of a host for repairs that a process of this account on this controller left open and that is gone. Where mail works they are
    confirmed, else rolled back.
  - Repairs of others are left alone; the host ends them by its own timer.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_guard
"""

EXAMPLES = r"""
- name: Pick up what was left open
  mailops.outage.mail_repair_resume:
    run_dir: "{{ run.dir }}"
  become: true
"""

RETURN = r"""
outcomes:
  description: V(repaired) or V(rolled_back), one for each.
  returned: success
  type: list
  elements: str
  sample: []
look_again:
  description: Whether the host was put back, so that the diagnosis is old.
  returned: success
  type: bool
  sample: false
"""
