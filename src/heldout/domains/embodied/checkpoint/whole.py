"""Modules that an adapter holds as they are (``modules_to_save``): declared, complete, and other than in the base.

Beside the pairs of LoRA an adapter may carry whole modules. That is how a projector that no base has is shipped, and
how a tower could be smuggled in: so both the configuration and the metadata must name them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heldout.domains.embodied.checkpoint.seen import Checkpoint, Verdict
from heldout.domains.embodied.training.tensors import Tensor, read_folder

Whole = dict[str, dict[str, Tensor]]


def split_whole(tensors: Sequence[Tensor], names: Sequence[str]) -> tuple[Whole, list[Tensor]]:
    """By declared module its tensors, under their names in the base; and all other tensors."""
    whole: Whole = {str(name): {} for name in names}
    rest = []
    for tensor in tensors:
        name = tensor.name.removeprefix("base_model.model.")
        owner = next((one for one in whole if name.startswith(f"{one}.")), None)
        if owner is None:
            rest.append(tensor)
        else:
            whole[owner][name] = tensor
    return whole, rest


def check_whole(
    checkpoint: Checkpoint, config: Mapping[str, Any], metadata: Mapping[str, Any], whole: Whole, verdict: Verdict
) -> None:
    """Note the check, if either document names such modules."""
    told = metadata.get("lora")
    declared = set(told.get("modules_to_save") or ()) if isinstance(told, dict) else set()
    if not whole and not declared:
        return
    problems = [
        f"{name} is saved whole and training_metadata does not say so" for name in sorted(set(whole) - declared)
    ]
    problems += [
        f"{name} is to be saved whole and adapter_config does not say so" for name in sorted(declared - set(whole))
    ]
    problems += [f"{name} has no tensor" for name, tensors in sorted(whole.items()) if not tensors]
    if checkpoint.base is not None:
        problems += _against_base(whole, checkpoint)
    verdict.check("saved_whole", "HO-G123", problems, "train again; name what is saved whole in both documents")


def _against_base(whole: Whole, checkpoint: Checkpoint) -> list[str]:
    assert checkpoint.base is not None
    base = {tensor.name: tensor for tensor in read_folder(checkpoint.base)}
    problems = []
    for module, tensors in sorted(whole.items()):
        expected = {name for name in base if name.startswith(f"{module}.")}
        problems += [f"{name} of the base is not saved" for name in sorted(expected - set(tensors))]
        problems += [f"{name} is not in the base" for name in sorted(set(tensors) - expected)]
        both = sorted(expected & set(tensors))
        problems += [
            f"{name} has another shape than in the base" for name in both if base[name].shape != tensors[name].shape
        ]
        if both and all(np.array_equal(base[name].array(), tensors[name].array()) for name in both):
            problems.append(f"{module} is that of the base: nothing was learnt there")
    return problems
