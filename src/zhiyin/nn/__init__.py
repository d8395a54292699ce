"""Torch building blocks of sequence models: layouts, attention, losses, batches, training. No models inside."""
