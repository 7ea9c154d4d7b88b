#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_host_info
short_description: Look at everything that decides whether a mail host works
version_added: 0.1.0
author: mailops.outage contributors (@mailops)
description:
  - Gathers, in one call, what a mail host knows about itself. Services, listeners, the configuration of Postfix, Exim and Dovecot,
    the queue, storage, resources, certificates, packages, network, resolver, recent changes, and the log events of a time window.
  - The collectors run side by side. One that fails or hangs is reported and takes nothing else with it.
  - The host is never changed. A sick host is a successful look; the module fails only when it could not look at all.
  - Without root it sees less and says so in RV(not_visible).
requirements:
  - Python 3.9 or later on the mail host, standard library only
options:
  since:
    description:
      - Start of the window for logs, kernel messages and restarts, as epoch seconds or ISO 8601. A moment without an offset is UTC.
      - One hour before O(until) when not given.
    type: str
  until:
    description: End of the window, in the same forms. Now when not given.
    type: str
  deadline:
    description: Seconds after which the answer is given with what is there.
    type: float
    default: 20
  signatures:
    description:
      - Log signatures by name, as the catalogue of causes has them.
      - A line that matches one is counted in C(facts.events.matches) under its name.
    type: dict
    default: {}
  collectors:
    description: Names of the collectors to run. All when not given.
    type: list
    elements: str
  domains:
    description: Mail domains to ask the name servers for. Postfix's own domain when not given.
    type: list
    elements: str
    default: []
  outbound_targets:
    description:
      - Hosts to try a TCP connection to, as V(host), V(host:port) or V([host]:port); port 25 when none is given.
      - The relay host when not given; nothing without one.
    type: list
    elements: str
    default: []
  log_files:
    description: Log files to read. Found by the configuration when not given.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode and return the same as without, as nothing is ever changed.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: N/A
notes:
  - Counts, paths and names in the answer come from the host and its logs. They are data to judge, and are cleaned of control characters.
  - The answer is at most 256 KiB of JSON. What was cut to fit is named in RV(cut).
"""

EXAMPLES = r"""
- name: Look at the mail hosts
  mailops.outage.mail_host_info:
  become: true
  register: __host

- name: Look at the evening of the outage, at queue and storage only
  mailops.outage.mail_host_info:
    since: "2026-11-23T18:00:00Z"
    until: "2026-11-23T19:30:00Z"
    collectors:
      - queue
      - storage

- name: See whether the queue's file system has room for one more message
  ansible.builtin.assert:
    that:
      - not __host.facts.storage.spool_low
"""

RETURN = r"""
facts:
  description: What was found, by collector. A collector that did not end well is absent here and explained in RV(collectors).
  returned: always
  type: dict
  sample:
    queue:
      mta: postfix
      running: true
      counts: {maildrop: 0, incoming: 0, active: 0, deferred: 12, hold: 0, corrupt: 0, total: 12}
      oldest_seconds: 5400
      bounce_clock: {lifetime_seconds: 432000, oldest_seconds: 5400, expires_in_seconds: 426600}
      reasons:
        - text: "connect to HOST[private/dovecot-lmtp]: Connection refused"
          count: 12
          transport: private/dovecot-lmtp
          destination: example.test
          destinations: 1
    storage:
      spool_low: false
      required_free: 15360000
collectors:
  description: How each collector ended.
  returned: always
  type: dict
  sample:
    queue: {ok: true, seconds: 0.041, error: ""}
    storage: {ok: false, seconds: 20.0, error: not back within 20 s}
not_visible:
  description: What could not be seen, and why.
  returned: always
  type: list
  elements: str
  sample:
    - "firewall rules: needs root"
cut:
  description: What was left out so that the answer fits.
  returned: always
  type: list
  elements: str
  sample:
    - "facts.changes.files: 40 of 100 entries kept"
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailops.outage.plugins.module_utils.host._apart import Lost, apart
from ansible_collections.mailops.outage.plugins.module_utils.host._when import epoch_of
from ansible_collections.mailops.outage.plugins.module_utils.host.bound import fit
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.host.registry import COLLECTORS, collect_all

# Seconds beyond the deadline for putting the answer together.
_GRACE = 5.0


class BadOption(Exception):
    """An option that makes no sense."""


def window(since, until, now):
    """``(since, until)`` in epoch seconds. Raises BadOption."""
    try:
        end = now if until is None else epoch_of(until)
        begin = end - 3600 if since is None else epoch_of(since)
    except ValueError as problem:
        raise BadOption(f"since and until are epoch seconds or ISO 8601: {problem}") from problem
    if begin >= end:
        raise BadOption("since is not before until")
    return begin, end


def chosen(names):
    """The collectors of these names. Raises BadOption with the known ones for a name that is none."""
    unknown = sorted(set(names or []) - set(COLLECTORS))
    if unknown:
        raise BadOption(f"unknown collectors: {', '.join(unknown)}; known are {', '.join(sorted(COLLECTORS))}")
    return {name: look for name, look in COLLECTORS.items() if not names or name in names}


def look(options, collectors, deadline):
    """The module's answer: facts, collectors, not_visible, cut."""
    context = Context(options=options)
    answer = dict(collect_all(context, deadline, collectors), not_visible=context.not_visible)
    answer, cut = fit(answer)
    return dict(answer, cut=cut)


def main():
    module = AnsibleModule(
        argument_spec={
            "since": {"type": "str"},
            "until": {"type": "str"},
            "deadline": {"type": "float", "default": 20},
            "signatures": {"type": "dict", "default": {}},
            "collectors": {"type": "list", "elements": "str"},
            "domains": {"type": "list", "elements": "str", "default": []},
            "outbound_targets": {"type": "list", "elements": "str", "default": []},
            "log_files": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        since, until = window(given["since"], given["until"], time.time())
        collectors = chosen(given["collectors"])
        if given["deadline"] <= 0:
            raise BadOption("deadline must be more than 0")
        options = {name: given[name] for name in ("signatures", "domains", "outbound_targets", "log_files")}
        answer = apart(lambda: look(dict(options, since=since, until=until), collectors, given["deadline"]), given["deadline"] + _GRACE)
    except (BadOption, Lost) as problem:
        module.fail_json(msg=f"could not look at the host: {problem}")
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
