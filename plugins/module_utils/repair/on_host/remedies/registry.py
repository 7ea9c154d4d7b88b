"""Every remedy by the name of its role. Imported statically, so that Ansible sends them along."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import (
    apply_patches,
    contain,
    flush_queue,
    free_space,
    hold_queue,
    rebuild_maps,
    release_queue,
    remount,
    repair_mailbox,
    repair_permissions,
    restart_service,
    rollback_config,
)

# Each has OPTIONS (an argument spec) and steps(context, options), a generator of repair.steps.
REMEDIES = {module.__name__.rsplit(".", 1)[-1]: module for module in (
    apply_patches,
    contain,
    flush_queue,
    free_space,
    hold_queue,
    rebuild_maps,
    release_queue,
    remount,
    repair_mailbox,
    repair_permissions,
    restart_service,
    rollback_config,
)}
