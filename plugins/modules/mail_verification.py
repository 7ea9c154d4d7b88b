#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_verification
short_description: Say whether mail works
version_added: 0.1.0
description:
  - Judges the canaries of M(mailops.outage.mail_canaries) together with a diagnosis of the same run and a second look at the hosts after it. Every mail
    service answers, certificates and DNS are in order, no cause holds, no temporary state was left behind, no mail is delayed, and the probes that failed in
    the outage are well.
  - Writes C(verification.json), and shows what failed, what was not tested and what passed. It touches no host, and never fails for what it finds.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
options:
  before:
    description:
      - The folder of the run that diagnosed the outage.
      - When empty, the newest run beside this one that found mail ill, unless a later one was verified. V(none) for no such run.
    type: path
    default: ""
  language:
    description: The language of the checks' texts.
    type: str
    default: en
    choices: [en, nl]
  show:
    description: Whether to show the result on the terminal.
    type: bool
    default: true
attributes:
  check_mode:
    description: Judges what is there.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_canaries
  - module: mailops.outage.mail_diagnosis
"""

EXAMPLES = r"""
- name: See whether mail works
  mailops.outage.mail_verification:
    run_dir: "{{ run.dir }}"
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
before:
  description: The run of the outage that it was compared with.
  returned: success
  type: str
  sample: 20261124T013012Z-9c1b
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
