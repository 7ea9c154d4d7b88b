#!/usr/bin/python
# Copyright (c) 2026, mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_host_info
short_description: Look at everything that decides whether a mail host works
version_added: 0.1.0
author:
  - mailops.outage contributors (@mailops)
extends_documentation_fragment:
  - mailops.outage.attributes
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
      - Log signatures by name, as the catalogue of causes has them. Each names its C(program), and its C(pattern) begins with C(^).
      - A line that matches one is counted in RV(facts.events) under its name.
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
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: posix
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
  description:
    - What was found, by collector. A collector that did not end well is absent here and explained in RV(collectors).
    - Keys are always present, with null or an empty list for what is not known. Moments are ISO 8601 in UTC with a twin in epoch seconds,
      sizes are bytes, C(source) is the command or path by which a person can look a fact up again, C(text) its wording.
  returned: always
  type: dict
  contains:
    system:
      description: Name, operating system, age and clock of the host.
      returned: success
      type: dict
      sample:
        hostname: mail
        fqdn: mail.single.test
        os: {id: debian, version: "12", codename: bookworm}
        kernel: 6.1.0-40-amd64
        python: 3.11.2
        root: true
        init: systemd
        container: false
        now: "2026-11-23T20:51:07Z"
        now_epoch: 1795467067
        timezone: Etc/UTC
        boot: "2026-11-23T20:43:04Z"
        boot_epoch: 1795466584
        uptime_seconds: 483
        clock: {synchronised: true, service_running: true, offset_seconds: 0.000012, source: chronyc -n tracking, text: "Leap status     : Normal"}
    resources:
      description: Load, pressure, memory, processes, the limits of mail units, and mail processes that wait uninterruptibly or are stopped.
      returned: success
      type: dict
      sample:
        load: {one: 1.46, five: 0.63, fifteen: 0.29, cpus: 2}
        memory: {total: 25276514304, available: 24371380224, swap_total: 0, swap_free: 0}
        oom_kills: []
        limits:
          - {unit: postfix@-.service, what: nofile, value: 4096, used: 120, exhausted: false, source: /proc/204/limits, text: "120 of 4096 in master[204]"}
        blocked:
          - {pid: 37, process: dovecot, state: T, wchan: do_signal_stop, unit: dovecot.service, source: /proc/37/stat}
    services:
      description: The services that mail needs, whether they run and whether they should.
      returned: success
      type: dict
      sample:
        units:
          - {role: mta, name: postfix, unit: postfix@-.service, present: true, running: true, expected: true, enabled: enabled, active: active, listening: true}
        failed_units: []
    listeners:
      description: Listening TCP ports with their processes, and the sockets of mail software.
      returned: success
      type: dict
      sample:
        tcp:
          - {address: 0.0.0.0, port: 25, loopback: false, pid: 204, process: master, unit: postfix@-.service, mail: true}
        complete: true
        source: ss -ltnp
    postfix:
      description:
        - The configuration of Postfix with defaults applied, its lookup tables, services and complaints. Secrets are left out.
        - C(contained) are the temporary settings of our own containment that are in force, and whether a timer will take them back.
      returned: success
      type: dict
      sample: {present: true, version: 3.7.11, config_directory: /etc/postfix, queue_directory: /var/spool/postfix, errors: [], unused: []}
    exim:
      description: Version, configuration check and domains of Exim; C(refused) are the errors of a configuration that Debian made and did not put in place.
      returned: success
      type: dict
      sample: {present: false, version: null, errors: [], refused: []}
    dovecot:
      description: The settings, user databases, listeners and complaints of Dovecot. Secrets are left out.
      returned: success
      type: dict
      sample: {present: true, version: 2.3.19.1, mail_location: "maildir:~/Maildir", errors: [], loaded_config_differs: false}
    companions:
      description: The local services that mail software talks to (SASL, LMTP, milters, policy services), and whether they answer.
      returned: success
      type: dict
      sample:
        endpoints:
          - {role: sasl, used_by: postfix smtpd_sasl_path, kind: unix, address: /var/spool/postfix/private/auth, exists: true, connect: ok, answered: true}
    queue:
      description: How much mail waits, since when and why. Reasons have lost addresses, ids and host names, so that equal ones are counted together.
      returned: success
      type: dict
      sample:
        mta: postfix
        running: true
        counts: {maildrop: 0, incoming: 0, active: 0, deferred: 10, hold: 0, corrupt: 0, total: 10}
        oldest_seconds: 5400
        oldest_deferred_seconds: 5400
        bounce_clock: {lifetime_seconds: 432000, oldest_seconds: 5400, expires_in_seconds: 426600}
        sizes: {bytes: 8000}
        reasons:
          - text: "connect to HOST[ip]:25: No route to host"
            count: 2
            transport: null
            sample: "connect to mx.dead.test[192.0.2.77]:25: No route to host"
            destination: dead.test
            destinations: 1
        senders:
          - {sender_domain: outside.test, count: 6}
        sender_share: 0.6
        destinations:
          - {domain: single.test, count: 8}
        bounces: 2
        hold_reasons: []
        visible: true
        complete: true
        source: postqueue -j, /var/spool/postfix
        errors: []
        note: null
    storage:
      description: File systems by their role for mail, missing mounts, wrong rights, disk errors, the mail store, and what fills a full file system.
      returned: success
      type: dict
      sample:
        filesystems:
          - mount: /var/spool/postfix
            device: /dev/sdb1
            type: ext4
            roles: [spool]
            size: 41943040
            free: 10153984
            used_percent: 75.8
            inodes: 3000
            inodes_free: 2919
            inodes_used_percent: 2.7
            read_only: false
            fstab_read_only: false
            full: false
            inodes_full: false
            answers: true
            error: ""
            source: df /var/spool/postfix
        fstab_missing:
          - {mount: /srv/vmail, device: /mnt/mail-disk, roles: [mailstore], holds_files: true, source: /etc/fstab}
        required_free: 30720000
        spool_low: true
        permissions:
          - what: spool
            path: /var/spool/postfix/deferred
            problem: owned by root, not postfix
            owner: root
            group: root
            mode: "0700"
            expected: "postfix:* 0700"
        mailstore: {root: /srv/vmail, exists: true, fstab_says_mount: true, mounted: false, mailboxes: 0, newest_message_epoch: null}
        big:
          - {path: /var/spool/postfix/filler, bytes: 31457280, mount: /var/spool/postfix}
    network:
      description: Addresses, interfaces, routes, mail ports that the packet filter closes, bans, and connections to next hops.
      returned: success
      type: dict
      sample:
        addresses:
          - {interface: eth0, address: 192.0.2.10, family: ipv4, scope: global}
        interfaces:
          - {name: eth0, up: true, carrier: true, mtu: 1500, rx_errors: 0, tx_errors: 0, dropped: 0}
        default_routes:
          - {family: ipv4, gateway: 192.0.2.1, interface: eth0}
        firewall:
          backend: nft
          rules:
            - {port: 25, direction: in, action: drop, named: true, family: inet, text: "inet filter input: tcp dport 25 drop", source: nft list ruleset}
        banned:
          - {address: 198.51.100.7, set: f2b}
        banned_count: 1
        outbound:
          - {target: 192.0.2.2, port: 25, ok: false, error: timed out, seconds: 5.004}
        ipv6: {enabled: true, global_address: null, default_route: false}
    resolver:
      description: Each name server's own answers, and those of the name servers in the MTA's chroot where they differ.
      returned: success
      type: dict
      sample:
        nameservers: [192.0.2.53]
        search: [single.test]
        source: /etc/resolv.conf
        tests:
          - {server: 192.0.2.53, name: single.test, type: MX, ok: true, rcode: NOERROR, answers: 1, seconds: 0.002, error: ""}
        getaddrinfo:
          - {name: mail.single.test, ok: true, error: "", seconds: 0.001}
        chroot:
          - {path: /var/spool/postfix/etc/resolv.conf, differs: false}
        chroot_nameservers: []
        hosts_localhost: true
        working: true
        chroot_working: null
    certificates:
      description: The configured certificate files with their keys and chains, and what the own ports serve. Fingerprints are SHA-256.
      returned: success
      type: dict
      sample:
        files:
          - path: /etc/ssl/mail/fullchain.pem
            key_path: /etc/ssl/mail/key.pem
            used_by: [postfix smtpd_tls_cert_file, dovecot ssl_cert]
            exists: true
            readable: true
            subject: CN=mail.single.test
            issuer: CN=Mail lab authority
            names: [mail.single.test]
            not_after: "2029-01-11T21:35:33Z"
            days_left: 780.0
            self_signed: false
            key_matches: true
            key_world_readable: false
            chain_length: 2
            chain_ok: true
        served:
          - {port: 993, protocol: imaps, same: true, not_after: "2029-01-11T21:35:33Z", error: ""}
    loopback:
      description: What the own mail ports say to the host itself, as observations of M(mailops.outage.mail_endpoint_info).
      returned: success
      type: dict
      sample:
        probes:
          - {id: "127.0.0.1:25/smtp", ok: true, outcome: ok, banner: 220 mail.single.test ESMTP Postfix (Debian)}
    dkim:
      description: The public halves of the keys that this host signs with.
      returned: success
      type: dict
      sample:
        keys:
          - {domain: single.test, selector: lab1, path: /etc/dkimkeys/lab1.private, readable: true, error: ""}
    packages:
      description: Mail software as packages. Interrupted upgrades, damaged files, recent changes, pending updates and restarts.
      returned: success
      type: dict
      sample:
        manager: dpkg
        mail:
          - {name: postfix, version: 3.7.11-0+deb12u1, installed_epoch: 1791547200}
        half_configured:
          - {name: postfix, status: half-configured, mail: true, source: dpkg --audit}
        broken_files:
          - {package: postfix, path: /usr/lib/postfix/sbin/lmtp, problem: missing, conffile: false, source: dpkg -V postfix}
        conffiles_changed:
          - {package: opendkim, path: /etc/opendkim.conf}
        history:
          - {time: "2026-11-23T20:00:01Z", action: upgrade, package: postfix, from: 3.7.10-0+deb12u1, to: 3.7.11-0+deb12u1, source: /var/log/dpkg.log}
        restart_pending:
          - {process: opendkim, pid: 50, file: /usr/lib/x86_64-linux-gnu/libssl.so.3, unit: opendkim.service, source: /proc/50/maps}
        security_pending: []
        held: []
        lists_epoch: 1791547200
    changes:
      description: Configuration files that changed of late, restarts, reboots, commits of /etc, and files newer than the service that reads them.
      returned: success
      type: dict
      sample:
        files:
          - {path: /etc/postfix/main.cf, mtime: "2026-11-23T21:44:18Z", mtime_epoch: 1795470258, size: 1301, package_conffile_changed: null}
        restarts:
          - {unit: dovecot.service, action: reloaded, time: "2026-11-23T21:47:50Z", time_epoch: 1795470470, by: sudo by ops, source: journalctl}
        config_newer_than_service:
          - {service: postfix, path: /etc/postfix/main.cf, mtime_epoch: 1795470258, started_epoch: 1795466584}
        backups: [/etc/postfix/main.cf.bak]
    events:
      description:
        - What the logs of the window say, by signature, and how much mail flowed.
        - A match says how far it can be trusted in C(trust). V(journal), the system's journal vouches for who wrote the lines. V(file), they stand in
          a plain file, into which anybody on the host may write. V(remote), they tell what another host did or said.
        - C(untrusted) counts lines of files that the mail software did not write by the journal's knowledge. They are in no match.
      returned: success
      type: dict
      sample:
        matches:
          mta_terminating:
            count: 1
            first: "2026-11-23T20:51:07Z"
            first_epoch: 1795467067.0
            last: "2026-11-23T20:51:07Z"
            last_epoch: 1795467067.0
            queue_ids: []
            samples:
              - {time: "2026-11-23T20:51:07Z", source: /var/log/mail.log, line: "@4711", text: "postfix/master[5]: terminating on signal 15"}
            groups: {}
            trust: journal
        untrusted: {}
        flow: {connections: 12, accepted: 5, delivered: 5, deferred: 0, bounced: 0, rejected: 1}
        silent: false
    known_good:
      description: The snapshot of when mail last worked, and what differs from it now.
      returned: success
      type: dict
      sample: {present: false, taken: null, differences: []}
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
from ansible_collections.mailops.outage.plugins.module_utils.secrets import mask_data

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
    answer, cut = fit(mask_data(answer))
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
