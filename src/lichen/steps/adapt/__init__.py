"""adapt: a trained model learns another task."""
