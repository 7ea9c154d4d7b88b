#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_dns_info
short_description: Look at what DNS says of a mail estate, against what the estate really serves
version_added: 0.1.0
author: mailops.outage contributors (@mailops)
description:
  - Looks up MX, addresses, reverse names, SPF, DKIM, DMARC, MTA-STS and TLSA records of mail domains, and block lists when asked.
  - Each is compared with what the hosts have, given as O(hosts), O(sending_addresses), O(dkim_keys) and O(served). What is not given is not compared.
  - All is asked side by side. A resolver that is dead costs one time-out, not one a question.
  - Where an MX or a client's name leads to a host that is not known as ours, that host is asked whether it takes our mail or serves the name.
    This ends after C(RCPT), no message is sent. A filter or a load balancer in front of the estate is so told from a wrong record.
  - A broken zone is a successful look. The module fails only when it could not look.
  - Runs on the controller. See the examples.
requirements:
  - dnspython >= 2.1 on the controller
options:
  domains:
    description:
      - The mail domains. At most 50.
      - Names that the public DNS does not serve (C(.local), C(.internal), single labels) are left out, which RV(not_visible) says.
    type: list
    elements: str
    default: []
  resolvers:
    description: Name servers to ask, as V(ADDRESS) or V(ADDRESS#PORT). Those of C(/etc/resolv.conf) when not given.
    type: list
    elements: str
    default: []
  hosts:
    description: The estate's mail hosts.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The host's name in DNS, or an address.
        type: str
        required: true
      addresses:
        description:
          - The addresses on its interfaces. With private addresses only, address translation is reckoned with, and an unknown public address is not called wrong.
        type: list
        elements: str
        default: []
  sending_addresses:
    description:
      - The addresses that mail leaves from, for reverse names, SPF and block lists.
      - A private one is judged only in a network where all addresses are private.
    type: list
    elements: str
    default: []
  served:
    description: Observations of port 25, as in RV(mailops.outage.mail_endpoint_info#module:endpoints), for the names in the certificates.
    type: list
    elements: dict
    default: []
  dkim_keys:
    description: The keys that the hosts sign with. Selectors cannot be listed by DNS, so without this option DKIM is not looked at.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The signing domain.
        type: str
        required: true
      selector:
        description: The selector.
        type: str
        required: true
      public_key:
        description: The public key, as base64 of its C(SubjectPublicKeyInfo) in DER.
        type: str
        required: true
  client_names:
    description: Names that mail programs use, which must lead to the estate.
    type: list
    elements: str
    default: []
  blocklists:
    description:
      - Zones of DNS block lists. None is asked unless it is named here.
      - Use a resolver of your own. Many lists answer public resolvers with error codes, which are reported as such and never as a listing.
      - A label that looks like a subscriber's key is not shown.
    type: list
    elements: str
    default: []
  fetch_mta_sts:
    description: Fetch the MTA-STS policy from C(https://mta-sts.DOMAIN/.well-known/mta-sts.txt) when the domain announces one.
    type: bool
    default: false
  ca_file:
    description: Trust the authorities in this PEM file instead of those of the system when the policy is fetched.
    type: path
  timeout:
    description: Seconds for one question, its repetition included.
    type: float
    default: 4
  deadline:
    description: Seconds for all questions together.
    type: float
    default: 20
attributes:
  check_mode:
    description: Can run in check mode and return the same as without, as nothing is ever changed.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: N/A
notes:
  - DNSSEC is not validated here. The C(AD) bit of the resolver is believed where it decides whether senders use a TLSA record.
  - TLSA records about an authority (usage 2) are reported and not compared.
  - SPF is evaluated for C(postmaster@DOMAIN). C(exp=) is not fetched.
  - Records are written by others. They are data to judge, and are cleaned of control characters.
seealso:
  - module: mailops.outage.mail_endpoint_info
  - module: mailops.outage.mail_host_info
"""

EXAMPLES = r"""
- name: Look at the DNS of a domain
  mailops.outage.mail_dns_info:
    domains: [example.test]
  delegate_to: localhost
  register: __dns

- name: Look at an estate, by its own name server
  mailops.outage.mail_dns_info:
    domains: [example.test]
    resolvers: [192.0.2.53]
    hosts:
      - {name: mail.example.test, addresses: [192.0.2.25, "2001:db8::25"]}
    sending_addresses: [192.0.2.25, "2001:db8::25"]
    dkim_keys: "{{ __host.facts.dkim['keys'] | selectattr('public_key') }}"
    client_names: [smtp.example.test, imap.example.test]
    fetch_mta_sts: true
  delegate_to: localhost
  register: __dns

- name: Ask block lists too
  mailops.outage.mail_dns_info:
    sending_addresses: [192.0.2.25]
    blocklists: [bl.example.net]
  delegate_to: localhost

- name: Fail when DNS breaks mail
  ansible.builtin.assert:
    that: __dns.problems | selectattr('severity', 'eq', 'error') | length == 0
    fail_msg: "{{ __dns.problems | map(attribute='text') | join('; ') }}"
"""

RETURN = r"""
@SAMPLES@
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailops.outage.plugins.module_utils.dns import look as looking


def main():
    module = AnsibleModule(
        argument_spec={
            "domains": {"type": "list", "elements": "str", "default": []},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "hosts": {"type": "list", "elements": "dict", "default": [], "options": {
                "name": {"type": "str", "required": True},
                "addresses": {"type": "list", "elements": "str", "default": []},
            }},
            "sending_addresses": {"type": "list", "elements": "str", "default": []},
            "served": {"type": "list", "elements": "dict", "default": []},
            "dkim_keys": {"type": "list", "elements": "dict", "default": [], "no_log": False, "options": {
                "domain": {"type": "str", "required": True},
                "selector": {"type": "str", "required": True},
                "public_key": {"type": "str", "required": True, "no_log": False},
            }},
            "client_names": {"type": "list", "elements": "str", "default": []},
            "blocklists": {"type": "list", "elements": "str", "default": []},
            "fetch_mta_sts": {"type": "bool", "default": False},
            "ca_file": {"type": "path"},
            "timeout": {"type": "float", "default": looking.TIMEOUT},
            "deadline": {"type": "float", "default": looking.DEADLINE},
        },
        supports_check_mode=True,
    )
    try:
        found = looking.look(module.params)
    except looking.LibraryMissing as problem:
        module.fail_json(msg=missing_required_lib("dnspython"), exception="".join(traceback.format_exception(problem)))
    except looking.BadQuestion as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=False, failed=False, **found)


if __name__ == "__main__":
    main()
