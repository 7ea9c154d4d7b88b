#!/usr/bin/python
# Copyright (c) 2026, mailops.outage contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_endpoint_info
short_description: See what a client sees of mail servers
version_added: 0.1.0
description:
  - Connects to SMTP, LMTP, IMAP, POP3 and ManageSieve endpoints as a mail client or a peer would, all side by side, and
    reports each step with its time and the server's own words - name, connect, TLS, greeting, capabilities, STARTTLS,
    certificate, login, mailbox, sender and recipients.
  - Nothing is changed and no message is sent. Recipients are asked for with C(RCPT TO), after which the transaction is
    reset; a mailbox is opened for reading only.
  - A server that is down, slow, broken or hostile is a successful result. The module fails only when it cannot look.
  - Runs on the controller or on any host with Python. With O(hop) the connections are made by the SSH server of a vantage
    point that needs no Python.
author:
  - mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
  - mailops.outage.attributes.client
attributes:
  platform:
    support: full
    platforms: posix
    description: Target OS/families that can be operated against.
options:
  endpoints:
    description:
      - What to look at.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name that clients use. The certificate is judged against it. An IP address is allowed.
        type: str
        required: true
      address:
        description:
          - The IP address to connect to. Without it the first address of O(endpoints[].name) is taken, in the order of the
            system that connects.
        type: str
      protocol:
        description:
          - What is spoken there. V(submissions), V(imaps) and V(pop3s) begin with TLS. Follows from a well-known O(endpoints[].port).
        type: str
        choices: [smtp, submission, submissions, lmtp, imap, imaps, pop3, pop3s, sieve]
      port:
        description:
          - The TCP port. Follows from O(endpoints[].protocol); one of the two is required.
        type: int
      starttls:
        description:
          - V(auto) uses STARTTLS where it is offered, and misses it (outcome C(no_starttls)) where a client needs it, which is
            for V(submission) and for a login, unless the address is loopback.
          - V(required) misses it everywhere, V(never) does without.
          - When it is refused, V(smtp) and V(lmtp) go on in plaintext as a peer would, to see whether mail is accepted, and the refusal is reported at the end.
        type: str
        choices: [auto, required, never]
        default: auto
      login:
        description:
          - Log in with this account. On IMAP and POP3 the inbox is then opened, for reading only.
          - The password is sent under verified TLS or to a loopback address only.
        type: dict
        suboptions:
          username:
            description: The login name.
            type: str
            required: true
          password:
            description: The password. It appears in no result, also when the server repeats it.
            type: str
            required: true
          mechanism:
            description:
              - Use this one, offered or not. V(LOGIN) stands for C(AUTH LOGIN) of SMTP, the C(LOGIN) command of IMAP, and C(USER) and C(PASS) of POP3.
              - Without it C(PLAIN) is taken where offered.
            type: str
            choices: [PLAIN, LOGIN]
          unverified:
            description: Send the password also to a server whose certificate does not verify. Whoever can redirect the name can then collect it.
            type: bool
            default: false
      sender:
        description: The envelope sender for O(endpoints[].recipients). The default is the empty sender, that of bounces.
        type: str
        default: ''
      recipients:
        description:
          - Ask whether mail to these addresses would be accepted (SMTP and LMTP only). A refused one makes the endpoint not RV(endpoints[].ok).
        type: list
        elements: str
        default: []
      relay_check:
        description:
          - Ask also whether mail to an address elsewhere would be accepted, which an MX must refuse to strangers. The answer is in RV(endpoints[].envelope)
            with C(kind=relay) and does not change RV(endpoints[].ok).
        type: dict
        suboptions:
          sender:
            description: The envelope sender.
            type: str
            default: ''
          recipient:
            description: An address of a domain that the server is not responsible for.
            type: str
            required: true
  vantage:
    description: What to call the place that is probed from. The default is the host of O(hop), else the name of the machine.
    type: str
  connect_timeout:
    description: Seconds for a TCP connection.
    type: float
    default: 5
  step_timeout:
    description: Seconds for each other step. A greeting alone may take 6 where a server holds strangers back.
    type: float
    default: 10
  probe_timeout:
    description: Seconds for one endpoint in all.
    type: float
    default: 20
  timeout:
    description: Seconds for all endpoints together. What was not begun by then has the outcome C(not_tried).
    type: float
    default: 60
seealso:
  - module: ansible.builtin.wait_for
"""

EXAMPLES = r"""
- name: See what clients see
  mailops.outage.mail_endpoint_info:
    endpoints:
      - {name: mail.example.test, protocol: smtp}
      - {name: mail.example.test, protocol: submission}
      - {name: mail.example.test, protocol: imaps}
  delegate_to: localhost
  register: seen

- name: Name what is ill
  ansible.builtin.debug:
    msg: "{{ item.id }} stopped at {{ item.step }}: {{ item.outcome }} {{ item.answer }}"
  loop: "{{ seen.endpoints | rejectattr('ok') }}"

- name: Log in, and see whether the inbox opens
  mailops.outage.mail_endpoint_info:
    ca_file: /etc/ssl/example-ca.pem
    endpoints:
      - name: mail.example.test
        protocol: imaps
        login:
          username: canary@example.test
          password: "{{ canary_password }}"

- name: Ask the MX whether it takes our mail and refuses that of others
  mailops.outage.mail_endpoint_info:
    endpoints:
      - name: mail.example.test
        protocol: smtp
        sender: probe@remote.test
        recipients: [canary@example.test]
        relay_check:
          sender: probe@remote.test
          recipient: somebody@elsewhere.test

- name: Look from outside, through a machine that has SSH and nothing else
  mailops.outage.mail_endpoint_info:
    hop:
      host: outside.example.test
      user: probe
      private_key_file: /etc/mailops/probe_key
      known_hosts_file: /etc/mailops/known_hosts
    endpoints:
      - {name: mail.example.test, address: 192.0.2.25, port: 25}
"""

RETURN = r"""
endpoints:
  description: One observation an endpoint, in the order of the parameter. All keys are always there.
  returned: success
  type: list
  elements: dict
  sample:
    - id: mail.single.test:993/imaps
      name: mail.single.test
      address: 10.89.82.10
      port: 993
      protocol: imaps
      vantage: controller
      ok: true
      step: null
      outcome: ok
      code: null
      answer: a3 OK [READ-ONLY] Examine completed (0.001 + 0.000 secs).
      banner: '* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] Dovecot (Debian)
        ready.'
      capabilities: [IMAP4REV1, SASL-IR, LOGIN-REFERRALS, ID, ENABLE, IDLE, LITERAL+, AUTH=PLAIN, AUTH=LOGIN]
      mechanisms: [PLAIN, LOGIN]
      steps:
      - {step: connect, ok: true, seconds: 0.0, answer: 10.89.82.10}
      - {step: tls, ok: true, seconds: 0.023, answer: TLSv1.3 TLS_AES_256_GCM_SHA384}
      - {step: certificate, ok: true, seconds: 0.0, answer: verified}
      - {step: greeting, ok: true, seconds: 0.003, answer: '* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE
          LITERAL+ AUTH=PLAIN AUTH=LOGIN] Dovecot (Debian) ready.'}
      - {step: capabilities, ok: true, seconds: 0.002, answer: 'a1 OK Pre-login capabilities listed, post-login capabilities have
          more.'}
      - {step: login, ok: true, seconds: 0.064, answer: a2 OK Logged in}
      - {step: mailbox, ok: true, seconds: 0.002, answer: 'a3 OK [READ-ONLY] Examine completed (0.001 + 0.000 secs).'}
      seconds: 0.097
      tls:
        version: TLSv1.3
        cipher: TLS_AES_256_GCM_SHA384
        verified: true
        verify_error: null
        verify_code: null
        name_matches: true
        certificate:
          subject: CN=mail.single.test
          issuer: CN=Mail lab authority
          names: [mail.single.test]
          serial: 791B05C64EDBB82CE3CE8A62A603D95F6FDF513D
          fingerprint: 380f622a9e676d562c83b74891bca3686fa10ac5bbc8079d8e0157ddc712b8b2
          not_before: '2026-10-09T21:37:15Z'
          not_before_epoch: 1791581835
          not_after: '2029-01-11T21:37:15Z'
          not_after_epoch: 1862861835
          days_left: 780.0
          self_signed: false
      mailbox: {exists: 0}
      envelope: []
    - id: mail.single.test:25/smtp
      name: mail.single.test
      address: 10.89.82.10
      port: 25
      protocol: smtp
      vantage: controller
      ok: true
      step: null
      outcome: ok
      code: 250
      answer: 250 2.0.0 Ok
      banner: 220 mail.single.test ESMTP Postfix (Debian)
      capabilities: [PIPELINING, SIZE 20480000, VRFY, ETRN, ENHANCEDSTATUSCODES, 8BITMIME, DSN, SMTPUTF8, CHUNKING]
      mechanisms: []
      steps:
      - {step: connect, ok: true, seconds: 0.0, answer: 10.89.82.10}
      - {step: greeting, ok: true, seconds: 0.026, answer: 220 mail.single.test ESMTP Postfix (Debian)}
      - {step: capabilities, ok: true, seconds: 0.002, answer: 250-mail.single.test 250-PIPELINING 250-SIZE 20480000 250-VRFY
          250-ETRN 250-STARTTLS 250-ENHANCEDSTATUSCODES 250-8BITMIME 250-DSN 250-SMTPUTF8 250 CHUNKING}
      - {step: starttls, ok: true, seconds: 0.003, answer: 220 2.0.0 Ready to start TLS}
      - {step: tls, ok: true, seconds: 0.003, answer: TLSv1.3 TLS_AES_256_GCM_SHA384}
      - {step: certificate, ok: true, seconds: 0.0, answer: verified}
      - {step: capabilities, ok: true, seconds: 0.005, answer: 250-mail.single.test 250-PIPELINING 250-SIZE 20480000 250-VRFY
          250-ETRN 250-ENHANCEDSTATUSCODES 250-8BITMIME 250-DSN 250-SMTPUTF8 250 CHUNKING}
      - {step: sender, ok: true, seconds: 0.004, answer: 250 2.1.0 Ok}
      - {step: recipient, ok: true, seconds: 0.003, answer: 250 2.1.5 Ok}
      - {step: reset, ok: true, seconds: 0.0, answer: 250 2.0.0 Ok}
      - {step: sender, ok: true, seconds: 0.003, answer: 250 2.1.0 Ok}
      - {step: recipient, ok: true, seconds: 0.006, answer: '554 5.7.1 <somebody@elsewhere.test>: Relay access denied'}
      - {step: reset, ok: true, seconds: 0.0, answer: 250 2.0.0 Ok}
      seconds: 0.06
      tls:
        version: TLSv1.3
        cipher: TLS_AES_256_GCM_SHA384
        verified: true
        verify_error: null
        verify_code: null
        name_matches: true
        certificate:
          subject: CN=mail.single.test
          issuer: CN=Mail lab authority
          names: [mail.single.test]
          serial: 791B05C64EDBB82CE3CE8A62A603D95F6FDF513D
          fingerprint: 380f622a9e676d562c83b74891bca3686fa10ac5bbc8079d8e0157ddc712b8b2
          not_before: '2026-10-09T21:37:15Z'
          not_before_epoch: 1791581835
          not_after: '2029-01-11T21:37:15Z'
          not_after_epoch: 1862861835
          days_left: 780.0
          self_signed: false
      mailbox: null
      envelope:
      - {kind: recipient, sender: probe@outside.test, recipient: alice@single.test, step: recipient, code: 250, answer: 250 2.1.5
          Ok, accepted: true}
      - {kind: relay, sender: probe@outside.test, recipient: somebody@elsewhere.test, step: recipient, code: 554, answer: '554
          5.7.1 <somebody@elsewhere.test>: Relay access denied', accepted: false}
  contains:
    id:
      description: Name, port and protocol in one word.
      type: str
    name:
      description: The name as asked for.
      type: str
    address:
      description: The address that was connected to. Null when it was not found, or when the vantage point looked it up.
      type: str
    port:
      description: The TCP port.
      type: int
    protocol:
      description: The protocol.
      type: str
    vantage:
      description: Where from.
      type: str
    ok:
      description:
        - Whether the conversation went well up to its last step, with mail to all recipients accepted.
        - Says nothing about the trust in the certificate, which is in RV(endpoints[].tls.verified), nor about an open relay.
      type: bool
    step:
      description:
        - Where it stopped, one of C(vantage), C(name), C(connect), C(tls), C(greeting), C(capabilities), C(starttls), C(login), C(mailbox),
          C(sender), C(recipient), C(reset). Null when it did not stop.
        - C(vantage) means that the vantage point failed, so that nothing is known about the endpoint.
      type: str
    outcome:
      description:
        - V(ok).
        - V(no_name), the name does not exist; V(tempfail) at step C(name), the resolver could not tell.
        - V(refused), V(unreachable) and V(timeout) of the network; V(reset) and V(closed), the connection was ended.
        - V(silent), connected, but never a byte came; V(timeout), an answer did not come in time.
        - V(garbage), not the protocol, or more than a server may send; V(protocol_error), an answer that the protocol does not allow at that point.
        - V(tempfail) and V(reject), the server said so (4xx and 5xx, or the like).
        - V(tls_failed), no TLS session could be set up, or at step C(login) the server was not trusted with the password.
        - V(no_starttls), STARTTLS was needed and not offered.
        - V(login_failed), the server refused the account; V(login_unavailable), the server could not check it.
        - V(no_mechanism), no common or allowed way to log in.
        - V(untrusted), the host key of the vantage point is unknown or has changed.
        - V(not_tried), the time for all endpoints was over.
      type: str
    code:
      description: The last reply code of SMTP and LMTP.
      type: int
    answer:
      description: The last words of the server, or of the system. Data from outside.
      type: str
    banner:
      description: The greeting. Data from outside.
      type: str
    capabilities:
      description: What the server offers; under TLS where TLS was used.
      type: list
      elements: str
    mechanisms:
      description: The SASL mechanisms of these.
      type: list
      elements: str
    steps:
      description: Every step in order. C(certificate) tells whether a client would trust it. When it would not, the steps are those of a second connection.
      type: list
      elements: dict
      contains:
        step:
          description: Its name.
          type: str
        ok:
          description: Whether it went well. For a relay check that is a refusal.
          type: bool
        seconds:
          description: How long it took.
          type: float
        answer:
          description: What was said.
          type: str
    seconds:
      description: How long all of it took.
      type: float
    tls:
      description: The TLS session. Null when there was none.
      type: dict
      contains:
        version:
          description: The protocol version. Null when only the verifying connection got that far.
          type: str
        cipher:
          description: The cipher suite.
          type: str
        verified:
          description: Whether a client that checks chain, dates and name would accept it.
          type: bool
        verify_error:
          description: Why not.
          type: str
        verify_code:
          description: The number of that in OpenSSL, such as 10 (expired), 9 (not yet valid), 18 and 19 (self-signed), 20 (issuer not found), 62 (wrong name).
          type: int
        name_matches:
          description: Whether the certificate is for the name, whatever else is wrong.
          type: bool
        certificate:
          description: The certificate served. Null when only the verifying connection got that far.
          type: dict
          contains:
            subject:
              description: Its owner.
              type: str
            issuer:
              description: Its issuer.
              type: str
            names:
              description: The DNS names and addresses that it is for.
              type: list
              elements: str
            serial:
              description: Its number in hex.
              type: str
            fingerprint:
              description: SHA-256 over the certificate, in lower-case hex.
              type: str
            not_before:
              description: From when it is valid.
              type: str
            not_before_epoch:
              description: The same in seconds of the epoch.
              type: int
            not_after:
              description: Until when it is valid.
              type: str
            not_after_epoch:
              description: The same in seconds of the epoch.
              type: int
            days_left:
              description: Days until then, negative after it.
              type: float
            self_signed:
              description: Whether it was issued in its own name.
              type: bool
    mailbox:
      description: The inbox, when a login to IMAP or POP3 was asked for and the inbox opened, else null.
      type: dict
      contains:
        exists:
          description: The number of messages.
          type: int
    envelope:
      description: What was asked of SMTP and LMTP about senders and recipients.
      type: list
      elements: dict
      contains:
        kind:
          description: V(recipient) or V(relay).
          type: str
        sender:
          description: The envelope sender.
          type: str
        recipient:
          description: The recipient.
          type: str
        step:
          description: Which command the answer is to, C(sender) or C(recipient).
          type: str
        code:
          description: The reply code.
          type: int
        answer:
          description: The server's words.
          type: str
        accepted:
          description: Whether the recipient would be accepted.
          type: bool
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mailops.outage.plugins.module_utils.wire import client
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import PORTS, BadRequest, probe_all

_ENDPOINT = {
    **client.server(PORTS, ("PLAIN", "LOGIN")),
    "sender": {"type": "str", "default": ""},
    "recipients": {"type": "list", "elements": "str", "default": []},
    "relay_check": {"type": "dict", "options": {"sender": {"type": "str", "default": ""}, "recipient": {"type": "str", "required": True}}},
}


def options_of(params):
    """The module's parameters as the options of ``probe_all``."""
    return {
        **client.settings(params), "vantage": params["vantage"], "connect": params["connect_timeout"], "step": params["step_timeout"],
        "total": params["probe_timeout"], "overall": params["timeout"],
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "endpoints": {"type": "list", "elements": "dict", "required": True, "options": _ENDPOINT, "required_one_of": [("protocol", "port")]},
            **client.OPTIONS,
            "vantage": {"type": "str"},
            "connect_timeout": {"type": "float", "default": 5},
            "step_timeout": {"type": "float", "default": 10},
            "probe_timeout": {"type": "float", "default": 20},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        seen = probe_all(module.params["endpoints"], options_of(module.params))
    except BadRequest as problem:
        module.fail_json(msg=str(problem))
    except ImportError as problem:
        module.fail_json(msg=missing_required_lib(problem.name or "paramiko"))
    module.exit_json(changed=False, failed=False, endpoints=seen)


if __name__ == "__main__":
    main()
