"""A diagnosis leaves nothing behind, needs no room on the host, and is the same in check mode and when it is made again."""
from __future__ import annotations

import pytest
from playing import outcome, roots

# Path, kind, size, owner, mode and time of change of everything on the host's disks and in its temporary folders. What the services
# write for any session is theirs: their logs and states, the queue file that a RCPT needs, and the index of the mailbox that was opened.
TREE = r"""
find / /tmp -xdev \( -path /proc -o -path /sys -o -path /run -o -path /var/log -o -path /var/lib/postfix -o -path /var/lib/dovecot \
    -o -path /var/spool/postfix/incoming -o -path /home/probe/Maildir \) -prune \
    -o -printf '%p %y %s %u:%g %m %T@\n' | sort -u
"""
FULL = r"""
for folder in /tmp /var/tmp; do
    mount -t tmpfs -o size=64k,mode=1777 tmpfs $folder
    dd if=/dev/zero of=$folder/filler bs=4k 2> /dev/null || true
done
cp -a /home/ops /root/ops
mount -t tmpfs -o size=64k tmpfs /home/ops
cp -a /root/ops/. /home/ops/
chown ops: /home/ops; chmod 755 /home/ops
dd if=/dev/zero of=/home/ops/filler bs=4k 2> /dev/null || true
su ops -c 'touch /home/ops/x && echo 12345 > /home/ops/x' 2> /dev/null && exit 1
true
"""


def test_a_diagnosis_writes_nothing_on_the_host(play, single, mail):
    play(single)
    before = mail.look(TREE).splitlines()
    found = play(single).diagnosis
    after = mail.look(TREE).splitlines()
    assert sorted(set(after) ^ set(before)) == []
    assert len(before) > 5000
    assert roots(found) == []


@pytest.mark.parametrize("settings", [{}, {"ANSIBLE_PIPELINING": "false", "ANSIBLE_SSH_PIPELINING": "false"}], ids=["own settings", "Ansible's defaults"])
def test_a_host_without_any_room_is_diagnosed(play, single, mail, settings):
    mail.change(FULL)
    ended = play(single, environment=settings)
    found = ended.diagnosis
    assert found["estate"]["hosts"][0]["reachable"] and found["estate"]["hosts"][0]["error"] == ""
    ends = ended.observation("mail")["collectors"]
    assert [name for name, end in ends.items() if not end["ok"]] == []


def test_check_mode_and_a_second_run_say_the_same(play, single, mail, tmp_path):
    mail.change("systemctl stop postfix@-")
    first = play(single).diagnosis
    assert roots(first) == [("service.mta_stopped", "mail")]
    again = play(single, reports=tmp_path / "again").diagnosis
    checked = play(single, "--check", "--diff", reports=tmp_path / "checked")
    assert outcome(again) == outcome(first)
    assert outcome(checked.diagnosis) == outcome(first)
    assert "changed=0" in checked.out and "changed=1" not in checked.out
