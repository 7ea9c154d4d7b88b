# Copyright: mailops.outage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: Shows the summaries of diagnoses and repairs as the last thing of the run
version_added: 0.1.0
description:
  - Without it, M(mailops.outage.mail_diagnosis) and M(mailops.outage.mail_repair_report) show theirs where they stand in the play, above the recap.
author: mailops.outage contributors (@mailops)
requirements:
  - Enable it in C(callbacks_enabled).
"""

from ansible.plugins.callback import CallbackBase

_TOLD_BY = ("mailops.outage.mail_diagnosis", "mailops.outage.mail_repair_report")


class CallbackModule(CallbackBase):
    """Keeps the summaries that were returned, and prints them after the recap, in the order of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mailops.outage.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._summaries = []

    def v2_runner_on_ok(self, result):
        if result.task.action in _TOLD_BY and result.result.get("summary"):
            self._summaries.append(result.result["summary"])

    def v2_playbook_on_stats(self, stats):
        for summary in self._summaries:
            self._display.display(summary)
