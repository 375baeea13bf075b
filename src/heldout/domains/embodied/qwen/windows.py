"""From a window of the index to what a model is given. The exporter and the predictor both go through here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.index.shape import Record
from heldout.domains.embodied.qwen.clip import Pixels, mosaic
from heldout.domains.embodied.qwen.prompt import user_text
from heldout.domains.embodied.qwen.retrieval import Retriever
from heldout.domains.embodied.qwen.sensors import Bridge, features
from heldout.domains.embodied.qwen.settings import ExportSettings, read_export
from heldout.domains.embodied.qwen.sound import window_sound
from heldout.errors import InputError, RefusedError


class View(NamedTuple):
    """One window as an input.

    Attributes:
        frames: The clip; without frames where there is no video.
        seconds: Length of the context.
        sound: 16 kHz samples, or None.
        options: Labels in the prompt.
        sensors: Numbers of the bridge, or nothing.
        text: The user's text.
    """

    frames: Pixels
    seconds: float
    sound: NDArray[np.int16] | None
    options: dict[str, list[str]]
    sensors: str
    text: str


@dataclass(frozen=True)
class Viewer:
    """Makes inputs of index records by fixed settings.

    Attributes:
        settings: Of the export.
        labels: Options of train, by ``action`` and ``subtask``.
        bridge: Fitted on train windows; None without sensors.
        retriever: Where options are retrieved.
    """

    settings: ExportSettings
    labels: Mapping[str, tuple[str, ...]]
    bridge: Bridge | None
    retriever: Retriever | None

    @classmethod
    def read(cls, folder: Path) -> Viewer:
        """From the folder of a data set or of an adapter.

        Raises:
            InputError: If it does not say how inputs are made.
        """
        settings, document = read_export(folder)
        labels = {key: tuple(document["labels"][key]) for key in ("action", "subtask")}
        bridge = Bridge.parse(document["bridge"], where=str(folder)) if document["bridge"] else None
        retriever = Retriever.parse(document["retriever"]) if document["retriever"] else None
        return cls(settings, labels, bridge, retriever)

    def view(self, record: Record, home: Path) -> View:
        """The input of one window.

        Raises:
            RefusedError: If the window's context goes on after the window.
            InputError: If the window offers other labels than those of train, or has neither video nor sensors.
        """
        self.check(record)
        frames = mosaic(record, home, self.settings)
        sound = window_sound(record, home) if self.settings.audio else None
        point = features(record, home, self.bridge.streams) if self.bridge else None
        options = self._options(record, point)
        sensors = self.bridge.words(point) if self.bridge is not None and point is not None else ""
        if not len(frames) and sound is None and not sensors:
            raise InputError("the window has nothing to look at", where=str(record["id"]), hint="select again")
        context, clock = record["modalities"]["media"]["context_window"], float(record["provenance"]["clock_hz"])
        seconds = (context["end_frame"] - context["start_frame"] + 1) / clock
        text = user_text(record["modalities"]["language"]["question"] or "", options, sensors)
        return View(frames, seconds, sound, options, sensors, text)

    def check(self, record: Record) -> None:
        """See that a window shows and offers only what it may.

        Raises:
            RefusedError: If its context looks ahead.
            InputError: If it offers labels that train does not have.
        """
        media, language = record["modalities"]["media"], record["modalities"]["language"]
        if media["context_window"]["end_frame"] > record["window"]["end_frame"]:
            raise RefusedError(
                "the context goes on after the window, and shows what is asked for",
                where=str(record["id"]),
                hint="heldout index build --context causal",
                code="HO-G111",
            )
        for key, offered in (("action", language["action_options"]), ("subtask", language["subtask_options"])):
            foreign = sorted(set(offered) - set(self.labels[key]))
            if foreign:
                raise InputError(
                    f"{key} options hold labels of no train window: {', '.join(foreign[:5])}",
                    where=str(record["id"]),
                    hint="heldout index build takes options from train",
                    code="HO-G112",
                )

    def _options(self, record: Record, point: Any) -> dict[str, list[str]]:
        if self.settings.options == "none":
            return {}
        if self.settings.options == "full":
            return {key: list(labels) for key, labels in self.labels.items()}
        assert self.retriever is not None
        assert self.bridge is not None
        place = self.bridge.project(point)
        return self.retriever.options(place, str(record["episode_id"]), self.settings.retrieved)
