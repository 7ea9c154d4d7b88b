#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_repair
short_description: Take one step of a plan on its host, guarded
version_added: 0.1.0
description:
  - Looks whether the cause still holds and the remedy would still do what was shown; takes lock, budget and checkpoint and sets the rollback timer
    (M(mailops.outage.mail_guard)); runs the remedy; starts mail services that died of the cause; and waits for the mail services to answer.
  - A remedy that fails is rolled back at once. One that does not is confirmed or rolled back by M(mailops.outage.mail_repair_end); without it the host puts
    itself back.
  - Each of these is in the journal before it is done.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
options:
  before_dir:
    description: The folder of a diagnosis that was made just before.
    type: path
    required: true
  step:
    description: The step of the plan, by its id.
    type: str
    required: true
  approved:
    description: The digest that was approved; needed by a plan of the mode V(approve).
    type: str
    default: ""
  rollback_after:
    description: Seconds after which the host puts itself back.
    type: int
    default: 600
  settle:
    description: Seconds to wait for the mail services to answer.
    type: int
    default: 90
  per_hour:
    description: How often the remedy may be tried on the host in an hour.
    type: int
    default: 1
  per_day:
    description: How often in a day.
    type: int
    default: 3
  ca_file:
    description: Trust the authorities in this PEM file instead of those of the system.
    type: path
attributes:
  check_mode:
    description: Takes nothing.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_repair_gate
  - module: mailops.outage.mail_repair_end
  - module: mailops.outage.mail_remedy
"""

EXAMPLES = r"""
- name: Change the host
  mailops.outage.mail_repair:
    run_dir: "{{ run.dir }}"
    before_dir: "{{ run.dir }}/looks/s1-before"
    step: s1
  become: true
  register: change
"""

RETURN = r"""
outcome:
  description: V(changed), V(refused), V(rolled_back), V(lost) when the host does not answer any more, or V(not_taken) in check mode.
  returned: success
  type: str
  sample: changed
because:
  description: Why, in a sentence.
  returned: success
  type: str
  sample: "waited 2 s for the mail services to answer"
changed_at:
  description: When the change began, in epoch seconds.
  returned: success
  type: float
  sample: 1795485067.2
"""
