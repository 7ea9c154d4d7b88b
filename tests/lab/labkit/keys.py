"""Keys and certificates of an instance. Made once, kept in the state folder: a recreated host is the same host to SSH and TLS."""
from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
import time
from pathlib import Path

from labkit.settings import STATE, LabError

CA = STATE / "ca.pem"
CA_KEY = STATE / "ca.key"
SSH_KEY = STATE / "id_ed25519"
KNOWN_HOSTS = STATE / "known_hosts"
HOST_DAYS = 825
CA_DAYS = 3650
RENEW_BEFORE = 60 * 86400
# A certificate of a healthy host was not issued this minute.
ISSUED_DAYS_AGO = 45
CA_CONFIG = """
[ca]
default_ca = lab
[lab]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = anything
[anything]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def tool(*command):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise LabError(f"{command[0]} failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no message'}")
    return done.stdout


def ssh_key(path, comment):
    if not path.exists():
        tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)


def still_good(certificate):
    check = ["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", str(RENEW_BEFORE)]
    return certificate.exists() and subprocess.run(check, capture_output=True, check=False).returncode == 0


def utc(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


def sign(kind, subject, key, certificate, days, *signer, names=""):
    """A new key and a certificate of a `kind` in CA_CONFIG. `openssl ca`, since in Debian 12 no other command takes a start date."""
    start = time.time() - ISSUED_DAYS_AGO * 86400
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        request, config = Path(folder, "request.pem"), Path(folder, "ca.cnf")
        config.write_text(CA_CONFIG.format(folder=folder, names=names))
        Path(folder, "index").touch()
        tool("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={subject}", "-keyout", key,
             "-out", request)
        tool("openssl", "ca", "-batch", "-notext", "-config", config, "-extensions", kind, *signer, "-in", request, "-out", certificate,
             "-startdate", utc(start), "-enddate", utc(start + days * 86400))


def authority():
    """The instance's certificate authority."""
    if not CA.exists():
        sign("authority", "Mail lab authority", CA_KEY, CA, CA_DAYS, "-selfsign", "-keyfile", CA_KEY, names="DNS:none")


def certificate(folder, names):
    """key.pem and fullchain.pem in `folder` for `names`, the first one being the subject."""
    chain = folder / "fullchain.pem"
    if not still_good(chain):
        alternatives = ", ".join(f"DNS:{name}" for name in names)
        sign("server", names[0], folder / "key.pem", chain, HOST_DAYS, "-cert", CA, "-keyfile", CA_KEY, names=alternatives)
        chain.write_text(chain.read_text() + CA.read_text())


def dkim_key(domain):
    """The private key that signs for a domain; the hosts of fleet.test share one."""
    path = STATE / "dkim" / ("fleet.test" if domain.endswith(".fleet.test") else domain)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        tool("openssl", "genrsa", "-out", path, 2048)
    return path


def dkim_record(domain):
    """The TXT record's text for a domain's key (RFC 6376, 3.6.1)."""
    pem = tool("openssl", "rsa", "-in", dkim_key(domain), "-pubout")
    return "v=DKIM1; k=rsa; p=" + "".join(re.findall(r"^[^-].*$", pem, re.M))


def prepare(hosts):
    """Everything that `hosts` need, made where it is missing."""
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o700)
    ssh_key(SSH_KEY, "ops@lab")
    authority()
    # All of them, here and under the lock: the zones name every domain, and hosts are made side by side.
    for domain in ("outside.test", "single.test", "split.test", "fleet.test"):
        dkim_key(domain)
    for host in hosts:
        host.folder.mkdir(parents=True, exist_ok=True)
        ssh_key(host.folder / "ssh_host_ed25519_key", f"root@{host.fqdn}")
        certificate(host.folder, (host.fqdn, *host.aliases))
        machine_id = host.folder / "machine-id"
        if not machine_id.exists():
            machine_id.write_text(secrets.token_hex(16) + "\n")


def write_known_hosts(hosts):
    """known_hosts with every host that has a key."""
    lines = []
    for host in hosts:
        public = Path(host.folder, "ssh_host_ed25519_key.pub")
        if public.exists():
            lines.append(f"{host.address},{host.fqdn} {' '.join(public.read_text().split()[:2])}\n")
    KNOWN_HOSTS.write_text("".join(lines))
