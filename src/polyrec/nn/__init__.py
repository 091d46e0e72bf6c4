"""Blocks: functions of tensors. They know neither batches nor schemas."""
