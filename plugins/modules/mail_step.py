#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_step
short_description: Take one step of a plan through its phases, guarded
version_added: 0.1.0
description:
  - V(guard) asks the host's guard (M(mailops.outage.mail_guard)) and keeps its answer in the folder of the run. V(gate) then says, for all hosts together,
    whether the step may be taken. V(ask) asks the person at the terminal.
  - V(change) looks whether the cause still holds, whether something that users meet fails, and whether the remedy would still do what was shown; takes lock,
    budget and checkpoint and sets the rollback timer; runs the remedy (M(mailops.outage.mail_remedy)); starts mail services that died of the cause; and waits
    until what failed works, or what runs on the host has had its time to come back.
  - V(end) confirms the step when something that failed before works and nothing that worked fails, and puts the host back when not. Without it the host puts
    itself back.
  - V(resume) ends what an interrupted run of this controller left open. V(flush) lets mail go that waited. V(note) adds an entry to the journal.
  - Each of these is in the journal before it is done.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
  - mailops.outage.attributes.estate
  - mailops.outage.attributes.journeys
options:
  phase:
    description: What to do.
    type: str
    required: true
    choices: [guard, resume, gate, ask, change, end, flush, note]
  step:
    description: The step of the plan, by its id. V(ask) without one asks about the containment.
    type: str
    default: ""
  before_dir:
    description: The folder of a whole look that was made just before the change.
    type: path
  after_dir:
    description: The folder of a whole look that was made after it.
    type: path
  mode:
    description: How the plan is taken.
    type: str
    default: advise
    choices: [advise, approve, auto]
  freeze:
    description: Whether a change freeze is declared.
    type: bool
    default: false
  approved:
    description: The approval, as the plan shows it; needed by a plan of the mode V(approve).
    type: str
    default: ""
  approval_hours:
    description: How many hours after the plan was made an approval of it holds.
    type: float
    default: 4
  rollback_after:
    description: Seconds after which the host puts itself back, beside the time that is waited and that the remedy may take.
    type: int
    default: 600
  settle:
    description: Seconds to wait for what failed to work; V(0) is as long as what runs on the host may need to come back.
    type: int
    default: 0
  per_hour:
    description: How often the remedy may be tried on the host in an hour.
    type: int
    default: 1
  per_day:
    description: How often in a day.
    type: int
    default: 3
  per_estate:
    description: How many repairs may be tried on all hosts together in a day.
    type: int
    default: 4
  language:
    description: The language of what is asked.
    type: str
    default: en
    choices: [en, nl]
  event:
    description: The event of an entry in the journal, a word of lower-case letters.
    type: str
    default: ""
  details:
    description: What else stands in the entry.
    type: dict
    default: {}
attributes:
  check_mode:
    description: V(guard) and V(gate) as without; the others do nothing.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_plan
  - module: mailops.outage.mail_guard
  - module: mailops.outage.mail_remedy
"""

EXAMPLES = r"""
- name: Change the host
  mailops.outage.mail_step:
    phase: change
    run_dir: "{{ run.dir }}"
    before_dir: "{{ run.dir }}/looks/4f2a9c01d3e8-before"
    step: 4f2a9c01d3e8
  become: true
  register: change
"""

RETURN = r"""
wanted:
  description: Whether the step may be taken.
  returned: phase gate
  type: bool
  sample: true
answer:
  description: V(yes), V(no) or V(quit).
  returned: phase ask
  type: str
  sample: "yes"
approval:
  description: The approval that a V(yes) is; empty otherwise.
  returned: phase ask
  type: str
  sample: ""
outcome:
  description: V(changed), V(refused), V(repaired), V(rolled_back), V(not_put_back), V(lost) when the host is gone, or V(not_taken) in check mode.
  returned: phases change and end
  type: str
  sample: changed
because:
  description: Why, in a sentence; empty where nothing is to be said.
  returned: phases guard, gate, change, end and flush
  type: str
  sample: "waited 2 s"
changed_at:
  description: When the change began, in epoch seconds; null when nothing was changed.
  returned: phase change
  type: float
  sample: 1795485067.2
restored:
  description: What was put back.
  returned: phase end
  type: list
  elements: str
  sample: []
left:
  description: What was left as it is, and why.
  returned: phase end
  type: list
  elements: dict
  sample: []
outcomes:
  description: What became of the steps that an interrupted run left open.
  returned: phase resume
  type: list
  elements: str
  sample: []
look_again:
  description: Whether the host was changed, so that the diagnosis is to be made again.
  returned: phase resume
  type: bool
  sample: false
open:
  description: How many checkpoints of the host are open or not put back.
  returned: phase guard
  type: int
  sample: 0
flushed:
  description: Whether the queue was flushed.
  returned: phase flush
  type: bool
  sample: true
digest:
  description: The digest of the new entry.
  returned: phase note
  type: str
  sample: 42da8d312822f0a4c1f2b5d6e7a8990a1b2c3d4e5f60718293a4b5c6d7e8f900
"""
