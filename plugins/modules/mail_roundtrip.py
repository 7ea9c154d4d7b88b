#!/usr/bin/python
# Copyright (c) 2026, mailops.outage contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_roundtrip
short_description: Send canary messages and see them arrive
version_added: 0.1.0
description:
  - Sends a message for each pair of sender and mailbox, all side by side, waits for its arrival, compares what arrived with what was sent, and
    deletes it again.
    Each step is reported with its time and the server's own words.
  - A message is sent only to a mailbox that the module could open first, and of such a mailbox only messages with an unguessable token of this
    module's own are deleted, each after a search and a second look at its header fields.
  - Canaries carry C(X-Mailops-Canary) (the token) and C(X-Mailops-Run), and are marked C(Auto-Submitted) (RFC 3834), so that nobody answers them.
  - New mail is asked for every tenth of a second at first, less often after ten seconds; after half a minute an IMAP server that can (IDLE) is left to
    tell. A look by POP3 is a whole login, and rarer.
  - On one server no more than 40 sessions in mailboxes and 10 for sending are open at once, and no more than 10 are begun at once, so that its
    users still get in; further pairs wait for their turn. One that let three of them wait for nothing and answers nobody is not asked by the others.
  - A server that is down, slow, broken or hostile is a successful result. The module fails only when it cannot begin.
  - Runs on the controller or on any host with Python. With O(hop) the connections are made by the SSH server of a vantage point that needs no Python.
author:
  - mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes.client
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode). Nothing is sent, nor connected to; RV(would_send) says what would be sent.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
  platform:
    support: full
    platforms: posix
    description: Target OS/families that can be operated against.
options:
  pairs:
    description:
      - What to send, and where it is to arrive. A way out and a way back are two pairs.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What to call it. The default is made of O(pairs[].through) and O(pairs[].recipient).
        type: str
      sender:
        description: The sender, in the envelope and in the header. Bounces go there.
        type: str
        required: true
      recipient:
        description: The recipient, whose mail arrives in O(pairs[].mailbox).
        type: str
        required: true
      through:
        description:
          - The server that is given the message. Without a login it is spoken to as a stranger would, which with V(smtp) and the name of an MX host
            is inbound mail.
            MX records are not looked up.
        type: dict
        required: true
        suboptions:
          name: &name
            description:
              - The name that clients use. The certificate is judged against it. An IP address is allowed.
            type: str
            required: true
          address:
            description:
              - The IP address to connect to. Without it the first address of O(pairs[].through.name) is taken, in the order of the system that connects.
            type: str
          protocol:
            description:
              - What is spoken there. Follows from a well-known O(pairs[].through.port).
            type: str
            choices: [smtp, submission, submissions, lmtp]
          port:
            description:
              - The TCP port. Follows from O(pairs[].through.protocol); one of the two is required.
            type: int
          starttls: &starttls
            description:
              - V(auto) uses STARTTLS where it is offered, and stops (outcome C(no_starttls)) where a client needs it, which is for
                V(submission) and for a login, unless the address is loopback.
              - V(required) needs it everywhere, V(never) does without.
            type: str
            choices: [auto, required, never]
            default: auto
          login:
            description:
              - Log in with this account before sending.
              - The password is sent under verified TLS or to a loopback address only.
            type: dict
            suboptions: &account
              username:
                description: The login name.
                type: str
                required: true
              password:
                description: The password, or the access token of V(XOAUTH2). It appears in no result, also when the server repeats it.
                type: str
                required: true
              mechanism:
                description:
                  - Use this one, offered or not. V(LOGIN) stands for C(AUTH LOGIN) of SMTP, the C(LOGIN) command of IMAP, and C(USER) and C(PASS) of POP3.
                  - Without it C(PLAIN) is taken where offered.
                type: str
                choices: [PLAIN, LOGIN, XOAUTH2]
              unverified:
                description: Send the password also to a server whose certificate does not verify. Whoever can redirect the name can then collect it.
                type: bool
                default: false
      mailbox:
        description: Where it is to arrive.
        type: dict
        required: true
        suboptions:
          name: *name
          address:
            description:
              - The IP address to connect to. Without it the first address of O(pairs[].mailbox.name) is taken, in the order of the system that connects.
            type: str
          protocol:
            description:
              - What is spoken there. Follows from a well-known O(pairs[].mailbox.port).
            type: str
            choices: [imap, imaps, pop3, pop3s]
          port:
            description:
              - The TCP port. Follows from O(pairs[].mailbox.protocol); one of the two is required.
            type: int
          starttls: *starttls
          login:
            description:
              - The account. It is required, for nothing is sent that could not be fetched.
              - The password is sent under verified TLS or to a loopback address only.
            type: dict
            suboptions: *account
          junk:
            description:
              - Folders where a message counts as junk (IMAP only), as the server names them. Without it they are found by their special use (RFC
                6154) or a usual name.
            type: list
            elements: str
  hop_for:
    description: Which connections go through O(hop), V(both) those for sending and for the mailbox, or those for V(sending) only.
    type: str
    choices: [both, sending]
    default: both
  vantage:
    description: What to call the place that is sent from. The default is the host of O(hop), else the name of the machine.
    type: str
  run:
    description: What to call this run in C(X-Mailops-Run). The default is the time.
    type: str
  messages_per_minute:
    description: Send no more than this in any minute. V(0) is any number. What gets no turn within O(timeout) has the outcome C(rate_limited).
    type: int
    default: 0
  connect_timeout:
    description: Seconds for a TCP connection.
    type: float
    default: 5
  step_timeout:
    description: Seconds for each other step.
    type: float
    default: 10
  arrival_timeout:
    description: Seconds to wait for a message after it was accepted.
    type: float
    default: 60
  late_after:
    description: Seconds after which a message that arrives is late.
    type: float
    default: 30
  poll_interval:
    description: Most seconds between two looks into a mailbox whose server does not tell of new mail (IMAP without IDLE, POP3), and into junk folders.
    type: float
    default: 5
  settle:
    description: Seconds to wait after the arrival for a second copy.
    type: float
    default: 1
  greylist_retry:
    description: Seconds after which a greylisting server is tried again when it does not say itself. It is waited for while O(timeout) allows.
    type: float
    default: 60
  leftover_age:
    description:
      - Seconds after which a canary found in a mailbox is a left-over of an interrupted run and is deleted. Only messages with all of our marks and from a
        O(pairs[].sender) of this run are. Not less than O(timeout), so that no message on its way is taken for one.
    type: float
    default: 3600
  timeout:
    description: Seconds for all pairs together. What was not begun by then has the outcome C(not_tried).
    type: float
    default: 120
seealso:
  - module: mailops.outage.mail_endpoint_info
"""

EXAMPLES = r"""
- name: See whether mail gets in, out and back
  mailops.outage.mail_roundtrip:
    pairs:
      - name: among our own
        sender: canary@example.test
        recipient: canary2@example.test
        through:
          name: mail.example.test
          protocol: submission
          login: {username: canary@example.test, password: "{{ canary_password }}"}
        mailbox: &canary2
          name: mail.example.test
          protocol: imaps
          login: {username: canary2@example.test, password: "{{ canary2_password }}"}
      - name: inbound
        sender: friend@remote.test
        recipient: canary2@example.test
        through: {name: mx1.example.test, protocol: smtp}
        mailbox: *canary2
      - name: outbound
        sender: canary@example.test
        recipient: friend@remote.test
        through:
          name: mail.example.test
          protocol: submissions
          login: {username: canary@example.test, password: "{{ canary_password }}"}
        mailbox:
          name: imap.remote.test
          protocol: imaps
          login: {username: friend@remote.test, password: "{{ friend_token }}", mechanism: XOAUTH2}
  delegate_to: localhost
  register: trip

- name: Name what went wrong
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.outcome }} at {{ item.step }} ({{ item.fault }}): {{ item.answer }}"
  loop: "{{ trip.legs | rejectattr('ok') }}"

- name: Local delivery, on the mail host itself
  mailops.outage.mail_roundtrip:
    pairs:
      - sender: canary@example.test
        recipient: canary@example.test
        through: {name: localhost, address: 127.0.0.1, protocol: smtp}
        mailbox:
          name: localhost
          address: 127.0.0.1
          protocol: imap
          login: {username: canary@example.test, password: "{{ canary_password }}"}

- name: From outside, through a machine that has SSH and nothing else
  mailops.outage.mail_roundtrip:
    hop: {host: outside.example.test, user: probe}
    hop_for: sending
    pairs:
      - sender: friend@remote.test
        recipient: canary@example.test
        through: {name: mx1.example.test, protocol: smtp}
        mailbox:
          name: mail.example.test
          protocol: imaps
          login: {username: canary@example.test, password: "{{ canary_password }}"}
"""

RETURN = r"""
would_send:
  description: In check mode, what would be sent.
  returned: in check mode
  type: list
  elements: dict
  contains:
    name:
      description: The pair.
      type: str
    sender:
      description: The sender.
      type: str
    recipient:
      description: The recipient.
      type: str
    through:
      description: The server that would be given the message.
      type: str
    mailbox:
      description: Where it would be looked for.
      type: str
legs:
  description: One result a pair, in the order of the parameter. All keys are always there. Empty in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - name: outbound
      sender: alice@split.test
      recipient: friend@outside.test
      through: smtp.split.test:587/submission
      mailbox: mail.outside.test:993/imaps
      vantage: controller
      ok: true
      outcome: ok
      findings: []
      side: null
      step: null
      fault: null
      code: 250
      answer: '250 2.0.0 Ok: queued as 7BA141F8010'
      token: a92e709766b438ae1c9b72fe89c444b3
      message_id: <mailops.a92e709766b438ae1c9b72fe89c444b3@split.test>
      sent: true
      sent_at: '2026-11-23T22:56:46Z'
      queue_id: 7BA141F8010
      attempts: 1
      greylisted_seconds: 0.0
      arrival_seconds: 0.524
      folder: INBOX
      copies: 1
      altered: []
      intact: true
      digest: 374e77d95c29709ae26a445c1808de651d0f0c843f43ed77b9d8167835265d7e
      hops:
      - from: controller.example.test
        address: 10.89.82.1
        by: store.split.test
        with: ESMTPSA
        id: 7BA141F8010
        tls: {used: true, version: null, cipher: null}
        time_epoch: 1795474606
        time: '2026-11-23T22:56:46Z'
        delay_seconds: 0
        clock_skew_seconds: 0
      - from: store.split.test
        address: 10.89.82.21
        by: mx.split.test
        with: ESMTPS
        id: 9B5D41F8014
        tls: {used: true, version: null, cipher: null}
        time_epoch: 1795474606
        time: '2026-11-23T22:56:46Z'
        delay_seconds: 0
        clock_skew_seconds: 0
      - from: mx.split.test
        address: 10.89.82.20
        by: mail.outside.test
        with: ESMTPS
        id: CC1461F8010
        tls: {used: true, version: null, cipher: null}
        time_epoch: 1795474606
        time: '2026-11-23T22:56:46Z'
        delay_seconds: 0
        clock_skew_seconds: 0
      - from: mail.outside.test
        address: null
        by: mail.outside.test
        with: LMTP
        id: Ff6TOK7EBGscAQAAd7xkQg
        tls: {used: false, version: null, cipher: null}
        time_epoch: 1795474606
        time: '2026-11-23T22:56:46Z'
        delay_seconds: 0
        clock_skew_seconds: 0
      authentication:
      - server: mail.outside.test
        text: mail.outside.test; dkim=pass (2048-bit key; unprotected) header.d=split.test header.i=@split.test header.a=rsa-sha256 header.s=lab1
          header.b=rvixgW9x; dkim-atps=neutral
        results:
        - {method: dkim, result: pass}
        - {method: dkim-atps, result: neutral}
      tls:
        sending:
          version: TLSv1.3
          cipher: TLS_AES_256_GCM_SHA384
          verified: true
          verify_error: null
          verify_code: null
          name_matches: true
          certificate: {subject: CN=store.split.test, days_left: 780.0}
        mailbox:
          version: TLSv1.3
          cipher: TLS_AES_256_GCM_SHA384
          verified: true
          verify_error: null
          verify_code: null
          name_matches: true
          certificate: {subject: CN=mail.outside.test, days_left: 780.0}
      deleted: 1
      left: 0
      swept: []
      steps:
      - {step: connect, ok: true, seconds: 0.001, answer: 10.89.82.2, side: mailbox}
      - {step: login, ok: true, seconds: 0.048, answer: a2 OK Logged in, side: mailbox}
      - {step: mailbox, ok: true, seconds: 0.002, answer: 'a4 OK [READ-WRITE] Select completed (0.002 + 0.000 + 0.001 secs).', side: mailbox}
      - {step: connect, ok: true, seconds: 0.001, answer: 10.89.82.21, side: sending}
      - {step: login, ok: true, seconds: 0.002, answer: 235 2.7.0 Authentication successful, side: sending}
      - {step: recipient, ok: true, seconds: 0.005, answer: 250 2.1.5 Ok, side: sending}
      - {step: content, ok: true, seconds: 0.001, answer: '250 2.0.0 Ok: queued as 7BA141F8010', side: sending}
      - {step: arrival, ok: true, seconds: 0.524, answer: 'INBOX, 0.524 s after it was accepted', side: mailbox}
      - {step: delete, ok: true, seconds: 0.003, answer: 1 of 1, side: mailbox}
      seconds: 1.642
  contains:
    name:
      description: The pair.
      type: str
    sender:
      description: The sender.
      type: str
    recipient:
      description: The recipient.
      type: str
    through:
      description: The server that was given the message, as name, port and protocol.
      type: str
    mailbox:
      description: The mailbox server, likewise.
      type: str
    vantage:
      description: Where from.
      type: str
    ok:
      description: Whether the message arrived in the inbox once, unaltered and in time.
      type: bool
    outcome:
      description:
        - V(ok).
        - Those of M(mailops.outage.mail_endpoint_info), such as V(refused), V(timeout), V(silent), V(closed), V(login_failed), V(tempfail),
          V(reject), V(not_tried).
        - V(account_locked), V(unknown_recipient), V(mailbox_full), V(relay_denied), the server said so; V(greylisted), it said so, and the time did
          not suffice.
        - V(rate_limited), there was no turn within the time.
        - V(not_arrived), it was accepted and did not arrive within the time; V(late), it arrived later than O(late_after).
        - V(junk), it arrived in a junk folder; V(duplicated), more than once; V(altered), not as it was sent.
      type: str
    findings:
      description: All of V(junk), V(duplicated), V(altered) and V(late) that hold of an arrived message.
      type: list
      elements: str
    side:
      description: Where it stopped, C(sending), C(mailbox), or C(delivery) between the two. Null when it went well.
      type: str
    step:
      description:
        - Where it stopped, one of C(vantage), C(name), C(connect), C(tls), C(greeting), C(capabilities), C(starttls), C(login), C(mailbox), C(pace),
          C(sender) (MAIL), C(recipient) (RCPT), C(data) (DATA), C(content) (the message itself), C(arrival), C(copies), C(delete).
        - Null when it did not stop.
      type: str
    fault:
      description:
        - Whose fault that is, C(vantage), C(dns), C(network), C(server) (the one spoken to), C(account), C(delivery) (after the message was
          accepted), C(filter), or C(time) (that of the module). Null when it went well.
      type: str
    code:
      description: The last reply code of SMTP.
      type: int
    answer:
      description: The last words of the server, or of the system, with the queue id where the message was accepted. Data from outside.
      type: str
    token:
      description: The token of the message.
      type: str
    message_id:
      description: Its Message-ID. Null when it did not come to be sent.
      type: str
    sent:
      description: Whether a message was sent. True also when the server did not say whether it took it.
      type: bool
    sent_at:
      description: When.
      type: str
    queue_id:
      description: The accepting server's name for it.
      type: str
    attempts:
      description: How often sending was tried.
      type: int
    greylisted_seconds:
      description: How long greylisting held it up.
      type: float
    arrival_seconds:
      description: Seconds from its acceptance to its being seen in the mailbox.
      type: float
    folder:
      description: Where it arrived.
      type: str
    copies:
      description: How many arrived.
      type: int
    altered:
      description: Header fields that arrived otherwise than they were sent, and C(body).
      type: list
      elements: str
    intact:
      description: Whether the body is the one that was sent. Null when nothing arrived.
      type: bool
    digest:
      description: SHA-256 over the body that was sent, line ends levelled, in hex.
      type: str
    hops:
      description: The message's way by its Received fields, first hop first. Data from outside.
      type: list
      elements: dict
      contains:
        from:
          description: Who handed it over, by its own word.
          type: str
        address:
          description: The address that it came from.
          type: str
        by:
          description: Who took it.
          type: str
        with:
          description: The protocol.
          type: str
        id:
          description: The queue id there.
          type: str
        tls:
          description: Whether TLS was C(used), its C(version) and C(cipher).
          type: dict
        time:
          description: The stamp.
          type: str
        time_epoch:
          description: The same in seconds of the epoch.
          type: int
        delay_seconds:
          description: Since the hop before, never negative. Null when a stamp is missing.
          type: int
        clock_skew_seconds:
          description: By how much its clock is at least behind that of the hop before.
          type: int
    authentication:
      description: The Authentication-Results fields. Data from outside, whose worth depends on who wrote them.
      type: list
      elements: dict
      contains:
        server:
          description: Who wrote it.
          type: str
        results:
          description: Each C(method) with its C(result).
          type: list
        text:
          description: All of it.
          type: str
    tls:
      description: The TLS session of C(sending) and of the C(mailbox), as in the results of M(mailops.outage.mail_endpoint_info). Null where there was none.
      type: dict
    deleted:
      description: How many copies were deleted.
      type: int
    left:
      description: How many were not. The next run tries again once they are older than O(leftover_age).
      type: int
    swept:
      description: Left-overs of earlier runs that were deleted from this mailbox.
      type: list
      elements: dict
      contains:
        token:
          description: Its token.
          type: str
        folder:
          description: Where it was.
          type: str
        sent_epoch:
          description: When it was sent, in seconds of the epoch.
          type: int
    steps:
      description: Every step in order.
      type: list
      elements: dict
      contains:
        step:
          description: Its name.
          type: str
        side:
          description: C(sending) or C(mailbox).
          type: str
        ok:
          description: Whether it went well.
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
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mailops.outage.plugins.module_utils.wire import client
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest
from ansible_collections.mailops.outage.plugins.module_utils.wire.roundtrip import MECHANISMS, READING, SENDING, plan, run

_TIMES = {"connect_timeout": ("connect", 5), "step_timeout": ("step", 10), "arrival_timeout": ("arrival", 60), "late_after": ("late", 30),
          "poll_interval": ("poll", 5), "settle": ("settle", 1), "greylist_retry": ("retry", 60), "leftover_age": ("leftover_age", 3600),
          "timeout": ("overall", 120)}


def _server(protocols, **more):
    return {"type": "dict", "required": True, "required_one_of": [("protocol", "port")], "options": {**client.server(protocols, MECHANISMS), **more}}


_PAIR = {
    "name": {"type": "str"},
    "sender": {"type": "str", "required": True},
    "recipient": {"type": "str", "required": True},
    "through": _server(SENDING),
    "mailbox": _server(READING, junk={"type": "list", "elements": "str"}),
}


def options_of(params):
    """The module's parameters as the options of ``run``."""
    options = {**client.settings(params), **{name: params[name] for name in ("hop_for", "vantage", "run")}}
    options.update({name: params[given] for given, (name, _default) in _TIMES.items()}, per_minute=params["messages_per_minute"])
    return options


def main():
    module = AnsibleModule(
        argument_spec={
            "pairs": {"type": "list", "elements": "dict", "required": True, "options": _PAIR},
            **client.OPTIONS,
            "hop_for": {"type": "str", "choices": ["both", "sending"], "default": "both"},
            "vantage": {"type": "str"},
            "run": {"type": "str"},
            "messages_per_minute": {"type": "int", "default": 0},
            **{given: {"type": "float", "default": default} for given, (_name, default) in _TIMES.items()},
        },
        supports_check_mode=True,
    )
    try:
        if module.check_mode:
            module.exit_json(changed=True, failed=False, legs=[], would_send=plan(module.params["pairs"], options_of(module.params)))
        legs = run(module.params["pairs"], options_of(module.params))
    except BadRequest as problem:
        module.fail_json(msg=str(problem))
    except ImportError as problem:
        module.fail_json(msg=missing_required_lib(problem.name or "paramiko"))
    module.exit_json(changed=any(leg["sent"] or leg["swept"] for leg in legs), failed=False, legs=legs)


if __name__ == "__main__":
    main()
