#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_repair_flush
short_description: Let the mail go that waited for a repair
version_added: 0.1.0
description:
  - Flushes the queue of a host once, by the remedy C(flush_queue) of M(mailops.outage.mail_remedy); what that refuses is no failure, for the mail then goes
    by itself later. Both are in the journal.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.run
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
seealso:
  - module: mailops.outage.mail_remedy
"""

EXAMPLES = r"""
- name: Let the mail go that waited
  mailops.outage.mail_repair_flush:
    run_dir: "{{ run.dir }}"
  become: true
"""

RETURN = r"""
flushed:
  description: Whether the queue was flushed.
  returned: success
  type: bool
  sample: true
because:
  description: Why not; empty also when nothing waited.
  returned: success
  type: str
  sample: ""
"""
