"""Mail servers over one store, as scripts of ScriptedServer: what SMTP takes is in the IMAP and POP3 mailbox at once, unless told otherwise."""
from __future__ import annotations

import contextlib
import re
import threading

IMAP = "IMAP4rev1 SASL-IR AUTH=PLAIN IDLE UIDPLUS"


class Store:
    """``deliver`` is called with each message that SMTP took; a test may replace it. ``commands`` are those of IMAP and POP3, as they came."""

    def __init__(self):
        self.messages = []
        self.next_uid = {"INBOX": 1, "Junk": 1}
        self.changed = threading.Condition()
        self.commands = []
        self.deliver = self.put

    def put(self, raw, folder="INBOX", flags=(), gap=1):
        with self.changed:
            uid = self.next_uid[folder] + gap - 1
            self.next_uid[folder] = uid + 1
            self.messages.append({"uid": uid, "raw": raw, "folder": folder, "flags": set(flags)})
            self.changed.notify_all()
        return uid

    def of(self, folder="INBOX"):
        return [message for message in self.messages if message["folder"] == folder]

    def expunge(self, folder, uids=None):
        gone = [m for m in self.of(folder) if "\\Deleted" in m["flags"] and (uids is None or m["uid"] in uids)]
        self.messages = [m for m in self.messages if m not in gone]
        return gone


def header(raw):
    return re.sub(rb"\r\n[ \t]+", b" ", raw.partition(b"\r\n\r\n")[0]).split(b"\r\n")


def smtp(store, drop_at=None, drip=False, **replies):
    """``drop_at`` hangs up in place of the answer to that command (``.`` is the end of data); ``replies`` are by command, or functions that make them."""
    table = {"GREETING": b"220 mail.example.test ESMTP", "EHLO": b"250-mail.example.test\r\n250-AUTH PLAIN LOGIN XOAUTH2\r\n250 8BITMIME",
             "AUTH": b"235 2.7.0 Authentication successful", "MAIL": b"250 2.1.0 Ok", "RCPT": b"250 2.1.5 Ok", "DATA": b"354 End data with <CR><LF>.<CR><LF>",
             ".": b"250 2.0.0 Ok: queued as 4XyZ12abc", "QUIT": b"221 2.0.0 Bye", **replies}

    def script(peer):
        def answer(name):
            reply = table.get(name, b"500 5.5.2 unknown")
            reply = reply() if callable(reply) else reply
            (peer.drip if drip else peer.send)(reply + b"\r\n")
            return reply
        if drop_at == "GREETING":
            return
        answer("GREETING")
        while True:
            line = peer.line()
            name = line.split(b" ")[0].decode().upper()
            if not line or name == drop_at:
                return
            if answer(name)[:3] == b"354":
                lines = []
                while (line := peer.line()) != b".":
                    lines.append(line[1:] if line[:1] == b"." else line)
                if drop_at != ".":
                    answer(".")
                if table["."][:1] == b"2":
                    store.deliver(b"\r\n".join(lines) + b"\r\n")
                if drop_at == ".":
                    return
    return script


def imap(store, capabilities=IMAP, drop_at=None, blind_searches=0, login=b"OK Logged in", uidnext=True):
    """``drop_at`` hangs up at that command; ``blind_searches``: SEARCH finds nothing so many times."""
    blind = [blind_searches]

    def script(peer):
        _Imap(store, peer, capabilities, drop_at, blind, login, uidnext).run()
    return script


class _Imap:
    def __init__(self, store, peer, capabilities, drop_at, blind, login, uidnext):
        self.store, self.peer, self.capabilities, self.drop_at, self.blind = store, peer, capabilities, drop_at, blind
        self.login, self.uidnext = login, uidnext
        self.folder = "INBOX"
        self.told = 0
        self.unsent = b""

    def run(self):
        self.say(f"* OK [CAPABILITY {self.capabilities}] ready".encode())
        while True:
            self.flush()
            line = self.peer.line()
            if not line:
                return
            tag, _space, command = line.partition(b" ")
            name = b" ".join(command.split(b" ")[:2 if command.upper().startswith(b"UID ") else 1]).decode().upper()
            self.store.commands.append(command)
            if name == self.drop_at:
                self.drop_at = None
                return
            getattr(self, "do_" + name.lower().replace(" ", "_"), self.unknown)(command)
            self.tell()
            self.say(tag + b" " + (self.login if name == "AUTHENTICATE" else b"OK done"))
            if name == "LOGOUT":
                self.flush()
                return

    def say(self, line):
        self.unsent += line + b"\r\n"

    def flush(self):
        """One answer goes out as one piece: many small ones would wait for each other (RFC 896)."""
        self.peer.send(self.unsent)
        self.unsent = b""

    def tell(self):
        count = len(self.store.of(self.folder))
        if count > self.told:
            self.say(b"* %d EXISTS" % count)
        self.told = count

    def unknown(self, _command):
        pass

    def do_capability(self, _command):
        self.say(f"* CAPABILITY {self.capabilities}".encode())

    def do_select(self, command):
        self.folder = command.split(b'"')[1].decode()
        self.told = len(self.store.of(self.folder))
        self.say(b"* %d EXISTS" % self.told)
        self.say(b"* OK [UIDVALIDITY 7] UIDs valid")
        if self.uidnext:
            self.say(b"* OK [UIDNEXT %d] Predicted next UID" % self.store.next_uid[self.folder])

    def do_status(self, command):
        folder = command.split(b'"')[1].decode()
        self.say(f'* STATUS "{folder}" (UIDNEXT {self.store.next_uid[folder]})'.encode())

    def do_list(self, _command):
        self.say(b'* LIST (\\HasNoChildren) "/" INBOX')
        self.say(b'* LIST (\\HasNoChildren \\Junk) "/" "Junk"')

    def among(self, text):
        """The messages of a UID set."""
        found = []
        last = max([m["uid"] for m in self.store.of(self.folder)], default=0)
        for part in text.split(b","):
            low, _colon, high = part.partition(b":")
            low = last if low == b"*" else int(low)
            high = last if high == b"*" else int(high or low)
            found += [m for m in self.store.of(self.folder) if min(low, high) <= m["uid"] <= max(low, high)]
        return found

    def do_uid_fetch(self, command):
        for message in self.among(command.split(b" ")[2]):
            raw = message["raw"]
            fields = re.search(rb"HEADER\.FIELDS \(([^)]*)\)", command)
            if fields:
                wanted = fields.group(1).upper().split()
                raw = b"".join(line + b"\r\n" for line in header(raw) if line.partition(b":")[0].upper() in wanted) + b"\r\n"
            self.say(b"* 1 FETCH (UID %d BODY[] {%d}\r\n%s)" % (message["uid"], len(raw), raw))

    def do_uid_search(self, command):
        found = self.store.of(self.folder)
        chosen = re.search(rb"UID ([\d:*,]+)", command[4:])
        if chosen:
            found = [m for m in found if m in self.among(chosen.group(1))]
        wanted = re.search(rb'HEADER (\S+) (\S+)', command)
        if wanted:
            name, value = wanted.group(1).lower(), wanted.group(2).strip(b'"')
            found = [m for m in found if any(line.partition(b":")[0].lower() == name and value in line for line in header(m["raw"]))]
        if b"DELETED" in command:
            found = [m for m in found if "\\Deleted" in m["flags"]]
        if self.blind[0]:
            self.blind[0] -= 1
            found = []
        self.say(b"* SEARCH" + b"".join(b" %d" % m["uid"] for m in found))

    def do_uid_store(self, command):
        for message in self.among(command.split(b" ")[2]):
            message["flags"].add("\\Deleted")

    def do_uid_expunge(self, command):
        self.store.expunge(self.folder, {m["uid"] for m in self.among(command.split(b" ")[2])})
        self.told = len(self.store.of(self.folder))

    def do_expunge(self, _command):
        self.store.expunge(self.folder)
        self.told = len(self.store.of(self.folder))

    def do_idle(self, _command):
        over = threading.Event()
        self.say(b"+ idling")
        self.flush()

        def watch():
            with contextlib.suppress(OSError), self.store.changed:
                while not over.is_set():
                    self.tell()
                    self.flush()
                    self.store.changed.wait(0.05)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        self.peer.line()
        over.set()
        watcher.join()


def pop3(store, drop_at=None, **replies):
    """A maildrop is what was there at the login."""
    def script(peer):
        drop, deleted = list(store.of()), []
        peer.send(b"+OK ready\r\n")
        while True:
            line = peer.line()
            words = line.split(b" ")
            name = words[0].decode().upper()
            if not line or name == drop_at:
                return
            store.commands.append(line)
            if name == "QUIT":
                for message in deleted:
                    message["flags"].add("\\Deleted")
                store.expunge("INBOX")
            if name == "DELE":
                deleted.append(drop[int(words[1]) - 1])
            peer.send(replies.get(name) or _pop3_reply(name, words, drop))
            if name == "QUIT":
                return
    return script


def _pop3_reply(name, words, drop):
    if name == "CAPA":
        return b"+OK\r\nTOP\r\nUIDL\r\nUSER\r\nSASL PLAIN\r\n.\r\n"
    if name == "AUTH":
        return b"+ \r\n"
    if name == "STAT":
        return b"+OK %d 1000\r\n" % len(drop)
    if name in ("UIDL", "LIST", "TOP", "RETR"):
        message = drop[int(words[1]) - 1]
        if name in ("UIDL", "LIST"):
            return b"+OK %s %d\r\n" % (words[1], message["uid"] if name == "UIDL" else len(message["raw"]))
        raw = message["raw"] if name == "RETR" else message["raw"].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        return b"+OK\r\n" + (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
    return b"+OK\r\n"
