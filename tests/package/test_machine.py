"""Every published platform token, and those of ours, from faked probes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from platform_tokens import TOKENS, fakes

from heldout.package.doctor.machine import Machine, detect


@pytest.mark.parametrize("case", TOKENS)
def test_token_and_encoders_of_every_platform(case: str) -> None:
    """An operator's machine would be taken for another kind, and the wrong encoders tried."""
    system, machine, has, token, encoders = TOKENS[case]
    found = detect(fakes(system, machine, has))
    assert (token, encoders) == (found.kind, found.encoders)


def test_nothing_is_probed_where_everything_is_faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test on a machine with a graphics card would see that card."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "run", never)
    assert detect(fakes("Linux", "x86_64", "")) == Machine("Linux", "x86_64")


def test_a_program_that_fails_is_no_graphics_card(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver without a device would make every encode of the night fail."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    environment = {"KIT_FAKE_UNAME_S": "Linux", "KIT_FAKE_HAS_AMD": "0", "KIT_FAKE_HAS_IHD": "0"}
    for code, expected in ((9, False), (0, True)):
        program.write_text(f"#!{sys.executable}\nraise SystemExit({code})\n")
        program.chmod(0o755)
        assert expected == detect(environment).nvidia
