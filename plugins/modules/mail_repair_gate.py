#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_repair_gate
short_description: Say whether a step of a repair may be taken now
version_added: 0.1.0
description:
  - Decides by the plan, by what became of the steps before, and by what the guards of all hosts told; touches no host.
  - A lock or an open repair of somebody else, a person at work, a change freeze, a spent budget, a repaired cause or a lost host keeps the step from being
    taken.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
options:
  step:
    description: The step of the plan, by its id.
    type: str
    required: true
  states:
    description: What M(mailops.outage.mail_guard) told as its status, by host.
    type: dict
    required: true
  mode:
    description: How the plan is taken.
    type: str
    default: advise
    choices: [advise, approve, auto]
  freeze:
    description: Whether a change freeze is declared.
    type: bool
    default: false
  per_estate:
    description: How many repairs may be tried on all hosts together in a day.
    type: int
    default: 4
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_guard
  - module: mailops.outage.mail_repair
"""

EXAMPLES = r"""
- name: See whether the step may be taken
  mailops.outage.mail_repair_gate:
    run_dir: "{{ run.dir }}"
    step: s1
    states: "{{ {'mail': guard} }}"
    mode: auto
  run_once: true
  register: gate
"""

RETURN = r"""
wanted:
  description: Whether it may.
  returned: success
  type: bool
  sample: true
because:
  description: Why not; empty otherwise.
  returned: success
  type: str
  sample: ""
host:
  description: The host of the step.
  returned: success
  type: str
  sample: mail
"""
