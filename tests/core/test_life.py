"""A lineage and a recipe say the same life: either makes the other."""

from __future__ import annotations

import random

import pytest
import toy

from lichen.core import life, recipefile
from lichen.core.errors import LichenError, RecipeError, StepError
from lichen.core.session import opened


def grow(generator: random.Random, num_calls: int):
    """A random graph of calls: chains, diamonds, records, several sources, repeated steps."""
    values = {"Dataset": [toy.rows(seed=generator.randint(0, 2))], "Model": [], "Program": [], "Scores": []}
    values["Model"].append(toy.fit(values["Dataset"][0]))

    def pick(kind):
        return (
            generator.choice(values[kind][-3:])
            if generator.random() < 0.7
            else generator.choice(values[kind])
        )

    for _ in range(num_calls):
        name = generator.choice(
            [
                "rows",
                "blend",
                "fit",
                "tune",
                "tune",
                "merge",
                "merge",
                "split",
                "learn",
                "freeze",
                "weigh",
                "heed",
            ]
        )
        seed = generator.randint(0, 3)
        if name == "rows":
            made = toy.rows(seed=seed, length=generator.randint(1, 5))
        elif name == "blend":
            made = toy.blend(pick("Dataset"), pick("Dataset"))
        elif name == "fit":
            made = toy.fit(
                pick("Dataset"),
                rate=generator.choice([0.5, 1.5]),
                mode=generator.choice(["plain", "$5", "a: b"]),
                seed=seed,
            )
        elif name == "tune":
            made = toy.tune(
                pick("Model"),
                pick("Dataset"),
                times=generator.randint(0, 2),
                notes=generator.choice([[], ["x", "1"]]),
            )
        elif name == "merge":
            made = toy.merge(
                pick("Model"), pick("Model"), pick("Model") if generator.random() < 0.5 else None
            )
        elif name == "split":
            made = toy.split(pick("Model"))
            values["Model"] += [made.left, made.right]
            continue
        elif name == "learn":
            made = toy.learn(
                pick("Model"), pick("Dataset"), pick("Dataset") if generator.random() < 0.5 else None
            )
            values["Model"].append(made.model)
            values["Dataset"].append(made.memory)
            continue
        elif name == "freeze":
            made = toy.freeze(pick("Model"))
        elif name == "weigh":
            made = toy.weigh(
                pick(generator.choice(["Model", "Program"] if values["Program"] else ["Model"])),
                pick("Dataset"),
            )
        else:
            if not values["Scores"]:
                continue
            made = toy.heed(pick("Model"), pick("Scores"))
        values[made.kind.capitalize()].append(made)
    return pick(generator.choice([kind for kind in values if values[kind]]))


def resolved(chain: life.Chain, value):
    """The value of a chain that stands where the original did: under its label or as the current one."""
    found = [field for fields in chain.named.values() for field in fields.values()] + list(
        chain.current.values()
    )
    return any(one.digest == value.digest for one in found) or chain


@pytest.mark.parametrize("seed", range(40))
def test_a_life_written_as_a_recipe_gives_the_same_value_again(tmp_path, seed):
    generator = random.Random(seed)
    last = []
    with opened(tmp_path / "a") as session:
        value = grow(generator, generator.randint(1, 14))
        text = recipefile.dump(life.of(value))
        read = recipefile.parse(text)
        computed = session.counts["computed"]
        life.run(read, session, after=lambda line, result, chain: last.append(result))
        assert session.counts["computed"] == computed, text
        assert value.digest in [one.digest for one in life.fields_of(last[-1]).values()], text
        assert (
            recipefile.dump(
                life.of(next(one for one in life.fields_of(last[-1]).values() if one.digest == value.digest))
            )
            == text
        )
    with opened(tmp_path / "b") as session:
        life.run(read, session, after=lambda line, result, chain: last.append(result))
        assert value.digest in [one.digest for one in life.fields_of(last[-1]).values()], text
        assert session.counts["computed"] == len({call.key for call in value.made.call.history()})


def test_the_check_of_round_trips_catches_a_forgotten_label(tmp_path, monkeypatch):
    monkeypatch.setattr(life._Writer, "_reference", lambda self, made: "$nothing")
    with opened(tmp_path / "a") as session:
        first, second = toy.draw(seed=1), toy.draw(seed=2)
        with pytest.raises(LichenError):
            life.run(life.of(toy.merge(first, second)), session)


def test_a_value_from_outside_is_referred_to_by_digest_and_found(tmp_path):
    with opened(tmp_path / "a") as session:
        value = toy.tune(toy.a_model(1.0, 2.0), toy.rows())
        chain = life.run(recipefile.parse(recipefile.dump(life.of(value))), session)
        assert chain.current["model"].digest == value.digest
    with pytest.raises(RecipeError, match="not made by recorded steps"):
        life.of(toy.a_model(1.0))


def test_the_same_value_made_twice_over_is_one_line(session):
    one = toy.rows(seed=1)
    assert len(life.of(toy.blend(one, toy.rows(seed=1))).lines) == 2


def test_a_failing_step_is_told_with_its_line(session):
    text = "lichen: 1\nsteps:\n  - toy:draw\n  - toy:waver: {}\n  - toy:tune: {data: $nowhere}\n"
    with pytest.raises(LichenError) as caught:
        life.run(recipefile.parse(text, "r.yaml"), session)
    assert caught.value.where is not None


def test_a_step_that_returns_something_else_is_told(session):
    import lichen as li

    @li.step
    def wrong(model: li.Model) -> li.Model:
        return toy.a_dataset(b"x")

    with pytest.raises(StepError, match="says it returns Model but returned"):
        wrong(toy.a_model(1.0))
