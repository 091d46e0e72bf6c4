"""The same training and the same scoring on a cluster, by Ray (the `ray` extra)."""
