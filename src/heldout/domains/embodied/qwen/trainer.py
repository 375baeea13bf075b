"""The trainer: LoRA on a base, or all weights of the tiny base as a first stage. Killed, it goes on where it was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heldout.domains.embodied.qwen.adapter import finish, finished
from heldout.domains.embodied.qwen.base import describe, find_base, load_base
from heldout.domains.embodied.qwen.batch import Dataset, collate
from heldout.domains.embodied.qwen.loss import answer_loss
from heldout.domains.embodied.qwen.options import DATASET_CONTRACT, OBJECTIVE, TrainOptions
from heldout.domains.embodied.qwen.plan import Plan
from heldout.domains.embodied.qwen.shape import Base, TrainingMetadata
from heldout.domains.embodied.qwen.state import Progress, gather, newest, read_state, restore, save_state
from heldout.domains.embodied.qwen.targets import Targets, adapt, parse_targets
from heldout.domains.embodied.qwen.tokens import load_tokenizer
from heldout.errors import InputError, PrerequisiteError, UnitError
from heldout.evidence import JsonLines, digest

if TYPE_CHECKING:
    from heldout.domains.embodied.qwen.state import Tensors

PROGRESS_FILE = "progress.jsonl"
LOSS_MODE = "answer_token_ce"
_STATES = "states"


@dataclass
class Training:
    """A training under way: what is fixed, and what moves."""

    options: TrainOptions
    dataset: Dataset
    base: Base
    tokenizer: Any
    accelerator: Any
    model: Any
    optimizer: Any
    plan: Plan
    targets: Targets
    train: Sequence[Mapping[str, Any]]
    val: Sequence[Mapping[str, Any]]
    dtype: Any
    key: str
    log: JsonLines | None

    def event(self, name: str, **facts: Any) -> None:
        """One line of progress, by the first process."""
        if self.log is not None:
            stamp = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
            self.log.append({"event": name, "timestamp": stamp, "run_id": self.options.run_id, **facts})


def train(options: TrainOptions) -> TrainingMetadata:
    """Train, or go on with a training that was interrupted; a finished one is left as it is.

    Returns:
        ``training_metadata.json``.

    Raises:
        InputError: If an option, the data set, the base or the targets are wrong.
        RefusedError: If the folder holds a training with other options, data or base.
        UnitError: If the loss is not finite.
    """
    import torch

    options.check()
    folder = find_base(options.model_id)
    dataset, base = Dataset(options.dataset_jsonl), describe(folder)
    accelerator = _accelerator(options)
    key = digest([options.identity(), dataset.sha256, base["sha256"], accelerator.num_processes])
    done = finished(options, key)
    if done is not None:
        return done
    log = JsonLines(options.results / PROGRESS_FILE) if accelerator.is_main_process else None
    try:
        torch.manual_seed(options.seed)
        training = _prepare(options, dataset, base, folder, accelerator, key, log)
        progress = _resume(training)
        _loop(training, progress)
        return finish(training, progress)
    finally:
        if log is not None:
            log.close()


def _accelerator(options: TrainOptions) -> Any:
    try:
        import accelerate
        import torch
    except ImportError as error:
        hint = "pip install 'heldout[embodied]'"
        raise PrerequisiteError(f"{error.name} is not installed", where="train", hint=hint) from None
    half = options.dtype == "bfloat16" or (options.dtype == "auto" and torch.cuda.is_available())
    if not torch.cuda.is_available():
        torch.set_num_threads(options.threads)
    # A first stage trains towers that some batches do not use; a sharded model is told by its own configuration.
    whole = [accelerate.DistributedDataParallelKwargs(find_unused_parameters=True)]
    return accelerate.Accelerator(
        mixed_precision="bf16" if half else "no",
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=whole if options.tuning_mode == "full" else None,
    )


def _prepare(
    options: TrainOptions,
    dataset: Dataset,
    base: Base,
    folder: Any,
    accelerator: Any,
    key: str,
    log: JsonLines | None,
) -> Training:
    import torch

    split = "unspecified" if options.include_unspecified_in_train else options.train_split
    records = dataset.split(options.train_split) + (dataset.split(split) if split == "unspecified" else [])
    train = records[: options.max_train_samples] if options.max_train_samples else records
    val = dataset.split(options.val_split, options.max_val_samples) if options.max_val_samples else []
    if not train:
        raise InputError("no window trains", where=str(dataset.path), hint="--train-split")
    if not base["hears"] and any(record["media"]["audio_path"] for record in (*train, *val)):
        raise InputError("the base cannot hear, and there is sound", where=str(dataset.path), hint="export --no-audio")
    world, rank = accelerator.num_processes, accelerator.process_index
    plan = Plan(
        [str(one["id"]) for one in train],
        options.seed,
        options.epochs,
        options.batch_size,
        options.gradient_accumulation_steps,
        rank,
        world,
        options.max_train_steps,
    )
    dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
    name = str(dtype).removeprefix("torch.")
    spread = (
        options.device_map if world == 1 and torch.cuda.device_count() > 1 and options.device_map == "auto" else None
    )
    model = load_base(folder, name, device_map=spread)
    targets = Targets([], [])
    if options.tuning_mode == "lora":
        targets = parse_targets(options.lora_target_modules, model)
        model = adapt(
            model,
            targets,
            r=options.lora_r,
            alpha=options.lora_alpha,
            dropout=options.lora_dropout,
            base=base["model_id"],
            same_dtype=str(accelerator.distributed_type).endswith("FSDP"),
        )
    if options.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.config.use_cache = False
    prepared = _wrap(options, accelerator, model)
    training = Training(
        options,
        dataset,
        base,
        load_tokenizer(folder),
        accelerator,
        *prepared,
        plan,
        targets,
        train,
        val,
        dtype,
        key,
        log,
    )
    training.event("setup_done", **_setup(training))
    return training


def _wrap(options: TrainOptions, accelerator: Any, model: Any) -> tuple[Any, Any]:
    import torch

    def optimizer(of: Any) -> Any:
        parameters = [one for one in of.parameters() if one.requires_grad]
        return torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=options.weight_decay)

    if options.optimizer_init == "before_prepare":
        model, prepared = accelerator.prepare(model, optimizer(model))
        return model, prepared
    model = accelerator.prepare(model)
    return model, accelerator.prepare(optimizer(model))


def _setup(training: Training) -> dict[str, object]:
    options = training.options
    return {
        "dataset_jsonl": training.dataset.path.name,
        "dataset_sha256": training.dataset.sha256,
        "base_model_sha256": training.base["sha256"],
        "num_processes": training.plan.world,
        "num_train_samples": len(training.train),
        "num_val_samples": len(training.val),
        "rank0_samples_per_epoch": training.plan.per_rank,
        "backbone_id": training.base["backbone"],
        "dataset_contract": DATASET_CONTRACT,
        "training_objective": OBJECTIVE,
        "tuning_mode": options.tuning_mode,
        "loss_mode": LOSS_MODE,
        "loss_logit_tail_only": options.loss_logit_tail_only,
        "key": training.key,
    }


def _resume(training: Training) -> Progress:
    path = newest(training.options.output_dir / _STATES)
    if path is None:
        return Progress()
    progress, weights, state = read_state(path, training.key)
    restore(training.model, training.optimizer.optimizer, weights, state)
    training.event("resumed", global_step=progress.step, epoch=progress.epoch)
    return progress


def _loop(training: Training, progress: Progress) -> None:
    options, plan = training.options, training.plan
    facts = {"epochs": options.epochs, "max_train_steps": options.max_train_steps}
    training.event("train_loop_start", rank_samples_per_epoch=plan.per_rank, global_step=progress.step, **facts)
    while progress.epoch < options.epochs and (progress.step < plan.steps or progress.micro):
        while progress.micro < plan.micro_steps and progress.step < plan.steps:
            _step(training, progress)
            if options.checkpoint_every and progress.step % options.checkpoint_every == 0:
                _save(training, progress)
        if progress.micro < plan.micro_steps:
            training.event("train_loop_stopped_max_steps", global_step=progress.step)
        _end_epoch(training, progress)


def _step(training: Training, progress: Progress) -> None:
    """One step of the optimizer; everything random in it comes from its number."""
    import torch

    options, plan = training.options, training.plan
    torch.manual_seed(_seed(options.seed, plan.rank, progress.step))
    for group in training.optimizer.param_groups:
        group["lr"] = options.learning_rate_at(progress.step, plan.steps)
    batches = [_batch(training, places) for places in plan.group(progress.epoch, progress.micro)]
    answers = [int((batch["labels"] != -100).sum()) for batch in batches]
    tokens = _sum(training, sum(answers))
    training.model.train()
    loss = 0.0
    for number, batch in enumerate(batches):
        waits = plan.world > 1 and number + 1 < len(batches)
        with training.accelerator.no_sync(training.model) if waits else nullcontext():
            found = answer_loss(training.model, batch, tail=options.loss_logit_tail_only)
            training.accelerator.backward(found * plan.world / tokens)
        loss += float(found.detach())
    loss = _sum(training, loss)
    if not loss < float("inf"):
        hint = "a lower --learning-rate, or --dtype float32"
        raise UnitError(f"the loss is {loss}", where=f"step {progress.step}", hint=hint)
    trained = [one for one in training.model.parameters() if one.requires_grad]
    training.accelerator.clip_grad_norm_(trained, options.max_grad_norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    progress.micro += len(batches)
    progress.step += 1
    progress.loss += loss
    progress.tokens += int(tokens)
    if progress.step % options.progress_every == 0:
        seen = min(progress.micro * options.batch_size, plan.per_rank)
        facts = {"rank0_seen": seen, "rank0_samples_per_epoch": plan.per_rank, "rank0_batch_loss": loss / tokens}
        training.event("train_step", epoch=progress.epoch, global_step=progress.step, **facts)


def _end_epoch(training: Training, progress: Progress) -> None:
    val = validation_loss(training)
    loss = progress.loss / max(1, progress.tokens)
    progress.history.append(
        {"epoch": progress.epoch, "train_loss": loss, "val_loss": val, "global_step": progress.step}
    )
    training.event("epoch_end", **progress.history[-1])
    progress.epoch, progress.micro, progress.loss, progress.tokens = progress.epoch + 1, 0, 0.0, 0
    if training.options.checkpoint_every:
        _save(training, progress)


def validation_loss(training: Training) -> float | None:
    """Mean loss of an answer token of the validation windows; None without windows.

    Every process takes as many forward passes, for a sharded model needs all of them at each; what fills up counts 0.
    """
    import torch

    if not training.val:
        return None
    plan, size = training.plan, training.options.batch_size
    rounds = -(-len(training.val) // (plan.world * size))
    loss, tokens = 0.0, 0
    training.model.eval()
    with torch.no_grad():
        for number in range(rounds):
            first = (number * plan.world + plan.rank) * size
            records = list(training.val[first : first + size])
            batch = _encode(training, records or training.val[:1])
            found = answer_loss(training.model, batch, tail=training.options.loss_logit_tail_only)
            if records:
                loss += float(found)
                tokens += int((batch["labels"] != -100).sum())
    return float(_sum(training, loss)) / float(_sum(training, tokens))


def _save(training: Training, progress: Progress) -> None:
    weights, state = gather(training.model, training.optimizer.optimizer)
    if training.accelerator.is_main_process:
        save_state(training.options.output_dir / _STATES, training.key, progress, weights, state)
    training.accelerator.wait_for_everyone()


def _batch(training: Training, places: Sequence[int]) -> Tensors:
    return _encode(training, [training.train[place] for place in places])


def _encode(training: Training, records: Sequence[Mapping[str, Any]]) -> Tensors:
    examples = [training.dataset.example(training.tokenizer, record) for record in records]
    return collate(examples, training.tokenizer.pad_token_id, training.accelerator.device, training.dtype)


def _sum(training: Training, value: float) -> float:
    """Over all processes."""
    import torch

    if training.plan.world == 1:
        return value
    # In double, so that counts stay whole.
    tensor = torch.tensor(value, dtype=torch.float64, device=training.accelerator.device)
    return float(training.accelerator.reduce(tensor, "sum"))


def _seed(seed: int, rank: int, step: int) -> int:
    return int(digest([seed, rank, step])[:12], 16)
