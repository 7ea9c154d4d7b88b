"""What a name server said, in plain values: the evaluators of SPF, DKIM and the others take these, whoever asked."""
from __future__ import annotations

from dataclasses import dataclass

# These say for certain that there is no such record; all other errors leave it open.
_ABSENT = ("nxdomain", "no_data", "bad_name")


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    ``records`` by kind: A and AAAA addresses; MX ``(preference, host)``, the host empty for a null MX; NS and PTR names;
    TXT the joined strings; SOA the serial; TLSA ``(usage, selector, matching type, data in hex)``. Names are in lower
    case without their last dot.

    ``error`` is None when there are records, else nxdomain, no_data, bad_name (DNS cannot hold the name), servfail,
    refused, timeout, garbage, or no_answer (no name server to ask, or no time left).
    ``canonical`` is the name at the end of a chain of aliases; ``authenticated`` is the AD bit, ``authoritative`` the AA bit.
    """

    records: tuple = ()
    error: str | None = None
    canonical: str = ""
    authenticated: bool = False
    authoritative: bool = False
    seconds: float = 0.0

    @property
    def absent(self) -> bool:
        return self.error in _ABSENT

    @property
    def failed(self) -> bool:
        """No answer, or one that says nothing: neither there nor absent."""
        return self.error is not None and not self.absent
