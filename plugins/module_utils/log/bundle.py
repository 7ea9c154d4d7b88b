"""Evidence put together in memory as one compressed tar file with a manifest: what each part is, where it is from, and what was left out.

In memory, because the disks of a mail host in trouble may be full.
"""
from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

SCHEMA = 1


class Bundle:
    """``most`` bytes of evidence in all and ``most_file`` a part, before changes and compression; ``changes`` are functions on whole lines of bytes."""

    def __init__(self, most: int, most_file: int, changes=(), taken_epoch: int = 0):
        self.left = most
        self._most_file = most_file
        self._changes = tuple(changes)
        self._taken = taken_epoch
        self._packed = io.BytesIO()
        # Without a name and a time of its own, so that equal evidence is an equal file.
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self._packed, mtime=taken_epoch)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w", format=tarfile.PAX_FORMAT)  # pylint: disable=consider-using-with
        self.parts: list = []
        self.left_out: list = []

    def room(self) -> int:
        """How many bytes the next part may have."""
        return max(0, min(self.left, self._most_file))

    def leave_out(self, what: str, why: str) -> None:
        self.left_out.append({"what": clean(what, 200), "why": clean(why, 200)})

    def add(self, name: str, source: str, blocks) -> bool:
        """Add a part from ``blocks`` of whole lines, as far as there is room; False when nothing came of it, which the caller explains.

        Room is measured before ``changes``: pseudonyms are longer than what they stand for, and the newest lines come last.
        """
        kept, size, room, cut = [], 0, self.room(), False
        for block in blocks:
            if size + len(block) > room:
                # In whole lines.
                block, cut = block[:block.rfind(b"\n", 0, room - size) + 1], True
            size += len(block)
            for change in self._changes:
                block = change(block)
            kept.append(block)
            if cut:
                break
        data = b"".join(kept)
        if cut:
            self.leave_out(source, f"only the first {size} bytes are in {name}: it is larger than allowed")
        if not data:
            return cut
        self.left -= size
        self.parts.append({"name": name, "source": clean(source, 400), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        self._file(name, data)
        return True

    def _file(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(f"evidence/{name}")
        entry.size, entry.mode, entry.mtime = len(data), 0o600, self._taken
        self._tar.addfile(entry, io.BytesIO(data))

    def close(self, about: dict) -> tuple:
        """``(bytes of the file, manifest)``; ``about`` is put before the parts in the manifest."""
        manifest = {"schema": SCHEMA, **about, "parts": self.parts, "left_out": self.left_out}
        self._file("manifest.json", json.dumps(manifest, indent=1).encode("ascii") + b"\n")
        self._tar.close()
        self._gzip.close()
        return self._packed.getvalue(), manifest
