"""Checkpoint gates: whether what a training left is the model that its metadata describes. One gate a contract's name.

A check that cannot be made (no base at hand, no manifest) is a finding too: what nobody looked at did not pass.
"""

from __future__ import annotations

from collections.abc import Mapping

from heldout.domains.embodied.checkpoint import lora, policy, world
from heldout.domains.embodied.checkpoint.seen import Checked, Checkpoint, Gate, Verdict
from heldout.errors import PrerequisiteError, near_miss

_GATES: Mapping[str, Gate] = {
    "lora_safetensors_shape_check": lora.check,
    "lora_safetensors_shape_check_and_load_smoke": lora.check,
    "world_model_checkpoint_and_generation_config": world.check,
    "policy_checkpoint_action_space_and_normalizer": policy.check,
    "base_weight_vllm_reasoner_setup_metadata": world.check_served,
}


def check_checkpoint(checkpoint: Checkpoint) -> Checked:
    """Run the gate that the contract names.

    Raises:
        PrerequisiteError: If no gate has that name, or the folder does not exist.
    """
    name = checkpoint.contract.artifacts["checkpoint_gate"]
    if name not in _GATES:
        raise PrerequisiteError(
            f"no gate is named {name!r}", where=str(checkpoint.contract.path), hint=near_miss(name, _GATES)
        )
    if not checkpoint.folder.is_dir():
        raise PrerequisiteError("there is no checkpoint", where=str(checkpoint.folder), hint="check the path")
    verdict = Verdict()
    wanted = checkpoint.contract.artifacts["required_training_files"]
    missing = [f"{required} is missing" for required in wanted if checkpoint.find(required) is None]
    verdict.check("required_files", "HO-G120", missing, "train again, or give --training the training's folder")
    broken = [str(breach) for breach in checkpoint.breaches()]
    verdict.check("schemas", "HO-G129", broken, "heldout backbone show has the schemas; write the file as they say")
    _GATES[name](checkpoint, verdict)
    return verdict.to_json(checkpoint)
