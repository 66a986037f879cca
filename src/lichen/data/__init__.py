"""data: where rows come from and how batches are made."""
