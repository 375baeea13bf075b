"""``qwen3_omni_lora``: export of windows, the tiny base, LoRA training that resumes, constrained answers."""
