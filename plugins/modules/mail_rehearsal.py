#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_rehearsal
short_description: Ask a host in check mode what the remedies of its causes would do
version_added: 0.1.0
description:
  - Runs M(mailops.outage.mail_remedy) on the host, always in check mode, for each remedy that the diagnosis suggests there.
  - Writes the answers to C(rehearsals) in the folder of the run, from which M(mailops.outage.mail_plan) makes the plan.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
attributes:
  check_mode:
    description: Changes nothing at any time.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_plan
"""

EXAMPLES = r"""
- name: Ask each host what its remedies would do
  mailops.outage.mail_rehearsal:
    run_dir: "{{ run.dir }}"
  become: true
"""

RETURN = r"""
rehearsed:
  description: The steps that were rehearsed.
  returned: success
  type: list
  elements: str
  sample: [s1]
refused:
  description: Why remedies are not for this host as it is, by step.
  returned: success
  type: dict
  sample: {}
"""
