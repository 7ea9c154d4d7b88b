"""The guard of a repair on its host: what stands open, begin, confirm, roll back. What the module mail_guard answers.

All but ``status`` run ``alone``, as the rollback timer does, so that whoever comes second finds and tells what the first one left.
"""
from __future__ import annotations

import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import budget, checkpoint, lock, moment, rollback, store, timer

_TOLD = ("id", "step", "owner", "remedy", "cause", "rolls_back_at", "state", "because", "journal")


def status(root: str = "/") -> dict:
    """What the guard knows on this host; changes nothing."""
    try:
        tries = budget.recent(moment.present(), root=root)
    except ValueError:
        tries = None
    checkpoints = [{**{name: manifest[name] for name in _TOLD}, "left": rollback.told(manifest)["left"], "attempts": len(manifest["attempts"])}
                   for _folder, manifest in checkpoint.waiting(root)]
    return {"granted": True, "because": "", "lock": lock.read(root), "human_at_work": rollback.human_at_work(root), "tries": tries, "checkpoints": checkpoints}


def not_as_seen(expect: list, root: str = "/") -> str:
    """The first expected file that is not as the diagnosis saw it, as a sentence, or an empty text."""
    for item in expect:
        try:
            digest = (rollback.describe(rollback.under(root, item["path"])) or {}).get("sha256", "")
        except OSError as problem:
            return f"{item['path']} cannot be read ({problem}); run the diagnosis again."
        if not digest.startswith(item["digest"]) or bool(digest) != bool(item["digest"]):
            return f"{item['path']} was changed since the diagnosis; run the diagnosis again."
    return ""


def refusal(params: dict, now: dict, root: str = "/") -> str:
    """Why the repair may not begin, apart from the lock; an empty text when it may."""
    marker = rollback.human_at_work(root)
    if marker:
        return f"A person is at work on this host ({marker}); remove the marker when they are done."
    for _folder, manifest in checkpoint.waiting(root):
        if manifest["state"] == "open":
            return f"The repair {manifest['id']} of {manifest['owner']} is still open; confirm it or roll it back first."
        return (f"The repair {manifest['id']} of {manifest['owner']} was not put back ({manifest['because']}); a person must look at it, "
                f"and then say so: mail_guard with action=acknowledge step={manifest['id']}.")
    return budget.refusal(params["remedy"], now, params["per_hour"], params["per_day"], root, cause=params["cause"]) or not_as_seen(params["expect"], root)


def begin(params: dict, root: str = "/", check: bool = False) -> dict:
    """Budget, lock, checkpoint, timer; nothing is left half-done when one of them refuses."""
    now = moment.present()
    because = refusal(params, now, root)
    if because or check:
        return {"changed": False, "granted": not because, "because": because}
    taken, said = lock.take(params["owner"], params["step"], params["lock_seconds"], now["uptime"], root)
    if not taken:
        return {"changed": False, "granted": False, "because": said}
    identity = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now["epoch"])) + "-" + re.sub(r"[^A-Za-z0-9]", "_", params["step"])[:40]
    rolls_back_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now["epoch"] + params["rollback_after"]))
    folder = None
    try:
        place = store.choose(root)
        budget.append(place, {**now, "id": identity, "step": params["step"], "remedy": params["remedy"], "cause": params["cause"], "outcome": "begun"})
        folder = checkpoint.prepare(place, identity)
        because = timer.arm(identity, folder, params["rollback_after"], root)
        if not because:
            checkpoint.begin(folder, {**{name: params[name] for name in ("step", "owner", "remedy", "cause", "journal")}, "rolls_back_at": rolls_back_at}, root)
    except OSError as problem:
        because = f"No checkpoint could be taken ({problem}); make room and try again."
    if because:
        if folder:
            rollback.disarm(identity, root)
            checkpoint.discard(folder)
        lock.release(params["owner"], root)
        return {"changed": False, "granted": False, "because": because}
    return {"changed": True, "granted": True, "because": said, "checkpoint": identity, "rolls_back_at": rolls_back_at, "storage": place}


def release(params: dict, root: str = "/", check: bool = False) -> dict:
    """Give the lock back."""
    held = lock.read(root)
    mine = bool(held and held["owner"] == params["owner"])
    return {"changed": mine if check else lock.release(params["owner"], root), "granted": True, "because": ""}


def end(params: dict, root: str = "/", check: bool = False) -> dict:
    """Confirm, roll back, or acknowledge the newest checkpoint of a step: ``{changed, granted, because}`` and how it stands then, as ``rollback.told``.

    Not granted when it has ended otherwise already: ``state``, ``restored`` and ``left`` tell how.
    """
    folder, manifest = checkpoint.of(params["step"], root)
    if folder is None:
        return {"changed": False, "granted": False, "because": f"There is no checkpoint of the step {params['step']} on this host.", "state": "",
                "restored": [], "left": [], "units": []}
    may, say = {
        "confirm": (manifest["state"] == "open", "it cannot be confirmed any more"),
        "roll_back": (rollback.may_play(manifest, root), "it is not put back again"),
        "acknowledge": (folder in [path for path, _found in checkpoint.waiting(root)] and manifest["state"] != "open", "there is nothing to acknowledge"),
    }[params["action"]]
    if not may:
        because = f"The checkpoint {manifest['id']} stands as {manifest['state'].replace('_', ' ')}, so that {say}. {manifest['because']}"
        return {"changed": False, "granted": False, **rollback.told(manifest), "because": because.strip()}
    if check:
        return {"changed": True, "granted": True, **rollback.told(manifest)}
    if params["journal"]:
        manifest["journal"] = params["journal"]
    if params["action"] == "roll_back":
        rollback.save(folder, manifest, root)
        return {"changed": True, "granted": True,
                **rollback.roll_back(folder, params["because"], root, "interrupted" if params["interrupted"] else "rolled_back")}
    before = dict(manifest)
    if params["action"] == "confirm":
        manifest.update(state="confirmed", because=params["because"])
    else:
        # It is a person's now, also where the timer would have tried again.
        manifest.update(schema=rollback.SCHEMA, acknowledged_epoch=int(time.time()))
    if not rollback.close(folder, manifest, root):
        rollback.forget(manifest["id"], root)
        return {"changed": False, "granted": False, **rollback.told(before),
                "because": "It can be recorded neither in the checkpoint nor by taking the timer away; make the disk writable."}
    rollback.free_lock(manifest, root)
    checkpoint.drop_old(root)
    return {"changed": True, "granted": True, **rollback.told(manifest)}
