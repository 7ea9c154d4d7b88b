"""A ledger of messages: sent before, during and after an outage, and at the end each is delivered once, or was never taken.

A sender whose message is put off (4xx, no connection) keeps it and tries again, as real ones do; one that is refused for good (5xx) gives up.
"""
from __future__ import annotations

import smtplib
import time
import uuid


class Ledger:
    """Messages from a stranger to one mailbox. ``count(token)`` tells how many copies the mailbox holds, ``queued(token)`` whether a queue holds it."""

    def __init__(self, address: str, recipient: str, count, queued, clock=time.monotonic, sleep=time.sleep):
        self._address, self._recipient, self._count, self._queued = address, recipient, count, queued
        self._clock, self._sleep = clock, sleep
        self.states: dict = {}

    def send(self, messages: int) -> None:
        for _number in range(messages):
            self._try(uuid.uuid4().hex)

    def retry(self) -> None:
        """Those that were put off are sent again."""
        for token, state in list(self.states.items()):
            if state == "put off":
                self._try(token)

    def _try(self, token: str) -> None:
        text = f"From: <friend@outside.test>\r\nTo: <{self._recipient}>\r\nSubject: ledger\r\nMessage-ID: <{token}@ledger.outside.test>\r\n\r\nhello\r\n"
        try:
            with smtplib.SMTP(self._address, 25, "client.outside.test", timeout=8) as session:
                session.sendmail("friend@outside.test", [self._recipient], text)
            self.states[token] = "taken"
        except smtplib.SMTPRecipientsRefused as refused:
            self.states[token] = "refused" if next(iter(refused.recipients.values()))[0] >= 500 else "put off"
        except smtplib.SMTPResponseException as answer:
            self.states[token] = "refused" if answer.smtp_code >= 500 else "put off"
        except (OSError, smtplib.SMTPException):
            self.states[token] = "put off"

    def give_up(self) -> None:
        """What was taken and has not arrived is lost to the fault itself: what follows cannot bring it back."""
        self.states.update({token: "gone" for token, state in self.states.items() if state == "taken" and not self._count(token) and not self._queued(token)})

    def close(self, seconds: float) -> dict:
        """{delivered, refused, gone, waiting, lost, duplicated}: how many; what was taken gets ``seconds`` to arrive, what was put off is tried until then."""
        until = self._clock() + seconds
        while True:
            self.retry()
            copies = {token: self._count(token) for token in self.states}
            missing = [token for token, state in self.states.items() if state == "put off" or (state == "taken" and not copies[token])]
            if not missing or self._clock() >= until:
                break
            self._sleep(2)
        taken = [token for token, state in self.states.items() if state == "taken" and not copies[token]]
        queued = sum(self._queued(token) for token in taken)
        return {
            "delivered": sum(copies[token] == 1 for token in self.states), "duplicated": sum(copies[token] > 1 for token in self.states),
            "refused": sum(state == "refused" and not copies[token] for token, state in self.states.items()),
            "gone": sum(state == "gone" and not copies[token] for token, state in self.states.items()),
            "waiting": queued + sum(state == "put off" for state in self.states.values()),
            "lost": len(taken) - queued,
        }
