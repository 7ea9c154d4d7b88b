"""Signatures of many outages and the lines that they mean, as real hosts wrote them (Postfix 3.7, Dovecot 2.3, Exim 4.96, Linux)."""
from __future__ import annotations

# name: (signature, the line's text after stamp and host)
KNOWN = {
    "lmtp_refused": ({"program": ".+/lmtp", "pattern": r"^status=\w+ \(connect to \[(?P<socket>private/[\w-]+)\]: Connection refused"},
        "postfix/lmtp[254]: 435321A2001: to=<alice@example.test>, relay=none, delay=0.06, delays=0.05/0/0/0, dsn=4.4.1, "
        "status=deferred (connect to mail.example.test[private/dovecot-lmtp]: Connection refused)"),
    "lmtp_silent": ({"program": ".+/lmtp", "pattern": r"^status=\w+ \(conversation with \[private/[\w-]+\] timed out while receiving the initial server greeting"},
        "postfix/lmtp[9]: 435321A2001: to=<a@example.test>, relay=x[private/dovecot-lmtp], delay=300, dsn=4.4.2, status=deferred "
        "(conversation with mail.example.test[private/dovecot-lmtp] timed out while receiving the initial server greeting)"),
    "sasl_socket": ({"program": ".+/smtpd", "pattern": "^warning: SASL: Connect to Dovecot auth socket '(?P<socket>[^']+)' failed: (?P<reason>.+)"},
        "postfix/smtpd[7]: warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory"),
    "throttled": ({"program": ".+/master", "pattern": r"^warning: \S+/(?P<process>[\w-]+): bad command startup -- throttling"},
        "postfix/master[5]: warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling"),
    "killed": ({"program": ".+/master", "pattern": r"^warning: process \S+/(?P<process>[\w-]+) pid \d+ killed by signal (?P<signal>\d+)"},
        "postfix/master[5]: warning: process /usr/lib/postfix/sbin/smtpd pid 77 killed by signal 9"),
    "port_taken": ({"program": ".+/master", "pattern": r"^fatal: bind \S+ port (?P<port>\d+): Address already in use"},
        "postfix/master[5]: fatal: bind 0.0.0.0 port 25: Address already in use"),
    "imap_port_taken": ({"program": "dovecot", "pattern": r"^master: Error: service\((?P<service>)\): listen\((?P<listener>)\) failed: Address already in use"},
        "dovecot: master: Error: service(imap-login): listen(*, 143) failed: Address already in use"),
    "process_limit": ({"program": ".+/master", "pattern": r'^warning: service "(?P<service>)" \(\S+\) has reached its process limit'},
        'postfix/master[5]: warning: service "smtp" (25) has reached its process limit "2": new clients may experience noticeable '
        "delays"),
    "imap_process_limit": ({"program": "dovecot", "pattern": r"^master: Warning: service\((?P<service>)\): process_limit \(\d+\) reached"},
        "dovecot: master: Warning: service(imap-login): process_limit (2) reached, client connections are being dropped"),
    "spool_full": ({"program": ".+/smtpd", "pattern": "^warning: not enough free space in mail queue"},
        "postfix/smtpd[7]: warning: not enough free space in mail queue: 0 bytes < 1.5*message size limit"),
    "write_failed": ({"program": ".+/cleanup", "pattern": r"^warning: \w+: write queue file: No space left on device"},
        "postfix/cleanup[7]: warning: 1C4D95D: write queue file: No space left on device"),
    "read_only": ({"program": ".+/cleanup", "pattern": r"^warning: mail_queue_enter: create file \S+: Read-only file system"},
        "postfix/cleanup[7]: warning: mail_queue_enter: create file incoming/512685.144: Read-only file system"),
    "spool_denied": ({"program": ".+/qmgr", "pattern": r"^fatal: scan_dir_push: open directory (?P<directory>\w+): Permission denied"},
        "postfix/qmgr[7]: fatal: scan_dir_push: open directory deferred: Permission denied"),
    "store_full": ({"program": "dovecot", "pattern": r"^lmtp\(\)<><>: Error: write\(\) failed: No space left on device"},
        "dovecot: lmtp(alice)<1><x>: Error: write(/home/alice/Maildir/dovecot-uidlist.tmp) failed: No space left on device"),
    "mailbox_denied": ({"program": "dovecot", "pattern": r"^imap\((?P<user>)\)<><>: Error: stat\(\) failed: Permission denied \(euid=(?P<uid>\d+)\(\)"},
        "dovecot: imap(alice)<1><x>: Error: stat(/home/alice/Maildir/tmp) failed: Permission denied (euid=1000(alice) "
        "egid=1000(alice) missing +x perm: /home/alice/Maildir, dir owned by 0:0 mode=0700)"),
    "config_value": ({"program": ".+/smtpd", "pattern": r"^fatal: bad numerical configuration: (?P<parameter>\w+)"},
        "postfix/smtpd[7]: fatal: bad numerical configuration: message_size_limit = abc"),
    "map_missing": ({"program": r".+/[\w-]+", "pattern": r"^error: open database (?P<map>\S+): No such file"},
        "postfix/trivial-rewrite[7]: error: open database /etc/postfix/transport.db: No such file or directory"),
    "relay_denied": ({"program": ".+/smtpd", "pattern": r"^reject: RCPT from \[\]: 554 5\.7\.1 <(?P<recipient>)>: Relay access denied;"},
        "postfix/smtpd[7]: NOQUEUE: reject: RCPT from x[192.0.2.7]: 554 5.7.1 <alice@example.test>: Relay access denied; from=<a@b> "
        "to=<alice@example.test> proto=ESMTP helo=<b>"),
    "user_unknown": ({"program": ".+/lmtp", "pattern": r"^status=bounced \(host \[private/lmtp\] said: $", "answer": r"^550 5\.1\.1 <(?P<recipient>[^<>]*)> User doesn't exist"},
        "postfix/lmtp[7]: 9BBF11A20F0: to=<bob@example.test>, relay=x[private/lmtp], delay=1, dsn=5.1.1, status=bounced (host "
        "x[private/lmtp] said: 550 5.1.1 <bob@example.test> User doesn't exist: bob@example.test (in reply to RCPT TO command))"),
    "resolver": ({"program": ".+/smtp", "pattern": r"^status=deferred \(Host or domain name not found\. Name service error for name=(?P<name>\S+) type=MX: "
                 r"Host not found, try again"},
        "postfix/smtp[7]: 9BBF11A20F0: to=<a@remote.test>, relay=none, delay=1, dsn=4.4.3, status=deferred (Host or domain name not "
        "found. Name service error for name=remote.test type=MX: Host not found, try again)"),
    "outbound": ({"program": ".+/smtp", "pattern": r"^status=deferred \(connect to (?P<destination>)\[\]:25: Connection timed out\)$"},
        "postfix/smtp[7]: 9BBF11A20F0: to=<a@remote.test>, relay=none, delay=30, dsn=4.4.1, status=deferred (connect to "
        "mx.remote.test[192.0.2.20]:25: Connection timed out)"),
    "milter": ({"program": ".+/smtpd", "pattern": r"^warning: connect to Milter service (?P<milter>\S+): Connection refused"},
        "postfix/smtpd[7]: warning: connect to Milter service inet:127.0.0.1:8891: Connection refused"),
    "policy": ({"program": ".+/smtpd", "pattern": r"^warning: problem talking to server (?P<server>\S+): Connection refused"},
        "postfix/smtpd[7]: warning: problem talking to server 127.0.0.1:10023: Connection refused"),
    "key_mismatch": ({"program": "dovecot", "pattern": r"^imap-login: Error: [\w (),:']+(?:Key is for a different cert|key values mismatch)"},
        "dovecot: imap-login: Error: Failed to initialize SSL server context: Can't load SSL private key (ssl_key setting): Key is "
        "for a different cert than ssl_cert"),
    "expired": ({"program": "dovecot", "pattern": r"^imap-login: [\w ():]+alert certificate expired"},
        "dovecot: imap-login: Disconnected: Connection closed: SSL_accept() failed: error:0A000415:SSL routines::sslv3 alert "
        "certificate expired: SSL alert number 45: user=<>, rip=192.0.2.1"),
    "password": ({"program": "dovecot", "pattern": r"^auth: pam\((?P<user>),\): pam_authenticate\(\) failed: [\w ]+\(Password mismatch"},
        "dovecot: auth: pam(alice,192.0.2.1): pam_authenticate() failed: Authentication failure (Password mismatch?)"),
    "directory": ({"program": "dovecot", "pattern": r"^auth-worker\(\): Error: mysql\(\): Connect failed to database"},
        "dovecot: auth-worker(7): Error: mysql(127.0.0.1): Connect failed to database (mail): Can't connect to server on '127.0.0.1' "
        "(115) - waiting for 25 seconds before retry"),
    "quota": ({"program": ".+/lmtp", "pattern": r"^status=bounced \(host \[private/lmtp\] said: $", "answer": r"^552 5\.2\.2 <(?P<user>[^<>]*)> Quota exceeded"},
        "postfix/lmtp[7]: 9BBF11A20F0: to=<alice@example.test>, relay=x[private/lmtp], dsn=5.2.2, status=bounced (host x[private/lmtp] said: 552 "
        "5.2.2 <alice@example.test> Quota exceeded (mailbox for user is full) (in reply to end of DATA command))"),
    "discarded": ({"program": ".+/cleanup", "pattern": r"^discard: (?P<rule>header \w+)"},
        "postfix/cleanup[7]: A63AF1B4: discard: header Subject: t from localhost[127.0.0.1]; from=<a@b> to=<c@d> proto=ESMTP helo=<b>"),
    "index_damaged": ({"program": "dovecot", "pattern": r"^imap\(\)<><>: Panic: file (?P<file>[\w-]+\.c)"},
        "dovecot: imap(alice)<1><x>: Panic: file mail-transaction-log.c: line 20 (x): assertion failed"),
    "clock": ({"program": "dovecot", "pattern": "^master: Warning: Time moved (?P<way>backwards|forwards)"},
        "dovecot: master: Warning: Time moved backwards by 3600.000000 seconds, waiting for 180 secs until new services are launched "
        "again."),
    "exim_tainted": ({"program": "exim", "pattern": r"^== \S+ R=\w+ T=\w+ defer \(-1\): Tainted '(?P<path>[^']+)'"},
        "exim[7]: 1vNabc-0000xY-1a == alice@example.test R=l T=f defer (-1): Tainted '/var/mail/alice' (file or directory name for f "
        "transport) not permitted"),
}
SIGNATURES = {name: spec for name, (spec, _line) in KNOWN.items()}
# Lines of ordinary traffic: no signature above means one of them.
TRAFFIC = [
    "postfix/smtpd[245]: connect from localhost[127.0.0.1]",
    "postfix/smtpd[259]: 433C41A20DD: client=localhost[127.0.0.1]",
    "postfix/submission/smtpd[245]: BE92A1A20CC: client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=alice",
    "postfix/cleanup[252]: BE92A1A20CC: message-id=<1795470309.7664256@pc.example.test>",
    "postfix/qmgr[206]: BE92A1A20CC: from=<alice@example.test>, size=354, nrcpt=1 (queue active)",
    "postfix/lmtp[254]: BE92A1A20CC: to=<bob@example.test>, relay=mail.example.test[private/dovecot-lmtp], delay=0.4, delays=0.12/0.03/0.24/0.01, dsn=2.0.0, "
    "status=sent (250 2.0.0 <bob@example.test> Xa3JCeazBGv/AAAAMMJcmg Saved)",
    "postfix/qmgr[206]: BE92A1A20CC: removed",
    "postfix/smtpd[245]: disconnect from localhost[127.0.0.1] ehlo=2 starttls=1 auth=1 mail=1 rcpt=1 data=1 quit=1 commands=8",
    "dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=261, TLS, session=<xh0Ogvhgns5/AAAB>",
    "dovecot: imap(alice)<261><xh0Ogvhgns5/AAAB>: Disconnected: Logged out in=32 out=823 deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0",
    "opendkim[49]: BE92A1A20CC: DKIM-Signature field added (s=lab1, d=example.test)",
    "postfix/smtpd[259]: lost connection after RSET from localhost[127.0.0.1]",
]
