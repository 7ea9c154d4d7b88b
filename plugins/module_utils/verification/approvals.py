"""Approvals given in an AWX workflow: who approves a node signs. AWX tells a job who launched it, and not who approved; its API does.

As documented for AWX and automation controller 4: ``workflow_jobs/ID/workflow_nodes/`` lists the nodes, an approval node's ``job`` is the id
under ``workflow_approvals/ID/``; that one has ``status`` (successful, failed, canceled, pending), ``timed_out``, ``finished`` and, when a
person decided, ``summary_fields.approved_or_denied_by``. The platform's gateway (2.5) serves the same under ``api/controller/v2``.
"""
from __future__ import annotations

import base64
import functools
import http.client
import json
import re
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from ansible_collections.mailops.outage.plugins.module_utils import secrets
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# As AWX's own credential type injects them (empty where the credential leaves them out), the older names, and those of the platform's.
_GIVEN = (
    ("CONTROLLER_HOST", "CONTROLLER_OAUTH_TOKEN", "CONTROLLER_USERNAME", "CONTROLLER_PASSWORD", "CONTROLLER_VERIFY_SSL"),
    ("TOWER_HOST", "TOWER_OAUTH_TOKEN", "TOWER_USERNAME", "TOWER_PASSWORD", "TOWER_VERIFY_SSL"),
    ("AAP_HOSTNAME", "AAP_TOKEN", "AAP_USERNAME", "AAP_PASSWORD", "AAP_VALIDATE_CERTS"),
)
_ROOTS = ("/api/v2", "/api/controller/v2")
_REQUEST_SECONDS, _ALL_SECONDS = 10.0, 60.0
_MOST_BYTES, _MOST_PAGES, _PAGE, _MOST_APPROVALS = 4 * 1024 * 1024, 10, 100, 50
# A shorter secret may be a word, and hiding it would garble names.
_LEAST_HIDDEN = 8
# By which the clock of the controller may be ahead.
_SKEW_SECONDS = 300
_REFUSALS = {401: "it does not accept the credential", 403: "the user of the credential may not see it",
             404: "it knows no such thing, or does not show it to the user of the credential"}


class NotAnswered(Exception):
    """The controller could not be asked, or its answer could not be used; the text is one sentence, without secrets."""


class _NotThere(NotAnswered):
    """Nothing of the API is at this address."""


class Controller(NamedTuple):
    """Where to ask, and as whom. ``address`` has no user, no path's end slash and no query."""

    address: str
    authorization: str
    secrets: tuple
    verify: bool


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The credential goes to the address that it was given with, and to no other."""

    def redirect_request(self, *_given):
        return None


def controller(environment: Mapping) -> Controller:
    """The controller that the environment names; all values are of one family of names. Raises NotAnswered when none can be used."""
    families = [[environment.get(name, "").strip() for name in names] for names in _GIVEN]
    given = next((values for values in families if values[0] and (values[1] or (values[2] and values[3]))), None)
    if given is None:
        raise NotAnswered("this job runs in an AWX workflow and cannot ask who approved: "
                          "give its template a credential of the type Red Hat Ansible Automation Platform")
    host, token, user, password, verify = given
    if not all(character.isprintable() and ord(character) < 256 for character in token):
        raise NotAnswered("the token in the credential of AWX holds what no token does")
    plain = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Controller(_address(host), f"Bearer {token}" if token else f"Basic {plain}",
                      tuple(secret for secret in (token, password, plain) if len(secret) >= _LEAST_HIDDEN),
                      verify.lower() not in ("false", "no", "off", "0", "n", "f"))


def _address(host: str) -> str:
    """``https://name:port/path`` of what somebody typed. Raises NotAnswered."""
    try:
        found = urllib.parse.urlsplit(host if "://" in host else f"https://{host}")
        name = found.hostname or ""
        name = f"[{name}]" if ":" in name else name.encode("idna").decode("ascii")
        port = f":{found.port}" if found.port else ""
    except ValueError:
        name = ""
    if not name or found.scheme not in ("http", "https") or not re.fullmatch(r"[!-~]+", name + found.path):
        raise NotAnswered("the credential of AWX names no address like https://awx.example.org") from None
    return f"{found.scheme}://{name}{port}{found.path.rstrip('/')}"


def ask(asked: Controller, workflow_job: str, seconds: float = _ALL_SECONDS) -> tuple:
    """``(approvals as the API gives them, problems with single ones)`` of a workflow job. Raises NotAnswered, after ``seconds`` at the latest."""
    if not (workflow_job.isascii() and workflow_job.isdigit() and len(workflow_job) <= 18):
        raise NotAnswered(f"{clean(workflow_job, 40)!r} is no number of a workflow job")
    ended: list = []

    def work():
        try:
            ended.append(_read_all(asked, int(workflow_job)))
        except Exception as problem:  # It belongs to whoever waits.
            ended.append(problem)

    # A server that sends a byte now and then outlives any time limit of a socket.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise NotAnswered(f"AWX ({asked.address}) did not tell who approved within {seconds:.0f} s")
    if isinstance(ended[0], NotAnswered):
        raise NotAnswered(secrets.without(f"AWX ({asked.address}) did not tell who approved: {ended[0]}", asked.secrets))
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


def judge(approval: object, written_epoch: float, now: float) -> tuple:
    """``({name, account, note, time}, "")`` of an approval that counts, else ``(None, why not)``. ``time`` is a datetime.

    ``written_epoch`` is when the verification was written: whoever approved before had not seen it. Both it and ``now`` in seconds of the epoch.
    """
    approval = _table(approval)
    node = _words(approval.get("name"), 200) or "an approval"
    by = _table(_table(approval.get("summary_fields")).get("approved_or_denied_by"))
    account = _words(by.get("username"), 100)
    name = " ".join(filter(None, (_words(by.get("first_name"), 50), _words(by.get("last_name"), 50)))) or account
    status = approval.get("status")
    if approval.get("timed_out") is not False:
        return None, f"{node}: it timed out"
    if status == "failed":
        return None, f"{node}: {name or 'somebody'} denied it"
    if status != "successful":
        return None, f"{node}: it is not approved ({_words(status, 30) or 'no status'})"
    if not account:
        return None, f"{node}: it was approved, and AWX does not say by whom"
    when = _moment(approval.get("finished"))
    if when is None or when.timestamp() > now + _SKEW_SECONDS:
        return None, f"{node}: {name} approved it, and AWX does not say when"
    if when.timestamp() <= written_epoch:
        return None, f"{node}: {name} approved it before there was this verification"
    return {"name": name, "account": account, "note": node, "time": when}, ""


def _read_all(asked: Controller, workflow_job: int) -> tuple:
    """As ``ask``, without its time limit in all."""
    get = functools.partial(_get, asked, _opener(asked.verify))
    root, nodes = _nodes(get, workflow_job)
    found, problems = [], []
    for number, node in list(nodes.items())[:_MOST_APPROVALS]:
        try:
            approval = get(f"{root}/workflow_approvals/{number}/")
            if approval.get("id") != number or approval.get("type") != "workflow_approval":
                raise NotAnswered("it answers something else than this approval")
            found.append(approval)
        except NotAnswered as problem:
            problems.append(secrets.without(f"{node}: AWX was asked who approved: {problem}", asked.secrets))
    if len(nodes) > _MOST_APPROVALS:
        problems.append(f"the workflow has more than {_MOST_APPROVALS} approvals, of which no more were read")
    return found, problems


def _nodes(get, workflow_job: int) -> tuple:
    """``(root of the API, {id of an approval: name of its node})`` of the approval nodes that were reached. Raises NotAnswered."""
    nothing: list = []
    for root in _ROOTS:
        try:
            pages = _pages(get, f"{root}/workflow_jobs/{workflow_job}/workflow_nodes/?order_by=id&page_size={_PAGE}")
        except _NotThere as problem:
            nothing.append(str(problem))
            continue
        found: dict = {}
        for node in pages:
            summary = _table(node.get("summary_fields"))
            job, template = _table(summary.get("job")), _table(summary.get("unified_job_template"))
            if "workflow_approval" not in (job.get("type"), template.get("unified_job_type")) or node.get("job") is None:
                continue
            if not isinstance(node["job"], int) or isinstance(node["job"], bool):
                raise NotAnswered("its list of nodes is none")
            found[node["job"]] = _words(job.get("name") or template.get("name"), 200) or "an approval"
        return root, found
    raise NotAnswered("; ".join(dict.fromkeys(nothing)))


def _pages(get, path: str) -> list:
    """The rows of all pages of a list."""
    rows: list = []
    for number in range(1, _MOST_PAGES + 1):
        page = get(f"{path}&page={number}")
        results = page.get("results")
        if not isinstance(results, list) or not all(isinstance(row, dict) for row in results) or not isinstance(page.get("next"), (str, type(None))):
            raise NotAnswered("its list of nodes is none")
        rows += results
        if page["next"] is None:
            return rows
    raise NotAnswered(f"the workflow has more than {_MOST_PAGES * _PAGE} nodes")


def _opener(verify: bool) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))


def _get(asked: Controller, opener, path: str) -> dict:
    """One JSON object. Raises NotAnswered."""
    request = urllib.request.Request(asked.address + path, headers={"Accept": "application/json", "User-Agent": "mailops-outage"})
    request.add_unredirected_header("Authorization", asked.authorization)
    try:
        with opener.open(request, timeout=_REQUEST_SECONDS) as response:
            raw = response.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as problem:
        problem.close()
        if 300 <= problem.code < 400:
            raise NotAnswered(f"it answers {problem.code} and sends elsewhere: the credential must name the address where it ends") from None
        kind = _NotThere if problem.code == 404 else NotAnswered
        raise kind(f"{problem.code}, {_REFUSALS.get(problem.code, 'it fails')}") from None
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise NotAnswered(clean(getattr(problem, "reason", None) or problem or type(problem).__name__, 200)) from None
    if len(raw) > _MOST_BYTES:
        raise NotAnswered(f"it answers more than {_MOST_BYTES // 1024 ** 2} MiB")
    try:
        answer = secrets.without(json.loads(raw.decode("utf-8")), asked.secrets)
    except (ValueError, RecursionError):
        raise _NotThere("it answers no JSON, as its API would") from None
    if not isinstance(answer, dict):
        raise NotAnswered("it answers no JSON object")
    return answer


def _table(value) -> dict:
    return value if isinstance(value, dict) else {}


def _words(value, limit: int) -> str:
    return clean(value, limit) if isinstance(value, str) else ""


def _moment(value) -> datetime | None:
    """An ISO 8601 stamp with its zone (AWX: ``2026-11-24T02:51:07.200738Z``)."""
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
