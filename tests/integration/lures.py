"""Hostile texts for a lab host, each by a road that needs no rights there: what strangers, users and other servers can make it log.

A text is a phrase that a fault would leave in the log. It carries a word of its own, by which it is found again.
"""
from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import time

DOMAIN = "single.test"
# (name, road, phrase). The roads are the functions below; many of the phrases led a repair once.
LURES = (
    ("a sender that speaks of a mail loop", "sender", "too many hops"),
    ("a recipient that speaks of a mail loop", "recipient", f"mail for {DOMAIN} loops back to myself"),
    ("a recipient that speaks of a missing user", "recipient", "Authenticated user not found from userdb"),
    ("a sender that speaks of a server without TLS", "sender", "TLS is required, but was not offered by host mx.outside.test[192.0.2.1]"),
    ("a recipient that speaks of an invalid setting", "recipient", "fatal: parameter inet_interfaces: no local interface found"),
    ("a sender that speaks of a relay denied", "sender", "NOQUEUE: reject: RCPT from x: 554 5.7.1 <a@partner.outside.test>: Relay access denied"),
    ("a sender that speaks of a filter that is gone", "sender", "warning: connect to Milter service inet:localhost:8891: Connection refused"),
    ("a name in HELO that speaks of memory", "helo", "oom-kill:"),
    ("a name in HELO that speaks of a temporary setting", "helo", "status=SOFTBOUNCE"),
    ("a login name that speaks of a missing user", "login", "Authenticated user not found from userdb"),
    ("a login name that speaks of a full disk", "login", "write queue file: No space left on device"),
    ("an address that is asked for and speaks of a limit", "asked", "warning: Connection concurrency limit exceeded: 9 from mail.single.test[10.0.0.1]"),
    ("a word of the system log by an ordinary user: limits", "logger", "warning: Connection rate limit exceeded: 99 from mail.single.test[10.0.0.1]"),
    ("a word of the system log by an ordinary user: a crash", "logger as master", "warning: process /usr/lib/postfix/sbin/smtpd pid 7 killed by signal 11"),
    ("a word of the system log by an ordinary user: no mechanism", "logger", "fatal: no SASL authentication mechanisms"),
    ("a word of the system log by an ordinary user: a filter", "logger", "warning: connect to Milter service inet:localhost:8891: Connection refused"),
    ("a word of the system log by an ordinary user: a table", "logger", "error: open database /etc/postfix/virtual.db: No such file or directory"),
    ("a word of the system log by an ordinary user: a setting", "logger", 'warning: unknown smtpd restriction: "permit_mynetwork"'),
    ("a word as Dovecot by an ordinary user: a store", "logger as dovecot",
     "imap(alice)<1><x>: Error: open(/home/alice/Maildir) failed: Permission denied (euid=1002(bob) missing +x perm: /home/alice, dir owned by 1001:1001 mode=0700)"),
    ("a word as Dovecot by an ordinary user: a limit", "logger as dovecot", "imap-login: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)"),
    ("a word as the kernel by an ordinary user", "logger as kernel", "Out of memory: Killed process 77 (master) total-vm:1kB"),
    ("a word as systemd by an ordinary user", "logger as systemd", "postfix@-.service: A process of this unit has been killed by the OOM killer."),
    ("an entry of the journal by an ordinary user", "journal", "fatal: parameter inet_interfaces: no local interface found"),
    ("two lines in one word of the system log", "logger, two lines", "fatal: bad numerical configuration: message_size_limit = abc"),
    ("a subject that a worm rule discards", "worm", "warning: milter inet:localhost:8891: can't read SMFIC_BODYEOB reply packet header: Success"),
    ("an identifier of a message", "message id", "status=deferred (deferred transport)"),
    ("a sender of a message that is taken", "taken sender", "status=SOFTBOUNCE"),
    ("a detail behind the recipient's name", "detail", "warning: database /etc/postfix/virtual.db is older than source file /etc/postfix/virtual"),
    ("a command that is none", "garbage", "fatal: /etc/postfix/main.cf, line 9: missing '=' after attribute name"),
    ("commands that come too early", "pipelining", "warning: problem talking to server 127.0.0.1:10023: Connection refused"),
    ("an answer of another server that puts off", "answer 450", "mail transport unavailable"),
    ("an answer of another server that refuses", "answer 550", f"mail for {DOMAIN} loops back to myself"),
    ("an answer of another server about our HELO", "answer 450", "Helo command rejected: need fully-qualified hostname"),
    ("the output of a user's program", "forward", "status=deferred (Server certificate not trusted)"),
    ("a folder that a user's filter names", "sieve", "Corrupted index file"),
    ("a recipient of a user that is sent nowhere", "outbound recipient", "connect to mail.single.test[private/dovecot-lmtp]: Connection refused"),
)
# By these roads something happens beside the text: a message is discarded, put off, refused, or a user's program fails.
EVENTS = ("worm", "answer 450", "answer 550", "forward")


def word(number: int) -> str:
    """What marks the text of a lure."""
    return f"lure{number:02}x"


def texts(road: str) -> list:
    """The marked phrases of a road."""
    return [f"{phrase} {word(number)}" for number, (_name, by, phrase) in enumerate(LURES) if by == road]


def quoted(text: str) -> str:
    """As a local part (RFC 5321 section 4.1.2)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _insecure():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _dialogue(address: str, *commands: str, port: int = 25) -> None:
    """Say the commands as they are, one after the other, whatever is answered."""
    with contextlib.suppress(ConnectionError), socket.create_connection((address, port), timeout=8) as stream:
        stream.recv(4096)
        for command in commands:
            stream.sendall(command.encode() + b"\r\n")
            stream.recv(4096)


def _message(address: str, subject="hello", identifier="<x@outside.test>", sender="friend@outside.test", recipient=f"alice@{DOMAIN}") -> None:
    with smtplib.SMTP(address, 25, "client.outside.test", timeout=8) as session, contextlib.suppress(smtplib.SMTPException):
        session.sendmail(sender, [recipient], f"From: <friend@outside.test>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\nMessage-ID: {identifier}\r\n\r\nhello\r\n")


def by_strangers(address: str) -> None:
    """All that comes by the network, from who has no account."""
    for text in texts("login"):
        # The answer to a wrong password is delayed; its log line comes meanwhile.
        with socket.create_connection((address, 993), timeout=8) as stream, _insecure().wrap_socket(stream) as session:
            session.recv(4096)
            session.sendall(f"a LOGIN {quoted(text)} x\r\n".encode())
            time.sleep(0.5)
    for text in texts("sender"):
        _dialogue(address, "EHLO client.outside.test", f"MAIL FROM:<{quoted(text)}@evil.test>", f"RCPT TO:<nosuch@{DOMAIN}>", "QUIT")
    for text in texts("recipient"):
        _dialogue(address, "EHLO client.outside.test", "MAIL FROM:<a@outside.test>", f"RCPT TO:<{quoted(text)}@{DOMAIN}>", "QUIT")
    for text in texts("helo"):
        _dialogue(address, f"HELO {text}", "MAIL FROM:<a@outside.test>", f"RCPT TO:<nosuch@{DOMAIN}>", "QUIT")
    for text in texts("taken sender"):
        _message(address, sender=f"{quoted(text)}@outside.test")
    for text in texts("detail"):
        _dialogue(address, "EHLO client.outside.test", "MAIL FROM:<a@outside.test>", f"RCPT TO:<{quoted('alice+' + text)}@{DOMAIN}>", "DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT")
    for text in texts("worm"):
        _message(address, subject=f"worm {text}")
    for text in texts("message id"):
        _message(address, identifier=f"<{text}@outside.test>")
    for text in texts("garbage"):
        _dialogue(address, "EHLO client.outside.test", f"GET {text}", "QUIT")
    for text in texts("pipelining"):
        with contextlib.suppress(ConnectionError), socket.create_connection((address, 25), timeout=8) as stream:
            stream.sendall(f"HELO x\r\n{text}\r\n".encode())
            stream.recv(4096)
    for text in texts("asked"):
        _dialogue(address, "EHLO client.outside.test", f"VRFY {quoted(text)}@{DOMAIN}", "QUIT")


# Each with the texts on its standard input, as the ordinary user ops.
_BY_USERS = {
    "logger": "while read -r text; do logger -t postfix/smtpd -p mail.warning -- \"$text\"; done",
    "logger as master": "while read -r text; do logger -t 'postfix/master[7]' -p mail.warning -- \"$text\"; done",
    "logger as dovecot": "while read -r text; do logger -t dovecot -p mail.err -- \"$text\"; done",
    "logger as kernel": "while read -r text; do logger -t kernel -p kern.err -- \"$text\"; logger -t kernel -p mail.err -- \"$text\"; done",
    "logger as systemd": "while read -r text; do logger -t 'systemd[1]' -p daemon.err -- \"$text\"; logger -t 'systemd[1]' -p mail.err -- \"$text\"; done",
    "journal": "while read -r text; do printf 'MESSAGE=%s\\nSYSLOG_IDENTIFIER=postfix/master\\nSYSLOG_FACILITY=2\\nPRIORITY=2\\n_UID=0\\n' \"$text\" "
               "| logger --journald; done",
    "logger, two lines": "python3 -c 'import socket, sys, time\nfor text in sys.stdin:\n"
                         " s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n s.connect(\"/dev/log\")\n"
                         " s.send((\"<22>x: y\\n\" + time.strftime(\"%Y-%m-%dT%H:%M:%S+00:00\") + \" mail postfix/smtpd[7]: \" + text).encode())'",
}


def by_users(mail) -> None:
    """All that people with an account on the host can write; ``mail`` is the host."""
    for road, script in _BY_USERS.items():
        mail.changed = True
        mail.lab.run("exec", mail.name, "runuser", "-u", "ops", "--", "bash", "-c", script, data="".join(f"{text}\n" for text in texts(road)).encode())
    for text in texts("forward"):
        mail.write("/home/carol/.forward", f"\"|echo '{text}'; exit 75\"\n".encode())
        mail.change("chown carol: /home/carol/.forward; printf 'Subject: x\\n\\nx\\n' | sendmail -f friend@outside.test carol")
    for text in texts("sieve"):
        mail.write("/home/bob/.dovecot.sieve", f'require ["fileinto", "mailbox"];\nfileinto :create "{text}";\n'.encode())
        mail.change("chown bob: /home/bob/.dovecot.sieve; printf 'Subject: x\\n\\nx\\n' | sendmail -f friend@outside.test bob")
    for text in texts("outbound recipient"):
        mail.change(f"printf 'Subject: x\\n\\nx\\n' | sendmail -f alice@{DOMAIN} '{quoted(text)}@outside.test'")


def by_other_servers(mail, outside) -> None:
    """What a server elsewhere answers to our users' mail."""
    rules = [(f"lured{number}", code, f"{phrase} {word(number)}") for code in ("450", "550")
             for number, (_name, road, phrase) in enumerate(LURES) if road == f"answer {code}"]
    outside.write("/etc/postfix/lures", "".join(f"{name}@outside.test {code} {text}\n" for name, code, text in rules).encode())
    outside.change("postmap /etc/postfix/lures; postconf -e 'smtpd_recipient_restrictions=check_recipient_access hash:/etc/postfix/lures'; postfix reload")
    for name, _code, _text in rules:
        mail.change(f"printf 'Subject: x\\n\\nx\\n' | sendmail -f alice@{DOMAIN} {name}@outside.test")
