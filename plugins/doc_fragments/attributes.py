# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations


class ModuleDocFragment:
    """What modules of this collection have in common: those that only look, that work on a run's folder, that know the estate, that are mail clients."""

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

    JOURNEYS = r"""
options:
  external_accounts:
    description: Mailboxes outside, each with C(address), C(login), C(password), C(smtp_host), C(smtp_port), C(imap_host) and C(imap_port). The first is used.
    type: list
    elements: dict
    default: []
  pop3_host:
    description: The name by which mail programs read with POP3.
    type: str
    default: ""
  resolvers:
    description: Name servers that know the servers outside; the system's resolver when empty.
    type: list
    elements: str
    default: []
"""

    CLIENT = r"""
requirements:
  - paramiko >= 3.4 where the module runs, only for O(hop)
options:
  hop:
    description:
      - Connect through this SSH server (C(direct-tcpip), as C(ssh -W) does). It needs to allow TCP forwarding, and nothing else. Names are resolved there.
      - The host key must be known already. An unknown or changed key is never accepted, and reported as outcome C(untrusted) at step C(vantage).
    type: dict
    suboptions:
      host:
        description: Name or address of the SSH server.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 22
      user:
        description: The user to log in as. The default is the user that the module runs as.
        type: str
      private_key_file:
        description: The private key. Without it the SSH agent and the user's own keys are tried.
        type: path
      known_hosts_file:
        description: The known host keys. The default is the user's own file.
        type: path
      timeout:
        description: Seconds for connecting and logging in to the SSH server.
        type: float
        default: 10
  helo:
    description: The name to greet SMTP and LMTP servers with. The default is the fully-qualified name of the machine.
    type: str
  ca_file:
    description: Trust the authorities in this PEM file instead of those of the system.
    type: path
"""
