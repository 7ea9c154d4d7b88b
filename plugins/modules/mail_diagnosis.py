#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_diagnosis
short_description: Name the root cause of a mail outage, and write the reports
version_added: 0.1.0
description:
  - Compares the observations of a run with the catalogue of causes, ranks the causes, and says whether it is an outage, for whom and how severe.
  - Writes C(diagnosis.json), C(report.md) and C(report.html), points C(latest) at the run, and shows a summary on the terminal.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
  - mailops.outage.attributes.run
options:
  catalogue_dir:
    description: The folder of the catalogue of causes.
    type: path
    required: true
  language:
    description: The language of the summary and the reports.
    type: str
    default: en
    choices: [en, nl]
  severity_rules:
    description: The table of severities, each rule with C(when) (JMESPath) and C(severity). The built-in one when empty.
    type: list
    elements: dict
    default: []
  show:
    description: Whether to show the summary.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Name the root cause
  mailops.outage.mail_diagnosis:
    run_dir: "{{ run.dir }}"
    catalogue_dir: roles/diagnose/files/catalogue
  run_once: true
  register: diagnosis
"""

RETURN = r"""
verdict:
  description: V(healthy), V(degraded), V(outage) or V(unknown).
  returned: success
  type: str
  sample: outage
severity:
  description: From V(none) and V(sev4) to V(sev1).
  returned: success
  type: str
  sample: sev1
scope:
  description: How far it reaches.
  returned: success
  type: str
  sample: all_users
impact:
  description: What happens to mail meanwhile.
  returned: success
  type: str
  sample: refused
root_cause:
  description: The first cause.
  returned: success
  type: str
  sample: service.mta_stopped
host:
  description: The host of the first cause, empty for the estate as a whole.
  returned: success
  type: str
  sample: mx1.example.org
confidence:
  description: How sure the first cause is, from 0 to 1.
  returned: success
  type: float
  sample: 0.95
report:
  description: The path of the report.
  returned: success
  type: str
  sample: /srv/incidents/20261123T205107Z-4f2a/report.md
summary:
  description: The summary for the terminal. The callback P(mailops.outage.summary#callback) shows it as the last thing of the run.
  returned: success
  type: str
  sample: "OUTAGE SEV1 (critical) ..."
diagnosis:
  description: The path of diagnosis.json.
  returned: success
  type: str
  sample: /srv/incidents/20261123T205107Z-4f2a/diagnosis.json
"""
