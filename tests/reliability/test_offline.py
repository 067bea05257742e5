"""Once it is installed, nothing asks the network for anything but a data set that is to be downloaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.reliability.forking import SMALL, finish

pytestmark = pytest.mark.slow


def refuse_the_network() -> None:
    """Whatever Python code, its standard library included, does with an address is an error from here on."""

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
            raise ConnectionError(f"the network was asked for: {event} {arguments[1:]}")

    sys.addaudithook(look)


@pytest.mark.parametrize("stage", ["data", "all"])
def test_no_stage_asks_the_network(stage: str, compared: Path, tmp_path: Path) -> None:
    log, runs = tmp_path / "log", tmp_path / "runs"
    if stage == "data":  # the bundled archives
        commands = [["data", f"--runs={runs}", f"--data.root={tmp_path / 'raw'}"]]
    else:
        small = [*SMALL, "--grid.draws=1", f"--runs={runs}"]
        stages = ("data", "pretrain", "sample", "compare", "report", "export", "doctor")
        commands = [[stage, *small, *(["--onnx=false"] if stage == "export" else [])] for stage in stages]
    for command in commands:
        assert finish(command, log, refuse_the_network) == 0, log.read_text()


def test_a_data_set_that_is_asked_for_would_be_seen(tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ["data", "--data.dataset=kmnist", f"--runs={tmp_path}", f"--data.root={tmp_path / 'raw'}"]
    assert finish(arguments, log, refuse_the_network) == 2
    assert "the network was asked for" in log.read_text()
