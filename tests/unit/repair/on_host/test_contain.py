"""Containment is set after its own end is, and taken back to what was there before."""
from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.host._postconf import contained
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import contain
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Refused

MAIN = "# mail\nmyhostname = mail.x.test\nsoft_bounce = no\ndefer_transports =\n"


def options(**more):
    return {"state": "present", "soft_bounce": True, "defer_transports": [], "expires": 600, **more}


@pytest.fixture(name="place")
def _place(tmp_path, monkeypatch):
    main = tmp_path / "main.cf"
    main.write_text(MAIN)
    monkeypatch.setattr(contain.os.path, "isdir", lambda path: True)
    return str(main), str(tmp_path / "mailops-contain")


def told(place, **more):
    """The steps in order; the files that are written are written."""
    found = []
    for step in contain.steps(None, options(**more), *place):
        found.append(step)
        if hasattr(step, "content"):
            with open(step.path, "wb") as stream:
                stream.write(step.content)
        elif step.does().startswith("rm "):
            os.unlink(step.path)
    return [step.does() for step in found]


def test_the_end_is_set_before_the_beginning(place):
    done = told(place)
    assert done.index("systemctl enable --now mailops-contain.timer") < done.index(f"write {place[0]}") < done.index("postfix reload")


def test_it_is_set_once(place):
    told(place, defer_transports=["lmtp"])
    text = open(place[0], encoding="utf-8").read()
    assert text.count("soft_bounce = yes") == 1 and "defer_transports = lmtp" in text and "soft_bounce = no" not in text
    assert told(place, defer_transports=["lmtp"]) == []


def test_it_is_taken_back_to_what_was_there(place):
    told(place, defer_transports=["lmtp"])
    told(place, state="absent")
    assert contain.values(open(place[0], encoding="utf-8").read())["soft_bounce"] == "no"
    assert not os.path.exists(place[1] + ".timer") and told(place, state="absent") == []


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def test_the_timer_puts_back_by_itself_what_was_there(place):
    told(place)
    service, timer = (read(place[1] + end) for end in (".service", ".timer"))
    assert 'postconf -e "soft_bounce = no"' in service and "/d\" " + place[0] in service
    # A reboot must not begin the time anew for ever, and what failed is tried again until it is done.
    assert "OnActiveSec=600\nOnCalendar=20" in timer and "Persistent=true\nOnUnitInactiveSec=60\n" in timer
    assert "ExecStartPost=/bin/systemctl disable --now mailops-contain.timer" in service


def test_a_second_containment_takes_back_the_first_as_well(place):
    told(place)
    done = told(place, soft_bounce=False, defer_transports=["lmtp"])
    service = read(place[1] + ".service")
    assert 'postconf -e "soft_bounce = no"' in service and 'postconf -e "defer_transports = "' in service and "systemctl restart mailops-contain.timer" in done
    assert contain.values(read(place[0]))["soft_bounce"] == "yes"
    told(place, state="absent")
    assert contain.values(read(place[0])) == contain.values(MAIN) and "mailops" not in read(place[0])


def test_what_lost_its_timer_is_ours_still_and_gets_a_new_one_or_is_taken_back(place):
    told(place)
    for end in (".timer", ".service"):
        os.unlink(place[1] + end)
    assert "systemctl enable --now mailops-contain.timer" in told(place)
    assert 'postconf -e "soft_bounce = no"' in read(place[1] + ".service")
    for end in (".timer", ".service"):
        os.unlink(place[1] + end)
    assert told(place, state="absent")[0] == f"write {place[0]}" and read(place[0]) == MAIN


def test_what_a_rollback_took_out_already_leaves_only_the_units_to_take_away(place):
    told(place)
    with open(place[0], "w", encoding="utf-8") as stream:
        stream.write(MAIN)
    assert not any(step.startswith("write") for step in told(place, state="absent")) and read(place[0]) == MAIN
    assert not os.path.exists(place[1] + ".timer")


def test_what_an_administrator_set_is_left_alone(place):
    with open(place[0], "w", encoding="utf-8") as stream:
        stream.write(MAIN.replace("soft_bounce = no", "soft_bounce = yes"))
    assert told(place) == [] and told(place, state="absent") == []


@pytest.mark.parametrize("before", ["no", "", None, "a, b"])
def test_the_remark_tells_what_was_there(before):
    text = "x = 1\n" + contain.remarks({"soft_bounce": before}, 1795467600) + "soft_bounce = yes\n"
    assert contained(text) == {"soft_bounce": ("2026-11-23T21:00:00Z", before)}


@pytest.mark.parametrize("more", [{"soft_bounce": False}, {"expires": 5}, {"defer_transports": ["a; rm -rf"]}, {"defer_transports": ["a b"]}])
def test_what_has_no_meaning_or_could_have_another_is_refused(place, more):
    with pytest.raises(Refused):
        told(place, **more)


def test_without_postfix_it_is_refused(tmp_path):
    with pytest.raises(Refused, match="no Postfix"):
        list(contain.steps(None, options(), str(tmp_path / "none"), str(tmp_path / "unit")))


@given(st.text(alphabet="ab =#\n\t", max_size=80))
def test_a_setting_is_set_and_taken_out_whatever_is_in_the_file(text):
    with_it = contain.with_values(text, {"soft_bounce": "yes"})
    assert contain.values(with_it)["soft_bounce"] == "yes"
    assert "soft_bounce" not in contain.values(contain.with_values(with_it, {"soft_bounce": None}))
