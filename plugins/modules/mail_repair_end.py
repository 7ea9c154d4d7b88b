#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_repair_end
short_description: Confirm a repair that helped, or put the host back
version_added: 0.1.0
description:
  - Compares the look after a repair with the one before. It helped when its cause is gone, nothing that worked fails, and the messages of
    M(mailops.outage.mail_canaries) arrive.
  - Confirms it on the host, or rolls it back there.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
options:
  before_dir:
    description: The folder of the diagnosis before the repair.
    type: path
    required: true
  after_dir:
    description: The folder of the diagnosis after it, in which the canaries are, too.
    type: path
    required: true
  step:
    description: The step of the plan, by its id.
    type: str
    required: true
attributes:
  check_mode:
    description: Cannot say how a repair ended that was not made.
    support: none
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_repair
"""

EXAMPLES = r"""
- name: Confirm it, or put the host back
  mailops.outage.mail_repair_end:
    run_dir: "{{ run.dir }}"
    before_dir: "{{ run.dir }}/looks/s1-before"
    after_dir: "{{ run.dir }}/looks/s1-after"
    step: s1
  become: true
"""

RETURN = r"""
outcome:
  description: V(repaired), V(rolled_back), V(not_put_back) when something was left as it is, or V(lost).
  returned: success
  type: str
  sample: repaired
because:
  description: Why, in a sentence.
  returned: success
  type: str
  sample: "its cause is gone, and mail works (8 messages arrived)"
restored:
  description: What was put back.
  returned: success
  type: list
  elements: str
  sample: []
left:
  description: What was left as it is, and why.
  returned: success
  type: list
  elements: dict
  sample: []
"""
