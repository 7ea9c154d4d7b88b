"""The instance's network and its hosts as containers."""
from __future__ import annotations

import ipaddress
import json
import subprocess
import time
from pathlib import Path

from labkit import hosts as known
from labkit import place, podman, recipes, settings
from labkit.settings import NAME, SUBNET, LabError

# What systemd, nftables, fault injection (strace, mount), ping and sudo's audit message need beyond podman's default.
CAPABILITIES = "NET_ADMIN,SYS_ADMIN,SYS_PTRACE,NET_RAW,AUDIT_WRITE"
LABEL = f"mail-lab={NAME}"
BOOT_SECONDS = 60


def ensure_network():
    """Create the instance's bridge, unless it is there, and see to it that no packet of the lab leaves this machine."""
    done = podman.run("network", "inspect", NAME, check=False)
    if done.returncode:
        create_network()
        done = podman.run("network", "inspect", NAME)
    description = json.loads(done.stdout)[0]
    used = description["subnets"][0]["subnet"]
    if ipaddress.ip_network(used) != settings.network():
        raise LabError(f"lab {NAME} runs on {used}, LAB_SUBNET says {SUBNET}: `lab down` first, or give the new lab another LAB_NAME")
    if not rules(description["network_interface"]):
        ip("rule", "add", "iif", description["network_interface"], "unreachable")


def create_network():
    for line in ip("-4", "-o", "route"):
        destination = line.split()[0]
        if "/" in destination and ipaddress.ip_network(destination).overlaps(settings.network()):
            raise LabError(f"subnet {SUBNET} is in use here ({' '.join(line.split()[:3])}): set LAB_SUBNET to a free /24")
    done = podman.run("network", "create", "--disable-dns", "--subnet", SUBNET, NAME, check=False)
    if done.returncode and "already" in done.stderr:
        raise LabError(f"subnet {SUBNET} belongs to another podman network: set LAB_SUBNET to a free /24")
    if done.returncode:
        raise LabError(podman.explain(("network create",), done.stderr))


def remove_network():
    done = podman.run("network", "inspect", "--format", "{{.NetworkInterface}}", NAME, check=False)
    if done.returncode == 0:
        podman.run("network", "rm", "-f", NAME)
        for _rule in rules(done.stdout.strip()):
            ip("rule", "del", "iif", done.stdout.strip(), "unreachable")


def ip(*arguments):
    """The lines that ip(8) answers."""
    done = subprocess.run(["ip", *arguments], text=True, capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.splitlines()


def rules(bridge):
    """The routing rules that keep the bridge's packets here. The hosts see "network unreachable" beyond their own network."""
    return [line for line in ip("rule", "list") if f" iif {bridge} " in line]


def inspect_all():
    """{container: its inspection} of this instance."""
    names = podman.output("ps", "-aq", "--filter", f"label={LABEL}").split()
    return {entry["Name"]: entry for entry in json.loads(podman.output("inspect", *names))} if names else {}


def create(host):
    """A pristine, stopped container for `host`, replacing the one there is."""
    podman.run("rm", "-f", "-v", "-t", "0", "-i", host.container)
    arguments = ["--name", host.container, "--label", LABEL, "--hostname", host.name, "--systemd=always", "--cap-add", CAPABILITIES,
                 "--network", f"{NAME}:ip={host.address},mac={host.mac}", "--dns", "none", "--no-hosts",
                 # podman would put a tmpfs there, and the journal would not survive a reboot.
                 "--volume", "/var/log/journal"]
    podman.run("create", *arguments, recipes.tag(host.image), "/sbin/init")
    root = podman.output("mount", host.container)
    try:
        place.personalise(host, root)
    finally:
        podman.run("umount", host.container)


def start(host):
    podman.run("start", host.container)


def stop(host):
    """Shut the host down as a machine would be."""
    process(host)
    podman.run("stop", "-t", "30", host.container)


def process(host):
    """The process id of the host's init, 0 when it does not run; raises LabError when there is no such host."""
    done = podman.run("inspect", "--format", "{{.State.Pid}}", host.container, check=False)
    if done.returncode:
        raise LabError(f"host {host.name} is not there: `lab up` with the layout that has it (`lab status` lists the hosts)")
    return int(done.stdout)


def listening(pid):
    """TCP ports on which something listens in the network namespace of `pid`. Nothing connects, so no log line is left on the host."""
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _number, local, _remote, state = line.split()[:4]
            if state == "0A":
                ports.add(int(local.rsplit(":", 1)[1], 16))
    return ports


def wait(host, deadline):
    """Wait until all the host's ports listen; raises LabError at `deadline` (monotonic seconds)."""
    pid = process(host)
    while True:
        absent = set(host.ports) - listening(pid)
        if not absent:
            return
        if time.monotonic() > deadline:
            ports = ", ".join(str(port) for port in sorted(absent))
            raise LabError(f"host {host.name} does not listen on {ports}: look with `lab exec {host.name} systemctl --failed` and `journalctl -b`")
        time.sleep(0.02)


def boot(host, pristine):
    """Start `host`, from a new container when `pristine`, and wait until it serves. Returns the seconds it took."""
    begin = time.monotonic()
    if pristine:
        create(host)
    start(host)
    wait(host, time.monotonic() + BOOT_SECONDS)
    return time.monotonic() - begin


def remove(names):
    if names:
        podman.run("rm", "-f", "-v", "-t", "0", *names)


def state(host, inspection):
    """(state, listening ports) of a host as `lab status` shows it."""
    if not inspection["State"]["Running"]:
        return "stopped", set()
    ports = listening(inspection["State"]["Pid"])
    return ("up" if set(host.ports) <= ports else "degraded"), ports & {*known.MAIL_PORTS, *host.ports}
