"""The published arguments of the trainer, and a few of our own that a resumable run needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from heldout.errors import InputError, near_miss

Mode = Literal["lora", "full"]
SaveMode = Literal["auto", "none"]
OptimizerInit = Literal["before_prepare", "after_model_prepare"]
Schedule = Literal["constant", "cosine"]
DTYPES = ("auto", "bfloat16", "float32")
DATASET_CONTRACT = "xperience10m_episode_json_qa_v1"
OBJECTIVE = "structured_episode_understanding_json_qa"
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# What may differ between a run and its continuation.
_NOT_IDENTITY = ("dataset_jsonl", "output_dir", "results_dir", "model_id", "run_id", "progress_every", "device_map")


@dataclass(frozen=True)
class TrainOptions:
    """Published names and defaults, but for those that say so.

    Attributes:
        dataset_jsonl: The data set, or its folder.
        run_id: Name of the run.
        output_dir: Checkpoints and the adapter.
        results_dir: Progress and metadata; inside ``output_dir`` by default.
        model_id: Folder of the base; the environment variable of the contract by default.
        train_split: Whose windows train.
        val_split: Whose windows give the validation loss.
        include_unspecified_in_train: Also train on records without a split.
        max_train_samples: Only the first so many; 0 takes all.
        max_val_samples: The same of validation.
        epochs: Over the train windows.
        batch_size: Samples of a forward pass.
        gradient_accumulation_steps: Forward passes of a step.
        learning_rate: At its highest.
        weight_decay: Of AdamW.
        max_grad_norm: Gradients are clipped to it.
        seed: Of the order and of dropout.
        device_map: ``auto`` or ``none``; ``none`` with several processes.
        dtype: ``auto`` is bfloat16 on an accelerator and float32 on a processor; the published one is bfloat16.
        trust_remote_code: Published; without effect: no code that lies in a base is ever run.
        use_audio_in_video: Published; sound stands beside the clip here.
        gradient_checkpointing: Less memory for more time.
        progress_every: Steps between two lines of progress.
        loss_logit_tail_only: The output layer sees only what the loss needs.
        tuning_mode: ``lora``, or ``full`` for a first stage of the tiny base.
        save_mode: ``none`` saves nothing at the end.
        max_train_steps: Stop there; 0 does not.
        optimizer_init: Before the model is prepared for several processes, or after.
        lora_r: Rank.
        lora_alpha: Scale.
        lora_dropout: Zero where fused experts are adapted; the published 0.05 cannot be applied to them.
        lora_target_modules: What is adapted.
        checkpoint_every: Ours: steps between two checkpoints; 0 makes none.
        lr_schedule: Ours: the published one is constant.
        warmup_steps: Ours: steps up to the learning rate.
        threads: Ours: of a processor; sums depend on it. More than one can be slower by far on a busy machine.
    """

    dataset_jsonl: Path
    run_id: str
    output_dir: Path
    results_dir: Path | None = None
    model_id: Path | None = None
    train_split: str = "train"
    val_split: str = "val"
    include_unspecified_in_train: bool = False
    max_train_samples: int = 0
    max_val_samples: int = 64
    epochs: int = 1
    batch_size: int = 1
    gradient_accumulation_steps: int = 8
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 7
    device_map: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False
    use_audio_in_video: bool = False
    gradient_checkpointing: bool = False
    progress_every: int = 1
    loss_logit_tail_only: bool = True
    tuning_mode: Mode = "lora"
    save_mode: SaveMode = "auto"
    max_train_steps: int = 0
    optimizer_init: OptimizerInit = "before_prepare"
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_target_modules: tuple[str, ...] = field(default=TARGETS)
    checkpoint_every: int = 50
    lr_schedule: Schedule = "constant"
    warmup_steps: int = 0
    threads: int = 1

    def check(self) -> TrainOptions:
        """Return itself.

        Raises:
            InputError: With the first option that is out of range.
        """
        positive = ("epochs", "batch_size", "gradient_accumulation_steps", "progress_every", "lora_r", "lora_alpha")
        for name in (*positive, "threads", "learning_rate", "max_grad_norm"):
            _need(getattr(self, name) > 0, name, "above 0")
        counts = ("max_train_samples", "max_val_samples", "max_train_steps", "checkpoint_every", "warmup_steps")
        for name in (*counts, "weight_decay"):
            _need(getattr(self, name) >= 0, name, "0 or more")
        _need(0 <= self.lora_dropout < 1, "lora_dropout", "in 0 .. 1")
        for name, known in (
            ("tuning_mode", get_args(Mode)),
            ("save_mode", get_args(SaveMode)),
            ("optimizer_init", get_args(OptimizerInit)),
            ("lr_schedule", get_args(Schedule)),
            ("dtype", DTYPES),
            ("device_map", ("auto", "none")),
        ):
            _need(getattr(self, name) in known, name, near_miss(str(getattr(self, name)), known))
        _need(bool(self.lora_target_modules), "lora_target_modules", "at least one name")
        _need(not self.use_audio_in_video, "use_audio_in_video", "off: clips carry no sound track")
        return self

    @property
    def results(self) -> Path:
        """Folder of progress and metadata."""
        return self.results_dir or self.output_dir / "results"

    @property
    def adapter(self) -> Path:
        """Folder of what is trained: the adapter, or the whole model after a first stage."""
        return self.output_dir / ("adapter_lora" if self.tuning_mode == "lora" else "model")

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step (from 0), a function of the counter alone."""
        import math

        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.lr_schedule == "constant":
            return self.learning_rate
        share = (step - self.warmup_steps) / max(1, steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    def identity(self) -> dict[str, object]:
        """Options that the weights depend on."""
        found = {name: value for name, value in asdict(self).items() if name not in _NOT_IDENTITY}
        return found | {"lora_target_modules": list(self.lora_target_modules)}


def _need(good: bool, name: str, hint: str) -> None:
    if not good:
        where = f"--{name.replace('_', '-')}"
        raise InputError(f"the option {name} is out of range", where=where, hint=hint)


def from_arguments(values: dict[str, Any]) -> TrainOptions:
    """Options from the command line's words; a contract that is named must be this backbone's.

    Raises:
        InputError: If an option is out of range or the contract is another one's.
    """
    found = {name: value for name, value in values.items() if name in TrainOptions.__dataclass_fields__}
    found["run_id"] = values["run_id"] or Path(values["output_dir"]).resolve().name
    found["lora_target_modules"] = tuple(
        name.strip() for name in values["lora_target_modules"].split(",") if name.strip()
    )
    contract = values.get("backbone_config")
    if contract is not None:
        from heldout.domains.embodied.contract.contracts import load_contract

        name = load_contract(contract).config["dataset_contract"]
        if name != DATASET_CONTRACT:
            hint = f"a contract with dataset_contract {DATASET_CONTRACT}"
            raise InputError(f"the contract asks for data of {name}", where=str(contract), hint=hint)
    return TrainOptions(**found).check()
