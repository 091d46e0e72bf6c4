"""Rows on disk to batches: files, splits, vocabularies, encoding, loading."""
