"""The instance's network and its hosts as containers."""
from __future__ import annotations

import functools
import ipaddress
import json
import re
import secrets
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


def networks(*filters):
    """podman's networks as it describes them."""
    return json.loads(podman.output("network", "ls", *filters, "--format", "json"))


@functools.cache
def network_name():
    """The name of the instance's network, which must be there."""
    return networks("--filter", f"label={LABEL}")[0]["name"]


def ensure_network():
    """Create the instance's bridge, unless it is there, and see to it that no packet of the lab leaves this machine."""
    if not networks("--filter", f"label={LABEL}"):
        create_network()
    description = networks("--filter", f"label={LABEL}")[0]
    used = description["subnets"][0]["subnet"]
    if ipaddress.ip_network(used) != settings.network():
        raise LabError(f"lab {NAME} runs on {used}, LAB_SUBNET says {SUBNET}: `lab down` first, or give the new lab another LAB_NAME")
    if not rules(description["network_interface"]):
        ip("rule", "add", "iif", description["network_interface"], "unreachable")


def clear_dead():
    """Remove what a lab that was killed left: hosts that podman takes for running, addresses for taken, and a bridge that it has forgotten.

    Hosts that run, or were stopped, stay as they are.
    """
    there = inspect_all()
    remove([name for name, entry in there.items() if not is_whole(entry)])
    if not inspect_all():
        remove_network()
    claimed = {network["network_interface"] for network in networks()}
    for line in ip("-4", "-o", "route", "show", SUBNET):
        bridge = line.partition(" dev ")[2].split(" ")[0]
        if re.fullmatch(r"podman\d+", bridge) and bridge not in claimed:
            remove_bridge(bridge)


def is_whole(inspection):
    """Whether a container runs, or was shut down: not half made, half stopped, or called running by podman although its processes are gone."""
    if inspection["State"]["Status"] != "running":
        return inspection["State"]["Status"] in ("exited", "stopped")
    process = Path("/proc", str(inspection["State"]["Pid"]))
    try:
        # Nobody may have waited for it: proc_pid_stat(5) calls that Z.
        return inspection["Id"] in (process / "cgroup").read_text() and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def create_network():
    for line in ip("-4", "-o", "route"):
        destination = line.split()[0]
        if "/" in destination and ipaddress.ip_network(destination).overlaps(settings.network()):
            raise LabError(f"subnet {SUBNET} is in use here ({' '.join(line.split()[:3])}): set LAB_SUBNET to a free /24")
    # A new name each time: podman keeps the addresses of hosts that were killed as taken, by the name of their network, also when that is removed.
    done = podman.run("network", "create", "--disable-dns", "--subnet", SUBNET, "--label", LABEL, f"{NAME}-{secrets.token_hex(3)}", check=False)
    if done.returncode and "already" in done.stderr:
        raise LabError(f"subnet {SUBNET} belongs to another podman network: set LAB_SUBNET to a free /24")
    if done.returncode:
        raise LabError(podman.explain(("network create",), done.stderr))


def remove_network():
    for network in networks("--filter", f"label={LABEL}"):
        podman.run("network", "rm", "-f", network["name"])
        remove_bridge(network["network_interface"])


def remove_bridge(bridge):
    """The routing rules of a bridge that no network has any more, and the bridge itself where it is still there."""
    for _rule in rules(bridge):
        ip("rule", "del", "iif", bridge, "unreachable")
    for line in ip("-o", "link", "show", "type", "veth"):
        if f" master {bridge} " in line:
            ip("link", "del", line.split(": ")[1].split("@")[0])
    if Path("/sys/class/net", bridge).exists():
        ip("link", "del", bridge)


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
    remove([host.container])
    arguments = ["--name", host.container, "--label", LABEL, "--hostname", host.name, "--systemd=always", "--cap-add", CAPABILITIES,
                 "--network", f"{network_name()}:ip={host.address},mac={host.mac}", "--dns", "none", "--no-hosts",
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
    # That a host's processes were killed podman learns from the first try, which fails.
    if names and podman.run("rm", "-f", "-v", "-t", "0", "-i", *names, check=False).returncode:
        podman.run("rm", "-f", "-v", "-t", "0", "-i", *names)


def state(host, inspection):
    """(state, listening ports) of a host as `lab status` shows it."""
    if not inspection["State"]["Running"]:
        return "stopped", set()
    ports = listening(inspection["State"]["Pid"])
    return ("up" if set(host.ports) <= ports else "degraded"), ports & {*known.MAIL_PORTS, *host.ports}
