#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_observation
short_description: Look at a mail host from inside and from outside, and keep what was seen
version_added: 0.1.0
description:
  - Calls M(mailops.outage.mail_host_info) on the host and, at the same time, probes the host's mail ports from the controller.
  - Writes all that was seen to the folder of the run.
  - A host that cannot be reached, refuses the login, has no Python or asks for a sudo password is a finding and not a failure.
    When sudo does not let us, the host is looked at without root.
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
  - mailops.outage.attributes.run
options:
  address:
    description: The address or name that the host's mail ports are probed at, the inventory name when empty.
    type: str
    default: ""
  deadline:
    description: Seconds after which the host's answer is taken as it is.
    type: int
    default: 20
  domains:
    description: The mail domains, asked of the host's resolver.
    type: list
    elements: str
    default: []
  log_files:
    description: Mail log files, where they are in no usual place.
    type: list
    elements: str
    default: []
  ca_file:
    description: A file of trusted authorities on the controller.
    type: path
"""

EXAMPLES = r"""
- name: Look at the host
  mailops.outage.mail_observation:
    run_dir: "{{ run.dir }}"
    address: "{{ ansible_host | default(inventory_hostname) }}"
"""

RETURN = r"""
connected:
  description: Whether the host could be looked at from inside.
  returned: success
  type: bool
  sample: true
connection:
  description: How the connection went.
  returned: success
  type: dict
  contains:
    ok:
      description: Whether it worked.
      type: bool
    kind:
      description: V(ok), or what kept us out, such as V(timeout), V(refused), V(auth), V(host_key), V(no_python) or V(sudo).
      type: str
    text:
      description: What was said about it.
      type: str
  sample: {"ok": true, "kind": "ok", "text": ""}
answering:
  description: The protocols that answered the controller.
  returned: success
  type: list
  elements: str
  sample: ["imap", "imaps", "smtp", "submission"]
not_visible:
  description: How many things could not be seen; the observation says which.
  returned: success
  type: int
  sample: 0
"""
