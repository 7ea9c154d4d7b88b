#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_dns_info
short_description: Look at what DNS says of a mail estate, against what the estate really serves
version_added: 0.1.0
author: mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
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
      - The mail domains. At most 200.
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
          - The addresses on its interfaces.
          - With private addresses only, address translation is reckoned with, and an unknown public address is not called wrong.
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
domains:
  description: What DNS says of each domain. Where C(mx_error) is other than V(null) or V(no_data), nothing else was asked of it.
  returned: always
  type: dict
  contains:
    mx:
      description:
        - The MX hosts, in the order of their preference. Without an MX record the domain itself, when it has an address.
        - C(ours) is whether its addresses are those of O(hosts), V(null) where that cannot be told. C(takes_mail) is what a host that is
          not ours said to a recipient of the domain, C(answer) its words. C(cname) is the target when the name is an alias, which it must not be.
      type: list
      elements: dict
      sample:
        - preference: 10
          host: mail.outside.test
          addresses: [10.89.85.2]
          cname: null
          ours: false
          takes_mail: false
          answer: "reject 554 5.7.1 <postmaster@single.test>: Relay access denied"
          error: null
    mx_error:
      description: Why there is no MX record. One of C(nxdomain), C(no_data), C(servfail), C(refused), C(timeout), C(garbage), C(no_answer), or null.
      type: str
      sample: null
    null_mx:
      description: Whether the domain says that it takes no mail (RFC 7505).
      type: bool
      sample: false
    implicit_mx:
      description: Whether the domain's own address stands in for an MX record (RFC 5321, 5.1).
      type: bool
      sample: false
    nameservers:
      description: The zone's own name servers, asked themselves. C(working) is null where they were not asked.
      type: list
      elements: dict
      sample:
        - {name: ns.outside.test, address: 10.89.85.2, working: true, serial: 1, error: ""}
    ns_consistent:
      description: Whether all that answer give the same MX records. Null when none answers us directly.
      type: bool
      sample: true
    spf:
      description:
        - The SPF record (RFC 7208). C(lookups) counts those of all branches, C(permits) is the result for each of O(sending_addresses),
          C(networks) and C(leans_on) are the networks and the names that the record itself gives.
      type: dict
      sample:
        record: v=spf1 mx -all
        valid: true
        error: ""
        count: 1
        lookups: 1
        networks: []
        leans_on: [single.test]
        permits: {10.89.85.10: fail}
    dkim:
      description: The record of each of O(dkim_keys) of the domain (RFC 6376). C(matches) is whether it holds the key that the host signs with.
      type: list
      elements: dict
      sample:
        - selector: lab1
          domain: single.test
          record_found: true
          valid: true
          revoked: false
          testing: false
          matches: true
          key_bits: 2048
          error: ""
    dmarc:
      description: The DMARC record (RFC 7489, RFC 9989), also one that stands above the domain, at C(found_at).
      type: dict
      sample:
        record: v=DMARC1; p=quarantine; rua=mailto:postmaster@single.test
        found_at: single.test
        valid: true
        policy: quarantine
        alignment: {dkim: relaxed, spf: relaxed}
        error: ""
    mta_sts:
      description: The MTA-STS record and, when fetched, the policy (RFC 8461). C(mx_match) is whether the policy allows every MX host.
      type: dict
      sample: {record: null, valid: null, id: null, policy: null, mx_match: null, error: ""}
    tlsa:
      description: The TLSA records of the MX hosts (RFC 7672). C(matches) is whether the certificate that is served now fits, null where not compared.
      type: list
      elements: dict
      sample:
        - {host: mail.single.test, port: 25, usage: 3, selector: 1, mtype: 1, matches: true, error: ""}
hosts:
  description: The addresses that DNS gives for the names of O(hosts).
  returned: always
  type: dict
  sample:
    mail.single.test: {addresses: [10.89.85.10], error: null}
client_names:
  description: The addresses of O(client_names). C(serves) is what a host that is not ours was seen to serve under the name.
  returned: always
  type: dict
  sample:
    imap.single.test: {addresses: [10.89.85.10], error: null, ours: true, serves: null, answer: ""}
reverse:
  description: The reverse names of O(sending_addresses), and whether one of them leads back to the address.
  returned: always
  type: list
  elements: dict
  sample:
    - {address: 10.89.85.10, names: [mail.single.test], forward_confirmed: true, error: null}
blocklists:
  description: Each of O(sending_addresses) on each of O(blocklists). C(error) is that the list said nothing that can be believed, for the reason in C(text).
  returned: always
  type: list
  elements: dict
  sample:
    - {zone: bl.outside.test, address: 10.89.85.10, listed: true, answer: 127.0.0.4, error: false, text: "", reason: spam seen}
resolvers:
  description: The name servers that were asked. C(seconds) is the time of the quickest answer.
  returned: always
  type: list
  elements: dict
  sample:
    - {address: 10.89.85.2, working: true, error: "", seconds: 0.002}
problems:
  description:
    - What is wrong, the gravest first. C(source) is the command that shows it again.
    - C(severity) is C(error) for what breaks mail by itself, C(warning) for what breaks some of it or cannot be told for sure, C(info) for the rest.
    - C(follows) is the C(id) of the problem that brings this one about, or empty. Repair that one first.
    - "The ids are V(mx_missing), V(mx_wrong), V(mx_unresolvable), V(mx_cname), V(zone_unreachable), V(ns_inconsistent), V(ns_broken), V(name_missing),
      V(name_wrong), V(host_name_missing), V(ptr_missing), V(ptr_mismatch), V(spf_missing), V(spf_multiple), V(spf_invalid), V(spf_omits_sender),
      V(spf_too_many_lookups), V(dkim_missing), V(dkim_mismatch), V(dkim_revoked), V(dkim_weak), V(dmarc_missing), V(dmarc_invalid), V(mta_sts_invalid),
      V(mta_sts_unreachable), V(mta_sts_mismatch), V(tlsa_mismatch), V(blocklisted), V(blocklist_broken), V(resolver_broken)."
  returned: always
  type: list
  elements: dict
  sample:
    - id: mx_wrong
      severity: error
      subject: single.test
      text: >-
        the MX mail.outside.test of single.test (10.89.85.2) is not one of our hosts and does not take our mail:
        reject 554 5.7.1 <postmaster@single.test>: Relay access denied
      source: dig +short MX single.test @10.89.85.2
      follows: ""
    - id: spf_omits_sender
      severity: info
      subject: single.test
      text: "the SPF record of single.test does not permit our address 10.89.85.10 (fail): v=spf1 mx -all"
      source: dig +short TXT single.test @10.89.85.2
      follows: mx_wrong
not_visible:
  description: What could not be seen or told, and why.
  returned: always
  type: list
  elements: str
  sample:
    - "10.89.85.10 is a private address, and others see another one: its reverse name and SPF were not judged"
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
    except looking.LibraryMissing:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=traceback.format_exc())
    except looking.BadQuestion as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=False, failed=False, **found)


if __name__ == "__main__":
    main()
