#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_repair_report
short_description: Say how a repair ended
version_added: 0.1.0
description:
  - Tells what is repaired and what is left for people, and checks that the journal is whole. It touches no host.
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
  - module: mailops.outage.mail_plan
"""

EXAMPLES = r"""
- name: Say how it ended
  mailops.outage.mail_repair_report:
    run_dir: "{{ run.dir }}"
  run_once: true
"""

RETURN = r"""
repaired:
  description: What is repaired, as host and cause.
  returned: success
  type: list
  elements: str
  sample: ["mail: service.mta_stopped"]
left:
  description: What a person must look at.
  returned: success
  type: list
  elements: str
  sample: []
outcomes:
  description: What became of each step.
  returned: success
  type: list
  elements: dict
  sample: [{"step": "s1", "host": "mail", "cause": "service.mta_stopped", "role": "restart_service", "outcome": "repaired", "because": ""}]
entries:
  description: How many entries the journal has.
  returned: success
  type: int
  sample: 7
journal:
  description: The path of the journal.
  returned: success
  type: str
  sample: /srv/incidents/20261124T025107Z-4f2a/journal.jsonl
summary:
  description: The same for the terminal.
  returned: success
  type: str
  sample: "mail: service.mta_stopped: restart_service: repaired"
"""
