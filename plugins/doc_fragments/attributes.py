# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations


class ModuleDocFragment:
    """What the modules of this collection that only look have in common."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the same as without, because it changes nothing.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode. Nothing ever changes.
    support: none
"""

    RUN = r"""
options:
  run_dir:
    description: The folder of the run, as M(mailops.outage.mail_run) returned it in RV(mailops.outage.mail_run#module:dir).
    type: path
    required: true
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
"""

    ESTATE = r"""
options:
  probe_accounts:
    description: Accounts of our own that log in, each with C(address), C(login) and C(password).
    type: list
    elements: dict
    default: []
  submission_host:
    description: The name by which mail programs send.
    type: str
    default: ""
  imap_host:
    description: The name by which mail programs read with IMAP.
    type: str
    default: ""
  ca_file:
    description: Trust the authorities in this PEM file instead of those of the system.
    type: path
"""
