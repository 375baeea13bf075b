"""LoRA adapts what was asked for, in the language model, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heldout.domains.embodied.qwen.base import load_base
from heldout.domains.embodied.qwen.options import TARGETS
from heldout.domains.embodied.qwen.targets import Targets, adapt, check_adapted, parse_targets
from heldout.errors import InputError


@pytest.fixture
def base(made: Path) -> Any:
    return load_base(made / "tiny", "float32")


def lora(base: Any, targets: Targets, dropout: float = 0.0) -> Any:
    return adapt(base, targets, r=4, alpha=8, dropout=dropout, base="tiny")


def trained(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_published_targets_reach_attention_and_fused_experts(base: Any) -> None:
    """Three of seven declared targets would be empty, as in the published adapters."""
    targets = parse_targets(TARGETS, base)
    assert ["k_proj", "o_proj", "q_proj", "v_proj"] == targets.modules
    assert ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"] == targets.parameters
    names = trained(lora(base, targets))
    assert 2 * (4 + 2) == len(names)  # A and B of four projections and of two fused parameters, in one layer
    assert not any("audio_tower" in name or "visual" in name for name in names)


def test_a_missing_target_is_found_by_name(base: Any) -> None:
    """A misspelt target would be dropped, and the rest trained as if it were all."""
    with pytest.raises(InputError, match="no module of the language model is named 'q_prj'") as caught:
        parse_targets(["q_prj", "v_proj"], base)
    assert "HO-G122" == caught.value.code
    assert "q_proj" in (caught.value.hint or "")
    with pytest.raises(InputError, match="no module of the language model is named 'out_proj'"):
        parse_targets(["out_proj"], base)  # of the audio tower alone


def test_half_of_a_fused_parameter_cannot_be_adapted(base: Any) -> None:
    """Its other half would be adapted too, though nobody had asked for it."""
    with pytest.raises(InputError, match="one half"):
        parse_targets(["gate_proj", "down_proj"], base)
    assert ["mlp.experts.down_proj"] == parse_targets(["down_proj"], base).parameters


def test_dropout_on_fused_experts_says_what_to_do(base: Any) -> None:
    """PEFT's own message names neither the cause nor the way out."""
    with pytest.raises(InputError, match=r"dropout of 0\.05"):
        lora(base, parse_targets(TARGETS, base), 0.05)
    lora(base, parse_targets(["q_proj"], base), 0.05)


def test_an_adapted_audio_tower_is_found_by_name(base: Any) -> None:
    """The published adapters hold 192 tensors in a tower that nobody had declared."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    wrapped = get_peft_model(base, config)
    with pytest.raises(InputError, match="modules of a tower are adapted") as caught:
        check_adapted(wrapped, Targets(["k_proj", "o_proj", "q_proj", "v_proj"], []))
    assert "HO-G123" == caught.value.code


def test_a_target_that_peft_dropped_is_found_by_name(base: Any) -> None:
    """What was declared would stand in the configuration and nowhere in the weights."""
    wrapped = lora(base, Targets(["q_proj"], []))
    with pytest.raises(InputError, match=r"declared targets are not adapted, such as .*v_proj"):
        check_adapted(wrapped, Targets(["q_proj", "v_proj"], []))
    with pytest.raises(InputError, match=r"declared targets are not adapted, such as .*experts"):
        check_adapted(wrapped, Targets(["q_proj"], ["mlp.experts.down_proj"]))


def test_more_than_was_declared_is_found_by_name(base: Any) -> None:
    """A target would be trained that no metadata speaks of."""
    wrapped = lora(base, Targets(["q_proj", "v_proj"], []))
    with pytest.raises(InputError, match=r"adapted that were not declared, such as .*v_proj"):
        check_adapted(wrapped, Targets(["q_proj"], []))


def test_loading_and_wrapping_say_nothing(
    made: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """Progress bars of a second and warnings between two libraries would hide the line that matters."""
    base = load_base(made / "tiny", "float32")
    adapt(base, parse_targets(["q_proj"], base), r=2, alpha=4, dropout=0.0, base="tiny")
    shown = capfd.readouterr()
    assert ("", "") == (shown.out, shown.err)
    assert [] == [str(one.message) for one in recwarn if issubclass(one.category, FutureWarning)]
