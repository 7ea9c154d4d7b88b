"""What users and peers do while a fault is on a host: mail in, mail out, reading."""
from __future__ import annotations

import contextlib
import imaplib
import smtplib
import socket
import ssl
import time

import lab


@contextlib.contextmanager
def quiet():
    """Mail that cannot be sent is what faults are about."""
    with contextlib.suppress(OSError, smtplib.SMTPException, imaplib.IMAP4.error, EOFError):
        yield


def send(address, port, sender, recipient, text, login=None, context=None):
    with smtplib.SMTP(address, port, "client.outside.test", timeout=4) as session:
        if login:
            session.starttls(context=context)
            session.login(*login)
        session.sendmail(sender, [recipient], f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: hello\r\n\r\n{text}\r\n")


def make(fault):
    """The traffic that a fault's case names (``traffic`` in faults.yml)."""
    kind, layout = fault.get("traffic", "mail"), lab.layout_of(fault)
    if kind == "none":
        return
    edge, store = (list(lab.addresses(layout).values()) * 2)[:2]
    domain = lab.variable(layout, "mail_domains")[0]
    authority = lab.STATE / "ca.pem"
    context = ssl.create_default_context(cafile=str(authority)) if authority.exists() else ssl._create_unverified_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    account = lab.variable(layout, "mail_probe_accounts")[0]
    text = "x" * 60000 if kind == "large" else "hello"
    for number in range(3):
        with quiet():
            send(edge, 25, f"friend{number}@outside.test", f"alice@{domain}", text)
    with quiet():
        send(store, 587, account["address"], "friend@outside.test", text, (account["login"], account["password"]), context)
    with quiet():
        reader = imaplib.IMAP4_SSL(store, ssl_context=context, timeout=4)
        reader.login(account["login"], account["password"])
        reader.select("INBOX")
        reader.logout()
    with quiet():
        reader = imaplib.IMAP4_SSL(store, ssl_context=context, timeout=4)
        user = account["login"].replace("probe", "alice")
        reader.login(user, "lab-alice")
        reader.select("INBOX")
        reader.fetch("1:*", "(FLAGS BODY.PEEK[])")
        reader.logout()
    if kind == "many_sessions":
        held = []
        for _number in range(4):
            with quiet():
                held.append(socket.create_connection((edge, 25), timeout=2))
        time.sleep(1.5)
        for session in held:
            session.close()
    if kind == "old_tls":
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        for _number in range(3):
            with quiet():
                imaplib.IMAP4_SSL(store, ssl_context=old, timeout=3)
