"""pretrain: weights from scratch, or from someone before us."""
