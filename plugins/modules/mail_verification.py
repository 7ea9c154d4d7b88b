#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_verification
short_description: See by messages that arrive whether mail works
version_added: 0.1.0
description:
  - Sends canary messages on every journey that the inventory makes possible, waits for their arrival, and deletes them again. Submission (587 and 465),
    each retrieval protocol, inbound as a stranger, outbound to a mailbox outside and back.
  - Adds what a diagnosis of the same run saw. Every mail service answers, no cause holds, no temporary state was left behind, no mail is delayed, and
    the probes that failed in the outage are well.
  - Writes C(journeys.json) and C(verification.json), and shows what failed, what was not tested and what passed. It never fails for what it finds.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
  - mailops.outage.attributes.estate
options:
  before:
    description: The folder of the run that diagnosed the outage.
    type: path
    default: ""
  external_accounts:
    description: Mailboxes outside, each with C(address), C(login), C(password), C(smtp_host), C(smtp_port), C(imap_host) and C(imap_port). The first is used.
    type: list
    elements: dict
    default: []
  pop3_host:
    description: The name by which mail programs read with POP3.
    type: str
    default: ""
  resolvers:
    description: Name servers that know the servers outside; the system's resolver when empty.
    type: list
    elements: str
    default: []
  arrival_timeout:
    description: Seconds to wait for a message after it was accepted.
    type: float
    default: 60
  settle:
    description: Seconds after which the journeys that failed are tried once more.
    type: float
    default: 15
  messages_per_minute:
    description: Send no more than this in any minute. V(0) is any number.
    type: int
    default: 0
  show:
    description: Whether to show the result on the terminal.
    type: bool
    default: true
attributes:
  check_mode:
    description: Sends nothing; the journeys count as not tested.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_roundtrip
  - module: mailops.outage.mail_diagnosis
"""

EXAMPLES = r"""
- name: See whether mail works
  mailops.outage.mail_verification:
    run_dir: "{{ run.dir }}"
    probe_accounts: "{{ mail_probe_accounts }}"
    external_accounts: "{{ mail_external_accounts }}"
    submission_host: mail.example.org
    imap_host: mail.example.org
  run_once: true
  register: verification
"""

RETURN = r"""
passed:
  description: Whether a message arrived and no check failed.
  returned: success
  type: bool
  sample: true
failing:
  description: The checks that failed.
  returned: success
  type: list
  elements: str
  sample: [soft_bounce]
not_tested:
  description: The checks that could not be made.
  returned: success
  type: list
  elements: str
  sample: [outbound canary@example.org]
digest:
  description: SHA-256 over the checks, in hex; what people sign.
  returned: success
  type: str
  sample: 0f4c1f2b5d6e7a8990a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667
summary:
  description: The result for the terminal.
  returned: success
  type: str
  sample: "VERIFIED: mail works (21 passed, 0 failed, 0 not tested)"
verification:
  description: The path of verification.json.
  returned: success
  type: str
  sample: /srv/incidents/20261124T025107Z-4f2a/verification.json
"""
