"""Lab hosts for the gym: pristine ones with a known-good snapshot, a fault on them, a playbook run against them."""
from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAM = ROOT / "tests/lab/lab"
NAME = os.environ.get("LAB_NAME", "mailops")
STATE = ROOT / "tests/lab/.state" / NAME
MAIL_HOSTS = {"single": ["mail"], "split": ["edge", "store"]}
ANSIBLE = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_NOCOLOR="1")


def known_faults():
    """faults.yml: {name: fault}."""
    return yaml.safe_load((HERE / "faults.yml").read_text(encoding="utf-8"))


def run(*words, check=True, data=None):
    """What ``lab`` prints; ends the program when it fails and ``check`` is set."""
    ended = subprocess.run([str(PROGRAM), *words], input=data, capture_output=True, check=False)
    if check and ended.returncode:
        sys.exit(f"gym: lab {' '.join(words)[:120]} failed: {ended.stderr.decode(errors='replace').strip()[-400:]}")
    return ended.stdout


def look(host, script):
    """What a script prints on a host; it may fail."""
    return run("exec", host, "bash", "-c", script, check=False).decode(errors="replace")


def layout_of(fault):
    return fault.get("layout", "single")


def inventory(layout):
    path = STATE / f"{layout}.yml"
    return path if path.exists() else ROOT / "inventory/lab" / f"{layout}.yml"


def find(data, key):
    """The first value of a key anywhere in an inventory."""
    if isinstance(data, dict):
        if key in data:
            return data[key]
        data = list(data.values())
    for item in data if isinstance(data, list) else []:
        found = find(item, key)
        if found is not None:
            return found
    return None


def variable(layout, key):
    """The first value of a key anywhere in the inventory of a layout."""
    return find(yaml.safe_load(inventory(layout).read_text(encoding="utf-8")), key)


def addresses(layout):
    """{mail host: its address}."""
    return {name: entry["ansible_host"] for name, entry in variable(layout, "mail_servers")["hosts"].items()}


def command(playbook, layout, *words, reports):
    program = pathlib.Path(sys.executable).with_name("ansible-playbook")
    return [str(program), "-i", str(inventory(layout)), str(ROOT / playbook), "-e", f"report_dir={reports}", *words]


def play(playbook, layout, *words, reports, seconds=180):
    """A playbook run to its end."""
    return subprocess.run(command(playbook, layout, *words, reports=reports), cwd=ROOT, env=ANSIBLE, capture_output=True, text=True, check=False, timeout=seconds)


def image(host):
    ended = subprocess.run(["podman", "inspect", "--format", "{{.Image}}", f"{NAME}-{host}"], capture_output=True, text=True, check=True)
    return ended.stdout.strip()[:12]


def baseline(layout, folder):
    """Known-good snapshots of the pristine hosts of a layout, kept as archives to be laid on each new host."""
    run("up", layout)
    # A snapshot of another image would show differences that nobody made.
    archives = {host: folder / f"{layout}-{host}-{image(host)}.tar" for host in MAIL_HOSTS[layout]}
    if not all(path.exists() for path in archives.values()):
        run("reset", *MAIL_HOSTS[layout], "outside")
        ended = play("playbooks/snapshot.yml", layout, reports=folder / "reports")
        if ended.returncode:
            sys.exit(f"gym: no snapshot of the pristine {layout} layout:\n{ended.stdout[-3000:]}\n{ended.stderr[-1000:]}")
        for host, path in archives.items():
            path.write_bytes(run("exec", host, "tar", "-C", "/var/lib", "-cf", "-", "mailops"))
    return archives


def renew(fault, archives):
    """Pristine hosts for a fault, with their known-good snapshot where the fault's case has one."""
    run("reset", *sorted({fault.get("host", "mail"), *fault.get("also", {}), *MAIL_HOSTS[layout_of(fault)], "outside"}))
    if fault.get("snapshot", True):
        for host, path in archives.items():
            run("exec", host, "tar", "-C", "/var/lib", "-xf", "-", data=path.read_bytes())


def break_hosts(fault):
    """Put a fault on its hosts."""
    for host, script in {**fault.get("also", {}), fault.get("host", "mail"): fault["inject"]}.items():
        ended = subprocess.run([str(PROGRAM), "exec", host, "bash", "-c", script], capture_output=True, check=False, timeout=60)
        if ended.returncode:
            print(f"gym: the injection on {host} ended with {ended.returncode}: {ended.stderr.decode(errors='replace').strip()[-300:]}", file=sys.stderr)
