#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_signoff
short_description: Sign a verification by name, or see who has
version_added: 0.1.0
description:
  - Adds a sign-off to C(signoffs.jsonl) in the folder of the run, with its time and the digest of the verification.
  - A person counts once, and only for the verification that was in force when they signed. One that did not pass, or was changed since, cannot be signed.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
  - mailops.outage.attributes.estate
requirements:
  - authres >= 1.2 on the controller, for answers by mail that came in without login
options:
  name:
    description: Who signs, the whole name. Nobody does when it is empty.
    type: str
    default: ""
  note:
    description: What they looked at.
    type: str
    default: ""
  way:
    description: How the sign-off was given.
    type: str
    default: command
    choices: [command, awx]
  workflow_job:
    description:
      - The number of the AWX workflow that this job runs in. Who approved one of its nodes since the verification was written signs.
      - AWX is asked, at the address and as the user of a credential of its own type (environment C(CONTROLLER_HOST), C(CONTROLLER_OAUTH_TOKEN), or
        C(CONTROLLER_USERNAME) and C(CONTROLLER_PASSWORD), C(CONTROLLER_VERIFY_SSL); or the same as C(TOWER_*) or C(AAP_*)).
        That user must be able to see the workflow job and its approvals.
    type: str
    default: ""
  ask:
    description:
      - Send each of these people a message to be answered. Only a verification that passed is asked about.
      - Without it, the answers that have come in are gathered, and those that count are sign-offs. One counts when it still holds the secret code of the
        question, comes from the person who was asked, was written by no machine, and came in with login at a server of the estate, or with an
        Authentication-Results field (RFC 8601) of such a server, above its Received field, in which the author's domain passed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The person.
        type: str
        required: true
      address:
        description: Their mail address, from which they must answer.
        type: str
        required: true
  expires:
    description: Seconds after which an answer is too late.
    type: float
    default: 86400
  required:
    description: How many different people must sign.
    type: int
    default: 2
attributes:
  check_mode:
    description: Adds nothing and tells who has signed.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Sign
  mailops.outage.mail_signoff:
    run_dir: reports/latest
    name: Anna de Vries
    note: Sent and received from my phone
"""

RETURN = r"""
signoffs:
  description: The sign-offs that count, in the order in which they were given.
  returned: success
  type: list
  elements: dict
  sample:
    - {"time": "2026-11-24T02:51:07Z", "name": "Anna de Vries", "account": "", "address": "", "way": "command", "note": "From my phone", "digest": "0f4c1f2b"}
required:
  description: How many different people must sign.
  returned: success
  type: int
  sample: 2
asked:
  description: The addresses that were asked.
  returned: success
  type: list
  elements: str
  sample: [anna@example.org]
refused:
  description: Why answers and approvals do not count, or could not be seen, one sentence each.
  returned: success
  type: list
  elements: str
  sample: [it came too late]
missing:
  description: How many still must.
  returned: success
  type: int
  sample: 1
enough:
  description: Whether enough have.
  returned: success
  type: bool
  sample: false
"""
