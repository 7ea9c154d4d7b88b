#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_repair_note
short_description: Add an entry to the journal of a run
version_added: 0.1.0
description:
  - Adds one line to C(journal.jsonl), bound to the line before it by its digest, and on the disk before the task ends.
  - Values under names that tell of a secret are left out.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
options:
  event:
    description: What happens, in one word.
    type: str
    required: true
  details:
    description: What is to be known of it.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Writes nothing.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_plan
"""

EXAMPLES = r"""
- name: Put on record that the console was used
  mailops.outage.mail_repair_note:
    run_dir: reports/latest
    event: by_hand
    details:
      who: Anna de Vries
      what: restarted the storage array
"""

RETURN = r"""
digest:
  description: The digest of the entry, in hex.
  returned: when it was written
  type: str
  sample: 0f4c1f2b5d6e7a8990a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667
"""
