"""Cosmos behind the same interface: pictures of the present in, generated pictures out, features of those.

The pipeline is Diffusers' own, loaded from a local folder (``COSMOS_MODEL_DIR``) by its ``model_index.json``; nothing
is downloaded, and the prompt is empty: a world model gets no language. What no picture says (measured streams) is
repeated from the present. ``docs/world_model.md`` says what of it was run and what was not.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.media import read_frames
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.training.files import Made, Metadata, Tell, json_bytes, run_training
from heldout.domains.embodied.training.scaling import Scaling
from heldout.domains.embodied.world.data import FutureData, fit_scalings
from heldout.domains.embodied.world.export import FutureSettings
from heldout.domains.embodied.world.features import FeatureSpec, picture_features, window_features
from heldout.domains.embodied.world.model import CONFIG_FILE, CONFIG_SCHEMA, COSMOS, NORMALISER_FILE, WorldConfig
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import digest, read_json, sha256_file

MODEL_ENV = "COSMOS_MODEL_DIR"
INDEX_FILE = "model_index.json"
_DTYPE_SINCE = [0, 40]
_TEMPORAL = 4  # pictures that a latent frame stands for; a clip has 4 n + 1
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Generation:
    """How pictures are generated; part of the checkpoint.

    Attributes:
        height: Pixels.
        width: Pixels.
        conditioning_frames: Pictures of the past that are given, ``4 n + 1``.
        num_inference_steps: Of the denoiser.
        seed: Of the noise, the same for every window, so that a window's prediction is its own.
        dtype: Of the weights.
        device: Where it runs.
    """

    height: int = 480
    width: int = 480
    conditioning_frames: int = 5
    num_inference_steps: int = 35
    seed: int = 7
    dtype: str = "bfloat16"
    device: str = "cuda"


class CosmosModel:
    """A generated future. The pipeline is loaded when the first window is predicted."""

    def __init__(
        self, settings: FutureSettings, spec: FeatureSpec, scaling: Scaling, generation: Mapping[str, Any]
    ) -> None:
        """Bind settings; see ``FutureModel``."""
        self._settings, self._spec, self._scaling = settings, spec, scaling
        names = Generation.__dataclass_fields__
        self._generation = Generation(**{key: value for key, value in generation.items() if key in names})
        self._base_sha256 = str(generation.get("base_sha256"))
        self._pipeline: Any = None

    @property
    def settings(self) -> FutureSettings:
        """What is predicted."""
        return self._settings

    @property
    def spec(self) -> FeatureSpec:
        """What is seen."""
        return self._spec

    @property
    def scaling(self) -> Scaling:
        """Of features."""
        return self._scaling

    def future(self, episode: Episode, start: int, end: int, shift: int) -> FloatArray:
        """See ``FutureModel.future``."""
        found = window_features(episode, self._spec, start, end)
        place = len(found) - self._spec.picture_width * len(self._spec.cameras)
        for camera in self._spec.cameras:
            pictures = self._generate(episode, camera, start, end, shift)
            values = picture_features(pictures, self._spec.grid)
            found[place : place + len(values)] = values
            place += len(values)
        return found

    def _generate(self, episode: Episode, camera: str, start: int, end: int, shift: int) -> Pictures:
        """Pictures of the future window."""
        if self._pipeline is None:
            self._pipeline = load_pipeline(self._generation, self._base_sha256)
        rate = float(episode.stream(camera).rate_hz or 0)
        first, last = episode.header.span(camera, 0, end)
        past = _past(episode, camera, max(first, last - self._generation.conditioning_frames), last, self._generation)
        per_frame = rate / episode.header.clock_hz
        ahead = max(1, round(shift * per_frame))
        shown = max(1, round((end - start + 1) * per_frame))
        pictures = run_pipeline(self._pipeline, past, _clip_length(len(past) + ahead), rate, self._generation)
        future = pictures[len(past) : len(past) + ahead]
        return future[-shown:]


def load_pipeline(generation: Generation, base_sha256: str) -> Any:
    """Diffusers' pipeline of the local folder.

    Raises:
        PrerequisiteError: If Diffusers, the folder or the device is missing.
        InputError: If the folder is not the base that the checkpoint names.
    """
    folder = base_folder()
    if base_digest(folder) != base_sha256:
        hint = "the one that the checkpoint was made with; its digest stands in model_config.json"
        raise InputError("the base is another one", where=f"{MODEL_ENV}={folder}", hint=hint, code="HO-G127")
    try:
        import diffusers
        import torch
    except ImportError as error:
        raise PrerequisiteError(
            f"Diffusers is not installed: {error}", where="diffusers", hint="pip install 'heldout[cosmos]'"
        ) from None
    if generation.device.startswith("cuda") and not torch.cuda.is_available():
        raise PrerequisiteError("there is no accelerator", where=generation.device, hint="a machine with CUDA")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        str(folder),
        local_files_only=True,
        **{dtype_option(diffusers.__version__): getattr(torch, generation.dtype)},
        **_no_checker(folder),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(generation.device)


def dtype_option(version: str) -> str:
    """What Diffusers calls the type of weights: older ones would pass over the new name, and load float32."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return "dtype" if numbers >= _DTYPE_SINCE else "torch_dtype"


def run_pipeline(pipeline: Any, past: Pictures, frames: int, rate: float, generation: Generation) -> Pictures:
    """Continue a clip: ``frames`` pictures, of which the first are the past, uint8 ``[frames, height, width, 3]``.

    Only those options are given that this version of the pipeline knows.
    """
    import torch
    from PIL import Image

    known = inspect.signature(pipeline.__call__).parameters
    latents = (len(past) - 1) // _TEMPORAL + 1
    options = {
        "prompt": "",
        "video": [Image.fromarray(picture) for picture in past],
        "condition_frame_indexes_vision": tuple(range(latents)),
        "condition_video_keep": "last",
        "num_frames": frames,
        "height": generation.height,
        "width": generation.width,
        "fps": rate,
        "num_inference_steps": generation.num_inference_steps,
        "guidance_scale": 1.0,
        "generator": torch.Generator(generation.device).manual_seed(generation.seed),
        "output_type": "np",
        "use_system_prompt": False,
        "add_resolution_template": False,
        "add_duration_template": False,
        "enable_safety_check": False,
    }
    made = pipeline(**{name: value for name, value in options.items() if name in known})
    pictures = np.asarray(made.video if hasattr(made, "video") else made.frames)
    pictures = pictures[0] if pictures.ndim == 5 else pictures
    if not np.isfinite(pictures).all() or len(pictures) < frames:
        raise InputError(
            "the pipeline made too few pictures, or some that are not finite", where=type(pipeline).__name__
        )
    return (pictures.clip(0, 1) * 255).round().astype(np.uint8)


def make_checkpoint(data: Path, out: Path, generation: Generation) -> Metadata:
    """Bind a local base to an export: what is seen, the horizon, how it is generated; nothing is trained.

    Args:
        data: Folder of the export, whose train features give the scale of the distances.
        out: Folder; ``checkpoint/`` is made in it.
        generation: How pictures are generated.

    Returns:
        ``training_metadata.json``.
    """
    opened = FutureData.open(data)
    if not opened.manifest["features"]["cameras"]:
        raise InputError("the export has no camera to continue", where=str(data), hint="episodes with video")
    if generation.conditioning_frames % _TEMPORAL != 1:
        raise InputError("a clip has 4 n + 1 pictures", where="--conditioning-frames", hint="5 or 9")
    base = base_digest(base_folder())
    told = asdict(generation) | {"base_sha256": base}
    key = digest({"data": opened.manifest["files"], "generation": told})

    def body(tell: Tell) -> Made:
        scaling, _ = fit_scalings(opened, "none")
        tell("base_bound", base_sha256=base)
        features = {name: value for name, value in opened.manifest["features"].items() if name != "language"}
        config: WorldConfig = {
            "schema": CONFIG_SCHEMA,
            "model_type": COSMOS,
            "horizon_seconds": opened.manifest["settings"]["horizon_seconds"],
            "settings": dict(opened.manifest["settings"]),
            "features": features,
            "conditioning": "none",
            "generation": told,
        }
        files = {CONFIG_FILE: json_bytes(config), NORMALISER_FILE: json_bytes(scaling.to_json())}
        fitted_on = list(scaling.fitted_on)
        metadata: Metadata = {
            "schema": "heldout.training/1",
            "backbone": "cosmos_world_model",
            "model_id": COSMOS,
            "history": [],
            "fitted_on": fitted_on,
            "base_sha256": base,
            "trained": False,
        }
        return Made(files, {"fitted_on": fitted_on, "base_sha256": base}, metadata)

    return run_training(out, key, body)


def base_folder() -> Path:
    """The folder of the weights.

    Raises:
        PrerequisiteError: If the environment names none, or no pipeline is there.
    """
    named = os.environ.get(MODEL_ENV)
    if not named or not (Path(named) / INDEX_FILE).is_file():
        raise PrerequisiteError(
            "no Cosmos weights are at hand", where=MODEL_ENV, hint="a local folder with model_index.json of Diffusers"
        )
    return Path(named)


def base_digest(folder: Path) -> str:
    """Digest of a pipeline's configuration and weights, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors") and path.is_file())
    return digest({path.relative_to(folder).as_posix(): sha256_file(path) for path in paths})


def _past(episode: Episode, camera: str, first: int, last: int, generation: Generation) -> Pictures:
    """As many pictures as the model is given; the first is repeated where the episode has fewer."""
    offset = episode.video_offset(camera)
    pictures = read_frames(episode.path(camera), first + offset, last + offset)
    missing = generation.conditioning_frames - len(pictures)
    return np.concatenate([np.repeat(pictures[:1], missing, axis=0), pictures]) if missing > 0 else pictures


def _clip_length(frames: int) -> int:
    """The shortest clip of 4 n + 1 pictures that holds them."""
    return -(-(frames - 1) // _TEMPORAL) * _TEMPORAL + 1


def _no_checker(folder: Path) -> dict[str, bool | None]:
    """Options that leave a content checker out, which would be downloaded; no picture leaves this process."""
    index = read_json(folder / INDEX_FILE)
    without = {"safety_checker": None, "enable_safety_checker": False}
    return {name: value for name, value in without.items() if name in index}
