"""A server on loopback that speaks the documented shape of AWX's API, as far as approvals go. It is no AWX, and none was at hand to compare it with."""
from __future__ import annotations

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "bqV5txm97wqJqtkxlMkhQz0pKhRMMX"


def approval(number, node, status="successful", by=("anna", "Anna", "de Vries"), finished="2026-11-24T02:51:07.200738Z", **more):
    """One approval as ``workflow_approvals/ID/`` gives it; ``by`` is (username, first, last) or None."""
    summary = {"source_workflow_job": {"id": 5, "name": "Mail", "status": "running"}, "created_by": {"id": 1, "username": "launcher"}}
    if by:
        summary["approved_or_denied_by"] = dict(zip(("username", "first_name", "last_name"), by), id=7)
    return {"id": number, "type": "workflow_approval", "name": node, "status": status, "failed": status == "failed", "timed_out": False,
            "summary_fields": summary, "created": "2026-11-24T02:40:00Z", "started": "2026-11-24T02:40:00Z", "finished": finished, "canceled_on": None, **more}


def node(job, name, kind="workflow_approval"):
    """One row of ``workflow_nodes/``; ``job`` is None where the workflow has not come there."""
    summary = {"unified_job_template": {"id": 8, "name": name, "unified_job_type": kind}}
    if job is not None:
        summary["job"] = {"id": job, "name": name, "status": "successful", "type": kind}
    return {"id": 900, "type": "workflow_job_node", "job": job, "workflow_job": 5, "summary_fields": summary, "do_not_run": False}


class Awx:
    """``with Awx() as server:`` serves ``server.approvals`` as nodes of workflow job 5; ``server.answers`` (path without query: (status, headers, body),
    or seconds of dripping) takes precedence. ``server.asked`` is what came in: (path with query, Authorization)."""

    def __init__(self, root="/api/v2", page_size=100, context=None):
        self.root, self.page_size, self.context = root, page_size, context
        self.approvals, self.nodes, self.answers, self.asked = [], [node(4, "Verify", "job"), node(None, "Sign off", "job")], {}, []

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # Whoever leaves early is what some tests are about.
        self._server.handle_error = lambda *_problem: None
        if self.context:
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"http{'s' if self.context else ''}://127.0.0.1:{self._server.server_port}"
        self.environment = {"CONTROLLER_HOST": self.address, "CONTROLLER_OAUTH_TOKEN": TOKEN, "CONTROLLER_USERNAME": "", "CONTROLLER_PASSWORD": "",
                            "CONTROLLER_VERIFY_SSL": "True"}
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_problem):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path, query, authorization):
        if path in self.answers:
            return self.answers[path]
        if authorization != f"Bearer {TOKEN}":
            return 401, {}, {"detail": "Authentication credentials were not provided."}
        if path == f"{self.root}/workflow_jobs/5/workflow_nodes/":
            rows = self.nodes + [node(item["id"], item["name"]) for item in self.approvals]
            number = int(query.get("page", ["1"])[0])
            more = f"{path}?page={number + 1}" if number * self.page_size < len(rows) else None
            return 200, {}, {"count": len(rows), "next": more, "previous": None, "results": rows[(number - 1) * self.page_size:number * self.page_size]}
        found = [item for item in self.approvals if path == f"{self.root}/workflow_approvals/{item['id']}/"]
        return (200, {}, found[0]) if found else (404, {}, {"detail": "Not found."})

    def _handler(self):
        awx = self

        class Handler(BaseHTTPRequestHandler):
            """One request; nothing is written to the terminal."""

            def do_GET(self):
                parts = urllib.parse.urlsplit(self.path)
                authorization = self.headers.get("Authorization", "")
                awx.asked.append((self.path, authorization))
                given = awx.answer(parts.path, urllib.parse.parse_qs(parts.query), authorization)
                if isinstance(given, float):
                    self._drip(given)
                    return
                status, headers, body = given
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def _drip(self, seconds):
                self.send_response(200)
                self.end_headers()
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.05)

            def log_message(self, *_words):
                pass

        return Handler
