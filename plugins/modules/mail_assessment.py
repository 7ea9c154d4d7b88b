#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_assessment
short_description: Look again, at the mail estate as a whole
version_added: 0.1.0
description:
  - Tries failed ports again, asks port 25 as a stranger would, logs in with the probe accounts, looks from the vantage points and at DNS.
  - No message is sent. A recipient is asked about with C(RCPT TO) and the session is reset.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
  - mailops.outage.attributes.run
  - mailops.outage.attributes.estate
options:
  domains:
    description: The mail domains, found on the hosts when empty.
    type: list
    elements: str
    default: []
  pop3_host:
    description: The name by which mail programs read with POP3.
    type: str
    default: ""
  reported_user:
    description: The mail address of a user who reported a fault.
    type: str
    default: ""
  complete:
    description: Whether all mail hosts of the inventory were observed. A run with C(--limit) says nothing about domains of the others.
    type: bool
    default: true
  resolvers:
    description: Name servers to ask, those of the controller when empty.
    type: list
    elements: str
    default: []
  blocklists:
    description: DNS block lists to look the sending addresses up in.
    type: list
    elements: str
    default: []
  vantages:
    description: Inventory hosts to probe from through SSH. They need no Python.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look at the estate
  mailops.outage.mail_assessment:
    run_dir: "{{ run.dir }}"
    domains: [example.org]
    vantages: "{{ groups['mail_vantages'] | default([]) }}"
  run_once: true
"""

RETURN = r"""
domains:
  description: The mail domains that were looked at.
  returned: success
  type: list
  elements: str
  sample: ["example.org"]
probes:
  description: How many probes were made.
  returned: success
  type: int
  sample: 5
failing:
  description: The probes that failed.
  returned: success
  type: list
  elements: str
  sample: ["mx1.example.org:25/smtp"]
dns_problems:
  description: What is wrong in DNS.
  returned: success
  type: list
  elements: str
  sample: ["ptr_missing"]
"""
