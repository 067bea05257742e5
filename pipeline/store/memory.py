"""How much memory there is, and how much of it may be taken."""

from __future__ import annotations

import os
from pathlib import Path

ASSUMED = 2**33  # bytes, where the system does not tell Python how much memory it has, as Windows does not


def physical_memory() -> int:
    """Return the machine's memory in bytes."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return ASSUMED


def available_memory() -> int:
    """Return the bytes that may be taken without driving others out: what is free, or a container's limit if less."""
    found = [physical_memory()]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        found.append(1024 * int(lines["MemAvailable"].split()[0]))
    limits = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    texts = (limit.read_text().strip() for limit in limits if limit.exists())
    return min(*found, *(int(text) for text in texts if text.isdigit()))
