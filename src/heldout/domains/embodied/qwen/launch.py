"""How the trainer is started on several accelerators."""

from __future__ import annotations

import shutil
from pathlib import Path

from heldout.evidence import atomic_path
from heldout.evidence.overwriting import refuse_overwriting

FSDP_FILE = Path(__file__).parent / "fsdp_8gpu.yaml"
WRAPPED = "Qwen3OmniMoeThinkerTextDecoderLayer"


def write_fsdp(path: Path) -> str:
    """Copy the configuration for eight accelerators of one machine; return the command that uses it."""
    refuse_overwriting(path, "launch configuration", b"distributed_type")
    with atomic_path(path) as partial:
        shutil.copyfile(FSDP_FILE, partial)
    return f"accelerate launch --config_file {path} -m heldout.cli.main embodied qwen train DATASET --out RUN"
