"""verdict: the life in one sentence, how to make it again, and what each step did to the answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.core import lineage, tally
from lichen.core.program import Program
from lichen.core.recipe import HEADS
from lichen.core.scores import Scores
from lichen.engine.scores import intervals
from lichen.report import figures
from lichen.report.findings import Findings, Stage
from lichen.report.markup import Markup, join, section, tag

FORMATS = {"onnx": "ONNX", "openvino": "OpenVINO", "executorch": "ExecuTorch", "torch": "torch.export"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a step did to the headline metric of the model it took, on the same validation rows."""

    step: str
    gain: float
    """Positive: better."""
    low: float
    high: float
    num_rows: int

    @property
    def verdict(self) -> str:
        return "helps" if self.low > 0 else "harms" if self.high < 0 else "no measurable effect"


def changes(found: Findings) -> list[Change]:
    """Every step that took a scored model and gave another one, paired row by row."""
    scored = {stage.row.digest: stage.scores for stage in found.stages if stage.scores is not None}
    made = []
    for stage in found.stages:
        taken = (ref.digest for ref in stage.call.inputs.values() if ref.digest in scored)
        before = next(taken, None)
        if stage.scores is not None and before is not None:
            change = _change(stage, scored[before], stage.scores)
            made += [change] if change else []
    return made


def _change(stage: Stage, before: Scores, after: Scores) -> Change | None:
    """What a step did, by rows; None where these cannot be paired.

    The outcome of a row is its share of the task's headline and of no other metric.
    """
    same = ("data", "split", "headline")
    if (
        stage.value is None
        or not tally.is_of_task(after, stage.value)
        or any(before.manifest[part] != after.manifest[part] for part in same)
    ):
        return None
    sign = 1.0 if after.manifest["higher_is_better"] else -1.0
    outcome_N = _outcomes(before)
    gain_N = sign * (_outcomes(after) - outcome_N)
    low, high = intervals.paired(gain_N, outcome_N=outcome_N)
    return Change(step=stage.row.step, gain=float(gain_N.mean()), low=low, high=high, num_rows=len(gain_N))


def _outcomes(scores: Scores) -> np.ndarray:
    return scores.answers()["outcome"].numpy().astype(np.float64)


def name(found: Findings) -> str:
    """int8 ONNX program of cnn; or the net's name."""
    value = found.value
    if not isinstance(value, Program):
        return f"{value.net} model"
    nets = [stage.value.net for stage in found.models if not isinstance(stage.value, Program)]  # type: ignore[union-attr]
    of = f" of {nets[-1]}" if nets else ""
    return f"{value.precision} {FORMATS.get(value.format, value.format)} program{of}"


def source(found: Findings) -> str | None:
    """What the life calls its data, or what it acts in."""
    heads = {step: option for step, option in HEADS.values()}
    said = (call.options.get(heads.get(call.step, "source")) for call in found.calls)
    return next((str(one) for one in said if one), None)


def title(found: Findings) -> str:
    data = source(found)
    return f"{name(found)}{f' on {data}' if data else ''}"


def quality(found: Findings) -> str:
    """The headline on test where it was opened, else on validation."""
    scores = found.test or found.last.scores
    if scores is None:
        return "was not scored"
    opened = f" (test opened {figures.times(found.times_opened)})" if found.test else ""
    return (
        f"reaches {figures.name(scores.headline)} {figures.metric(scores.value)} "
        f"{figures.interval(*scores.bounds)} "
        f"on {figures.whole(scores.num_rows)} {scores.split} {scores.unit}{opened}"
    )


def economy(found: Findings) -> str:
    """Size and latency against the largest model of the life that does the same."""
    mine = found.last.row
    largest = max((stage.row for stage in found.rivals), key=lambda row: row.size_bytes or 0)
    if not mine.size_bytes or not largest.size_bytes or largest.size_bytes == mine.size_bytes:
        speed = f" and answers a row in {figures.latency(mine)}" if mine.latency_ms is not None else ""
        return f"is the largest model of its life at {figures.size(mine.size_bytes)}{speed}"
    said = f"is {figures.ratio(largest.size_bytes / mine.size_bytes)} smaller"
    if mine.latency_ms and largest.latency_ms:
        gain = largest.latency_ms / mine.latency_ms
        said += (
            f" and {figures.ratio(gain)} faster" if gain >= 1 else f" and {figures.ratio(1 / gain)} slower"
        )
        said += " (timed on a busy machine)" if mine.is_busy or largest.is_busy else ""
    return f"{said} than {largest.step} left it"


def harm(found: Findings) -> str:
    """Whether a step harmed: by ablation where there was one, else by the pairs that the life gives."""
    if found.ablation:
        harming = [row["step"] for row in found.ablation["rows"] if row["verdict"] == "harms"]
        basis = "in the ablation"
    elif made := changes(found):
        harming = [change.step for change in made if change.verdict == "harms"]
        basis = "on the same validation rows"
    else:
        return "no step changed a model that had been scored before it"
    return (
        f"{', '.join(harming)} measurably harmed it {basis}"
        if harming
        else f"no step measurably harmed it {basis}"
    )


def is_pretrained(found: Findings) -> bool:
    """Whether the life loaded someone's weights and trained them further."""
    return lineage.is_pretrained(found.calls)


def pretraining(found: Findings) -> str:
    """What the pretrained weights were worth against the same training from scratch."""
    seen = found.headstart
    if seen is None:
        return (
            "Whether the pretrained weights helped was not weighed against the same training from scratch; "
            f"lichen headstart {found.value.id} does that."
        )
    metric = figures.name(seen["metric"])
    return (
        f"Pretrained weights: {metric} {figures.metric(seen['pretrained'])} with them, "
        f"{figures.metric(seen['scratch'])} after the same epochs from scratch; worth "
        f"{figures.signed(seen['worth'])} {figures.interval(seen['low'], seen['high'], is_signed=True)}, "
        f"{seen['verdict']}, on {figures.whole(seen['num_rows'])} validation rows and "
        f"{seen['num_seeds']} seed{'' if seen['num_seeds'] == 1 else 's'}."
    )


def sentence(found: Findings, subject: str) -> str:
    """How good it is, how costly, and whether a step harmed it."""
    return f"{subject} {quality(found)}, {economy(found)}, and {harm(found)}."


def verdict(found: Findings) -> Markup:
    facts = join(
        [
            tag("span", None, figures.name(found.value.task or "no task")),
            tag("span", {"class": "mono"}, found.value.id),
            tag("span", None, figures.moment(found.made.call.started)),
        ]
    )
    return tag(
        "header",
        {"id": "verdict"},
        tag("p", {"class": "kicker"}, facts),
        tag("h1", None, title(found)),
        tag("p", {"class": "lead"}, sentence(found, "It")),
    )


def command(found: Findings) -> Markup:
    """Two ways to the same bytes: replay in this store, or run the recipe anywhere."""
    return section(
        "reproduce",
        "Make it again",
        tag("pre", None, f"lichen reproduce {found.value.id}"),
        tag(
            "p",
            {"class": "note"},
            "replays every recorded step and compares digests. Without this store, save the ",
            tag("a", {"href": "#recipe"}, "recipe"),
            " below as life.yaml and type ",
            tag("code", None, "lichen run life.yaml"),
            ".",
        ),
    )
