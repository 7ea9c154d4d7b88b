#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_run
short_description: Open a run of the diagnosis
version_added: 0.1.0
description:
  - Makes the folder that the other steps of a diagnosis write to and read from, and lays the log signatures of the catalogue ready.
  - Refuses a log window that is empty or lies in the future, a folder that cannot be written, and a catalogue with a wrong entry.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
options:
  report_dir:
    description: The folder of all reports, on the controller.
    type: path
    required: true
  run_id:
    description: The name of the run, made from the time when empty.
    type: str
    default: ""
  catalogue_dir:
    description: The folder of the catalogue of causes.
    type: path
    required: true
  window:
    description: How far back the logs are read, in seconds.
    type: int
    default: 3600
  since:
    description: The begin of the log window in epoch seconds, instead of O(window).
    type: float
  reported_user:
    description: The mail address of a user who reported a fault, checked here so that a slip of the pen costs no look.
    type: str
    default: ""
  severity_rules:
    description: The table of severities, checked here for the same reason.
    type: list
    elements: dict
    default: []
  until:
    description: The end of the log window in epoch seconds, now when not given.
    type: float
"""

EXAMPLES = r"""
- name: Open a run
  mailops.outage.mail_run:
    report_dir: /srv/incidents
    catalogue_dir: roles/diagnose/files/catalogue
  register: run
"""

RETURN = r"""
run_id:
  description: The name of the run.
  returned: success
  type: str
  sample: 20261123T205107Z-4f2a
dir:
  description: The folder of the run.
  returned: success
  type: str
  sample: /srv/incidents/20261123T205107Z-4f2a
since:
  description: The begin of the log window in epoch seconds.
  returned: success
  type: float
  sample: 1795463467.2
until:
  description: The end of the log window in epoch seconds.
  returned: success
  type: float
  sample: 1795467067.2
causes_known:
  description: How many causes the catalogue holds.
  returned: success
  type: int
  sample: 118
signatures_known:
  description: How many log signatures the catalogue holds.
  returned: success
  type: int
  sample: 108
"""
