#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_canaries
short_description: Send messages on every journey and wait for them
version_added: 0.1.0
description:
  - Sends canary messages on every journey that the inventory makes possible, waits for their arrival, and deletes them again. Submission (587 and 465),
    each retrieval protocol, inbound as a stranger, outbound to a mailbox outside and back.
  - Needs a finished diagnosis in the folder of the run. Writes C(journeys.json) there, and lays the folder C(settled) ready for a second look at the hosts
    with M(mailops.outage.mail_observation), which then also tells where messages wait that did not arrive.
  - It never fails for what it finds; M(mailops.outage.mail_verification) judges.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
  - mailops.outage.attributes.estate
  - mailops.outage.attributes.journeys
options:
  arrival_timeout:
    description: Seconds to wait for a message after it was accepted.
    type: float
    default: 60
  settle:
    description: Seconds after which the journeys that failed are tried once more, and which a backlog gets to show whether it drains.
    type: float
    default: 15
  twice:
    description: Whether messages that failed are sent once more after O(settle), for services that have just come back.
    type: bool
    default: true
  messages_per_minute:
    description: Send no more than this in any minute. V(0) is any number.
    type: int
    default: 0
  language:
    description: The language in which it says why a journey was not tried.
    type: str
    default: en
    choices: [en, nl]
attributes:
  check_mode:
    description: Sends nothing; the journeys count as not tested.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_roundtrip
  - module: mailops.outage.mail_verification
"""

EXAMPLES = r"""
- name: Send messages on every journey
  mailops.outage.mail_canaries:
    run_dir: "{{ run.dir }}"
    probe_accounts: "{{ mail_probe_accounts }}"
    external_accounts: "{{ mail_external_accounts }}"
    submission_host: mail.example.org
    imap_host: mail.example.org
  run_once: true
  register: canaries
"""

RETURN = r"""
sent:
  description: How many messages were accepted.
  returned: success
  type: int
  sample: 6
arrived:
  description: How many of them arrived as they should.
  returned: success
  type: int
  sample: 5
failing:
  description: The journeys on which a message did not.
  returned: success
  type: list
  elements: str
  sample: [outbound canary@example.org]
settled_dir:
  description: The folder for the second look.
  returned: success
  type: str
  sample: /srv/incidents/20261124T025107Z-4f2a/settled
"""
