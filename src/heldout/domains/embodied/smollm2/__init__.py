"""``smollm2_prefix_lora``: a small pretrained language model that is given eyes, on the road of ``qwen3_omni_lora``."""
