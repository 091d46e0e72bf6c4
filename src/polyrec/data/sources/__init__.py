"""Named public data sets, built as impression logs from files that are already on this machine."""
