"""The report as a browser draws it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.report import write_reports

Documents = Callable[..., dict[str, Any]]
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


def _screenshot(page: Path, out: Path, *options: str) -> np.ndarray:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *options]
    command += [
        "--window-size=1100,4000",
        f"--user-data-dir={out.parent / 'profile'}",
        f"--screenshot={out}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    from matplotlib.image import imread

    return np.asarray(imread(out))[..., :3]


def _share_of(image: np.ndarray, colour: tuple[float, float, float]) -> float:
    return float((np.abs(image - np.array(colour)).max(axis=-1) < 0.12).mean())


@pytest.mark.parametrize("dark", [False, True])
def test_plots_are_drawn_in_light_and_dark(documents: Documents, tmp_path: Path, dark: bool) -> None:
    """A page whose plots are blank, or black on black, would pass every test of its text."""
    write_reports(tmp_path, **documents(groups=("alpha", "beta", "gamma"), rows=200))
    options = ["--blink-settings=preferredColorScheme=0"] if dark else []
    image = _screenshot(tmp_path / "report.html", tmp_path / "shot.png", *options)
    assert dark == (image[-5, 5].mean() < 0.5)
    assert _share_of(image, (0x3B / 255, 0x82 / 255, 0xC4 / 255)) > 0.005
