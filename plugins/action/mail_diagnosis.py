"""Name the root cause from what was observed, and write the reports. Reads the run's folder, touches no host."""
from __future__ import annotations

import time

from ansible import __version__ as ansible_version
from ansible import constants as C
from ansible.utils.color import ANSIBLE_COLOR
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, diagnose
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.report import html, markdown, terminal
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


class ActionModule(MailAction):
    """Controller only."""

    _requires_connection = False
    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "catalogue_dir": {"type": "path", "required": True},
        "language": {"type": "str", "default": "en", "choices": ["en", "nl"]},
        "severity_rules": {"type": "list", "elements": "dict", "default": []},
        "show": {"type": "bool", "default": True},
    }

    def act(self, args):
        run = Run(args["run_dir"])
        with self.or_fail(f"The diagnosis of {run.dir} could not be made"):
            opened = run.read("run.json")
            found = diagnose.diagnose(
                catalogue.load(args["catalogue_dir"]), run.observations(), run.read("estate.json"),
                {"run_id": opened["run_id"], "started_epoch": opened["started_epoch"], "finished_epoch": time.time(),
                 "versions": {"ansible_core": ansible_version}},
                args["severity_rules"] or None,
            )
            run.write("diagnosis.json", found)
            run.write_text("report.md", markdown.render(found, args["language"]))
            run.write_text("report.html", html.render(found, args["language"]))
            run.point_latest()
        display = Display()
        summary = terminal.summary(found, args["language"], min(display.columns + 1, 100), ANSIBLE_COLOR, report=run.path("report.md"))
        if not args["show"]:
            summary = ""
        elif "mailops.outage.summary" not in C.CALLBACKS_ENABLED:
            display.display(summary)
        first = found["causes"][0]
        return {"changed": False, "verdict": found["verdict"], "severity": found["severity"], "scope": found["scope"]["kind"],
                "impact": found["impact"]["class"], "root_cause": first["id"], "host": first["host"], "confidence": first["confidence"],
                "report": run.path("report.md"), "diagnosis": run.path("diagnosis.json"), "summary": summary}
