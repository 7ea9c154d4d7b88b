#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_plan
short_description: Make and show the plan of a repair
version_added: 0.1.0
description:
  - Takes the remedies of the causes that a diagnosis names, with what M(mailops.outage.mail_rehearsal) learned of them, in the order in which they are tried.
  - Writes C(plan.json), shows the plan with the exact commands, and opens the journal. It touches no host.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
options:
  mode:
    description: How the plan will be taken; part of what is shown and approved.
    type: str
    default: advise
    choices: [advise, approve, auto]
  confidence:
    description: How sure a cause must be (0 to 1) to be acted on.
    type: float
    default: 0.7
  rollback_after:
    description: Seconds after which a host puts itself back; shown.
    type: int
    default: 600
  actor:
    description: Who started it, for the journal; the account on the controller when empty.
    type: str
    default: ""
  language:
    description: The language of what is shown.
    type: str
    default: en
    choices: [en, nl]
attributes:
  check_mode:
    description: Writes the plan, and changes no host.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_rehearsal
  - module: mailops.outage.mail_step
"""

EXAMPLES = r"""
- name: Make the plan
  mailops.outage.mail_plan:
    run_dir: "{{ run.dir }}"
  run_once: true
  register: plan
"""

RETURN = r"""
steps:
  description: The steps in the order in which they are tried, with their commands, and why some are not taken.
  returned: success
  type: list
  elements: dict
  sample: [{"id": "4f2a9c01d3e8", "host": "mail", "cause": "service.mta_stopped", "role": "restart_service", "blocked": ""}]
ready:
  description: The ids of those that can be taken.
  returned: success
  type: list
  elements: str
  sample: [4f2a9c01d3e8]
approval:
  description: What somebody gives who approves this plan; its digest and its time.
  returned: success
  type: str
  sample: 42da8d312822f0a4c1f2b5d6e7a8990a1b2c3d4e5f60718293a4b5c6d7e8f900@20261124T025107Z
digest:
  description: SHA-256, in hex, over what would be done, containment included.
  returned: success
  type: str
  sample: 42da8d312822f0a4c1f2b5d6e7a8990a1b2c3d4e5f60718293a4b5c6d7e8f900
blocked:
  description: Why nothing is done at all; empty otherwise.
  returned: success
  type: str
  sample: ""
owner:
  description: Under which name hosts are locked.
  returned: success
  type: str
  sample: "ops@controller process 4711 run 20261124T025107Z-4f2a"
containment:
  description: What turns loss into delay, by host.
  returned: success
  type: list
  elements: dict
  sample: []
summary:
  description: The plan as it is shown.
  returned: success
  type: str
  sample: "PLAN 42da8d312822 (auto): 1 steps can be taken"
plan:
  description: The path of plan.json.
  returned: success
  type: str
  sample: /srv/incidents/20261124T025107Z-4f2a/plan.json
"""
