"""Spaces: what a file may say, which points it gives, and what is refused."""

import pytest

from hybrid_model.exploration import ExplorationError, load_space, space_names
from hybrid_model.training import RecipeError, load_recipe

SMALL = """
name = "small"
recipe = "digits"
trials = 3
[fixed]
"schedule.epochs" = 2
[fields]
"architecture.cut_bits" = [1, 2]
[variants.edge]
one_exit = { "architecture.widths" = [16, 32] }
two_exits = { "architecture.widths" = [16, 32], "architecture.exits_after" = [1, 3] }
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "space.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("name", space_names())
def test_a_shipped_space_has_as_many_points_as_trials(name):
    space = load_space(name)
    assert space.name == name
    assert len(space.points) >= space.trials


def test_a_point_is_one_choice_per_axis_on_the_base_recipe(write):
    space = load_space(write(SMALL))
    assert space.points == [
        {"architecture.cut_bits": bits, "edge": edge} for bits in ("1", "2") for edge in ("one_exit", "two_exits")
    ]
    recipe = space.recipe_at(space.points[2])
    assert recipe.schedule.epochs == 2
    assert recipe.architecture == {"cut_bits": 2, "widths": [16, 32]}
    assert recipe.losses == load_recipe("digits").losses
    assert recipe.build().cut.bits == 2


def test_every_exit_gets_the_mean_of_the_base_recipes_weights(write):
    space = load_space(write(SMALL))
    assert space.recipe_at(space.points[1]).losses.exit_weights == (0.5, 0.5)


def test_points_have_recipes_of_different_names_so_that_checkpoints_stay_apart(write):
    space = load_space(write(SMALL))
    assert len({space.recipe_at(point).name for point in space.points}) == 4


def test_points_that_cannot_be_built_are_left_out(write):
    space = load_space(write(SMALL + '\n[variants.exits]\nthree = { "architecture.exits_after" = [3] }\n'
                             'four = { "architecture.exits_after" = [4] }\n'))  # fmt: skip
    assert {point["exits"] for point in space.points} == {"three"}


def test_the_recipe_may_be_a_file_beside_the_space(write, tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('name = "mine"\ndataset = "digits"\nfamily = "digits"\nseed = 7\n[schedule]\nepochs = 1\n')
    assert load_space(write(SMALL.replace('"digits"', '"mine.toml"'))).base.seed == 7


def test_the_fingerprint_changes_with_what_trials_depend_on_and_with_nothing_else(write):
    first = load_space(write(SMALL)).fingerprint()
    assert load_space(write(SMALL.replace("trials = 3", "trials = 4"))).fingerprint() == first
    changes = [('epochs" = 2', 'epochs" = 3'), ("[1, 2]", "[1, 4]"), ("trials = 3", "trials = 3\ntrain_samples = 9")]
    for before, after in changes:
        assert load_space(write(SMALL.replace(before, after))).fingerprint() != first, after


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("trials = 3", "trials = 0", "trials: "),
        ("trials = 3", "trials = 3\nobjectives = ['accuracy']", "objectives: "),
        ("trials = 3", "trials = 3\nobjectives = ['accuracy', 'accuracy']", "named twice"),
        ("trials = 3", "trials = 3\nsampler = 'guess'", "sampler: "),
        ("[1, 2]", "[]", "architecture.cut_bits: no values"),
        ("[1, 2]", "[1, 1]", "stands there twice"),
        ("[1, 2]", "[9]", "no combination can be built"),
        ("name =", "name", "not TOML"),
        ('name = "small"', 'name = "a/b"', "name: "),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_with_the_reason(write, before, after, said):
    with pytest.raises(ExplorationError, match=said):
        load_space(write(SMALL.replace(before, after)))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"schedule.epochs" = 2', '"schedule.epoch" = 2', "schedule.epoch does not exist"),
        ('"schedule.epochs" = 2', "schedule.epochs = 2", "schedule is a table; .* in quotes"),
        ('"schedule.epochs" = 2', '"schedule.epochs" = -2', "schedule.epochs"),
        ('recipe = "digits"', 'recipe = "digitz"', "no recipe 'digitz'"),
    ],
)
def test_a_field_that_the_recipe_does_not_have_is_refused(write, before, after, said):
    with pytest.raises((ExplorationError, RecipeError), match=said):
        load_space(write(SMALL.replace(before, after)))


def test_an_unknown_name_is_refused_with_the_shipped_ones():
    with pytest.raises(ExplorationError, match="cifar10, digits"):
        load_space("nowhere")


def test_a_space_without_axes_is_refused(write):
    with pytest.raises(ExplorationError, match="no axes"):
        load_space(write(SMALL[: SMALL.index("[fields]")]))
