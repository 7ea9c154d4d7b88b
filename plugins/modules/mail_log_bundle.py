#!/usr/bin/python
# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_log_bundle
short_description: Keep the evidence that a repair of a mail host would lose
version_added: 0.1.0
author:
  - mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
description:
  - Puts logs of a time window and the present state of a mail host into one compressed tar file on the controller. Mail logs with their
    rotations or the journal, messages of the kernel and of the system's manager, processes, listeners, units, the queue, the settings of Postfix
    and Dovecot, and the history of packages.
  - The file V(manifest.json) in it tells source, size and SHA-256 of each part, the window, and what was left out and why.
  - Passwords do not get in. Those that the files of the host hold are looked for by their content, whatever the type of the table; logins,
    tokens and keys also by their form.
  - Nothing is written on the host, whose disks may be full. The work there has a low priority, and is bounded in time and size.
options:
  dest:
    description: The file to write, on the controller. Its folder is made; it can be read by its owner only.
    type: path
    required: true
  since:
    description:
      - Start of the window, as epoch seconds or ISO 8601. A moment without an offset is UTC.
      - One hour before O(until) when not given.
    type: str
  until:
    description: End of the window, in the same forms. Now when not given.
    type: str
  most_bytes:
    description: The most bytes of evidence, before compression. At most 256 MiB.
    type: int
    default: 20971520
  most_bytes_file:
    description: The most bytes of one log, the newest of which are kept.
    type: int
    default: 8388608
  pseudonyms:
    description:
      - Replace local parts, domains and addresses of people and places by pseudonyms, which are equal for equal things within one bundle.
      - The key is drawn for the bundle and thrown away. Free text may still hold names.
    type: bool
    default: false
  log_files:
    description: Log files to read. Found by the configuration when not given.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Looks at the host in the same way, and writes no file.
    support: full
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Keep the evidence of the last two hours
  mailops.outage.mail_log_bundle:
    dest: "reports/latest/logs/{{ inventory_hostname }}.tar.gz"
    since: "{{ '%s' | strftime(now(utc=true).timestamp() - 7200) }}"
  become: true
"""

RETURN = r"""
path:
  description: The file on the controller.
  returned: success
  type: str
  sample: reports/latest/logs/mx1.tar.gz
sha256:
  description: The digest of the file.
  returned: success
  type: str
  sample: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
bytes:
  description: The size of the file.
  returned: success
  type: int
  sample: 48211
manifest:
  description: What the file holds, and what it does not.
  returned: success
  type: dict
  contains:
    schema:
      description: Version of this form.
      type: int
      sample: 1
    host:
      description: The name that the host has for itself.
      type: str
      sample: mx1
    taken:
      description: When it was taken.
      type: str
      sample: "2026-11-26T18:00:00Z"
    since:
      description: Start of the window.
      type: str
      sample: "2026-11-26T17:00:00Z"
    until:
      description: End of the window.
      type: str
      sample: "2026-11-26T18:00:00Z"
    pseudonyms:
      description: Whether names are pseudonyms.
      type: bool
      sample: false
    hidden:
      description: How many secrets were hidden.
      type: int
      sample: 0
    parts:
      description: What is in it.
      type: list
      elements: dict
      sample: [{"name": "logs/mail.log", "source": "/var/log/mail.log", "bytes": 91342, "sha256": "9f86d081884c7d65"}]
    left_out:
      description: What is not in it, and why.
      type: list
      elements: dict
      sample: [{"what": "/var/log/mail.log", "why": "the window holds more than is read at once; its beginning was left out"}]
"""

import base64
import hashlib
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailops.outage.plugins.module_utils.host import evidence
from ansible_collections.mailops.outage.plugins.module_utils.host._when import epoch_of
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context

MOST = 256 * 1024 * 1024


def main():
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "since": {"type": "str"},
            "until": {"type": "str"},
            "most_bytes": {"type": "int", "default": 20971520},
            "most_bytes_file": {"type": "int", "default": 8388608},
            "pseudonyms": {"type": "bool", "default": False},
            "log_files": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not 0 < given["most_bytes"] <= MOST or given["most_bytes_file"] <= 0:
        module.fail_json(msg=f"most_bytes is from 1 to {MOST}, and most_bytes_file more than 0.")
    try:
        moments = {name: epoch_of(given[name]) for name in ("since", "until") if given[name]}
    except ValueError as problem:
        module.fail_json(msg=f"since and until are moments: {problem}")
    if moments.get("since", 0) > moments.get("until", float("inf")):
        module.fail_json(msg="since lies after until.")
    os.nice(10)
    content, manifest = evidence.gather(Context(options=dict(moments, log_files=given["log_files"])), given["most_bytes"], given["most_bytes_file"],
                                        given["pseudonyms"])
    # The action takes the content out again when it has written it.
    module.exit_json(changed=False, content=base64.b64encode(content).decode("ascii"), bytes=len(content), sha256=hashlib.sha256(content).hexdigest(),
                     manifest=manifest)


if __name__ == "__main__":
    main()
