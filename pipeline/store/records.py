"""Records: a JSON file that vouches for files beside it which every run replaces, such as results.csv.

A record holds a fingerprint of all that the files were made from, their SHA-256 and its own. It is replaced together
with the files. Whatever is made once, and never replaced, is an artefact instead.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

from pipeline.errors import PipelineError
from pipeline.store import disk
from pipeline.store.sealed import check_files, read_sealed, seal

Content = TypeVar("Content", bound=Mapping[str, object])


@dataclass(frozen=True)
class Record(Generic[Content]):
    """A JSON file that vouches for files beside it.

    Attributes:
        path: Where it lies; the files lie in the same folder.
        remedy: What messages advise where it is missing or was changed.
    """

    path: Path
    remedy: str

    def read(self) -> Content:
        """Read the record and check every file that it vouches for.

        Raises:
            PipelineError: If the record is missing, or it or such a file was changed; the message ends with the remedy.
        """
        record = read_sealed(self.path, self.remedy)
        check_files(self.path.parent, record["files"], self.remedy)
        return cast(Content, record)

    def find(self, fingerprint: str) -> Content | None:
        """Return the record if it has this fingerprint, and it and the files beside it are whole; else None."""
        with contextlib.suppress(PipelineError):
            record = self.read()
            return record if record["fingerprint"] == fingerprint else None
        return None

    def write(self, fingerprint: str, content: Content, files: Mapping[str, bytes | str]) -> Content:
        """Write files and the record that vouches for them: all of them, or none if there is no room.

        The content is what the record says beyond ``fingerprint`` and ``files``.

        Returns:
            The record, as ``read`` gives it.

        Raises:
            PipelineError: If the folder cannot be written.
        """
        contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        digests = {name: hashlib.sha256(written).hexdigest() for name, written in contents.items()}
        record = {**content, "fingerprint": fingerprint, "files": digests}
        with disk.locked(self.path):
            for name in (*contents, self.path.name):
                disk.clear(self.path.with_name(name))
            disk.write_together(self.path.parent, {**contents, self.path.name: disk.as_json(seal(record))})
        return cast(Content, record)
