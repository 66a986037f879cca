"""door: what `li.<name>` is and where it comes from; for the package's face, keys and the editor's stub."""

FACES = {
    "Dataset": "core.dataset", "Environment": "core.environment", "Model": "core.model",
    "Program": "core.program",
    "Scores": "core.scores", "LichenError": "core.errors", "Run": "core.progress", "Store": "core.store",
    "step": "core.step", "opened": "core.session",
    "Count": "core.schema", "Fraction": "core.schema", "Function": "core.schema", "Level": "core.schema",
    "Natural": "core.schema", "Net": "core.schema", "Positive": "core.schema", "Range": "core.schema",
    "Ratio": "core.schema", "Seed": "core.schema", "Source": "core.schema", "Task": "core.schema",
    "arrays": "data.arrays", "texts": "data.arrays", "conversations": "data.arrays",
    "bitext": "data.arrays", "table": "data.arrays", "observations": "data.observations",
    "wrap": "engine.modules.backend", "Switch": "engine.switching", "net": "core.own", "task": "core.own",
}  # fmt: skip
"""What `li.<name>` is and which module it comes from."""
VERBS = {
    "load": "prepare.load", "environment": "prepare.environment", "evaluate": "assess.evaluate",
}  # fmt: skip
"""Steps that stand at the door."""
