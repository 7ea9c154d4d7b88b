"""Inventories of the lab's layouts, as YAML text. The committed inventory/lab/*.yml are this module's output for the default instance."""
from __future__ import annotations

from labkit import settings
from labkit.hosts import EDGE, MAIL, OUTSIDE, STORE, fleet

HEAD = """\
---
# Written by `tests/lab/lab inventory {layout}`; the hosts come up with `tests/lab/lab up {layout}`.
"""


CONTROLLER = """\
  hosts:
    # Named, since only a host of the inventory has an inventory_dir.
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


def connection(state):
    """Variables that all hosts of the lab share; `state` is the way from the inventory to the instance's state folder."""
    return f"""\
    lab:
      children:
        mail_servers:
        mail_vantages:
      vars:
        ansible_user: ops
        ansible_python_interpreter: /usr/bin/python3
        ansible_ssh_private_key_file: "{state}/id_ed25519"
        # Host keys are checked, as in production; the lab knows those of its hosts.
        ansible_ssh_common_args: >-
          -o UserKnownHostsFile={state}/known_hosts
          -o GlobalKnownHostsFile=/dev/null
          -o StrictHostKeyChecking=yes
          -o IdentitiesOnly=yes
"""


def group(name, hosts):
    lines = [f"    {name}:", "      hosts:"]
    for host in hosts:
        lines += [f"        {host.name}:", f"          ansible_host: {host.address}"]
    return "\n".join(lines) + "\n"


def mail_variables(domains, submission, imap, pop3, state):
    """What is declared about mail; the names of the hosts are left out where None."""
    lines = ["    mail_domains:"] + [f"      - {domain}" for domain in domains]
    lines += [f"    mail_{service}_host: {name}" for service, name in (("submission", submission), ("imap", imap), ("pop3", pop3)) if name]
    lines += ["    # The passwords of the lab are public; anywhere else they belong in a vault.", "    mail_probe_accounts:"]
    for domain in domains:
        lines += account(f"probe@{domain}", f"probe@{domain}", "lab-probe")
    lines += ["    mail_external_accounts:", *account("friend@outside.test", "friend", "lab-friend"),
              f"        smtp_host: {OUTSIDE.fqdn}", "        smtp_port: 587", f"        imap_host: {OUTSIDE.fqdn}", "        imap_port: 993",
              f'    mail_ca_file: "{state}/ca.pem"', "    mail_resolvers:", f"      - {OUTSIDE.address}"]
    return "\n".join(lines) + "\n"


def account(address, login, password):
    return [f"      - address: {address}", f"        login: {login}", f"        password: {password}"]


def inventory(layout, state, copies):
    """The inventory of `layout` as YAML text."""
    hosts, variables = {
        "single": lambda: ([MAIL], (["single.test"], MAIL.fqdn, MAIL.fqdn, MAIL.fqdn)),
        "split": lambda: ([EDGE, STORE], (["split.test"], "smtp.split.test", "imap.split.test", "pop.split.test")),
        "fleet": lambda: (fleet(copies), ([host.domain for host in fleet(copies)], None, None, None)),
    }[layout]()
    return (HEAD.format(layout=layout) + "all:\n  vars:\n" + mail_variables(*variables, state)
            + CONTROLLER + "  children:\n" + group("mail_servers", hosts) + group("mail_vantages", [OUTSIDE]) + connection(state))


def committed(layout, copies):
    """As it stands in inventory/lab/."""
    return inventory(layout, f"{{{{ inventory_dir }}}}/../../tests/lab/.state/{settings.NAME}", copies)


def write(layout, copies):
    """Write the inventory into the state folder and return its path."""
    path = settings.STATE / f"{layout}.yml"
    path.write_text(inventory(layout, "{{ inventory_dir }}", copies))
    return path
