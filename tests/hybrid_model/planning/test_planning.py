"""What is not asked for is chosen from the pictures, with a reason; what is asked for is kept or refused."""

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model.data import Dataset, Split
from hybrid_model.data.own import OwnData
from hybrid_model.data.pictures import Picture, Survey
from hybrid_model.nn.backbones import wide_edge
from hybrid_model.planning import (
    BudgetError,
    PictureWishes,
    PlanError,
    choose_network,
    parse_budget,
    plan_pictures,
)
from hybrid_model.planning.edge_budget import edge_energy_j, untrained_bundle
from hybrid_model.planning.mirror import mirror_test
from tests.hybrid_model.drawn import picture


def _survey(per_class: int = 600, side: int = 64, classes: int = 3) -> Survey:
    names = tuple(f"c{number}" for number in range(classes))
    pictures = tuple(
        Picture(None, f"{name}/{n}", name, None, n.to_bytes(8, "big"), side, side + 10)
        for name in names
        for n in range(per_class)
    )
    return Survey("shots", names, pictures, ())


def _own(counts=(60, 60), kinds=("rising", "falling"), side: int = 32) -> OwnData:
    x = np.stack(
        [
            np.asarray(picture(kind, n, side, side))
            for kind, count in zip(kinds, counts, strict=True)
            for n in range(count)
        ]
    )
    y = np.repeat(np.arange(len(counts)), counts)
    split = Split(x=x, y=y)
    dataset = Dataset("shots", tuple(kinds), "image", split, split, split, split)
    return OwnData(dataset, {}, {})


def _choice(choices, name):
    return next(one for one in choices if one.name == name)


@pytest.mark.parametrize(("side", "size"), [(20, 32), (36, 32), (50, 48), (64, 64), (99, 96), (3000, 96)])
def test_the_input_is_no_larger_than_the_pictures_and_96_at_most_by_itself(side, size):
    network = choose_network(_survey(side=side), PictureWishes())
    assert network.size == size
    assert f"median of {side} pixels" in _choice(network.choices, "size").reason


def test_a_size_that_is_asked_for_is_taken():
    network = choose_network(_survey(), PictureWishes(size=224))
    assert network.build().input_shape == (224, 224, 3)
    assert _choice(network.choices, "size").given


def test_many_pictures_are_learned_from_scratch_and_few_start_from_a_trunk():
    assert choose_network(_survey(per_class=600), PictureWishes()).start == "none"
    few = choose_network(_survey(per_class=40), PictureWishes())
    assert few.start == "cifar100"
    assert "fewer than 500" in _choice(few.choices, "start").reason
    assert choose_network(_survey(per_class=40), PictureWishes(start="none")).start == "none"


def test_a_trunk_gives_its_own_architecture_whatever_that_is():
    network = choose_network(_survey(per_class=40), PictureWishes())
    theirs = bundle_file.load(bundle_file.resolve("cifar100")).manifest.architecture["units"]
    ours = network.build().model_dump(mode="json")["units"]
    assert ours == theirs


def test_a_bundle_of_ones_own_may_be_the_trunk(tmp_path):
    arguments = {"input_size": 64, "stem_side": 32, "stem_channels": 8, "edge_widths": [[16, 1]], "edge_bits": 1}
    made = untrained_bundle(wide_edge(**arguments))
    provenance = {"recipe": {"family": "wide_edge", "architecture": arguments}}
    path = tmp_path / "own.dew"
    bundle_file.save(path, made.manifest.model_copy(update={"provenance": provenance}), made.edge, made.cloud)
    network = choose_network(_survey(side=200), PictureWishes(start=str(path)))
    assert network.size == 64
    assert network.build().stem == wide_edge(**arguments).stem
    with pytest.raises(PlanError, match="takes pictures of 64 x 64 alone"):
        choose_network(_survey(), PictureWishes(start=str(path), size=96))


def test_a_gpu_or_hours_make_the_edge_wider():
    def width(**options):
        on_gpu = options.pop("on_gpu", False)
        return choose_network(_survey(), PictureWishes(**options), on_gpu=on_gpu).arguments["edge_widths"][0][0]

    assert width() == 64
    assert width(on_gpu=True) == width(minutes=120) == 128
    assert width(width=40) == 40


def test_a_budget_in_joules_makes_the_edge_narrower():
    free = edge_energy_j(choose_network(_survey(), PictureWishes()).build())
    budget = parse_budget(f"{free * 1e6 / 2:.3f}uJ")
    network = choose_network(_survey(), PictureWishes(edge_budget=budget))
    assert edge_energy_j(network.build()) <= free / 2
    assert "keeps" in _choice(network.choices, "width").reason


def test_a_budget_in_seconds_is_measured():
    assert (
        choose_network(_survey(), PictureWishes(edge_budget=parse_budget("10s"))).arguments["edge_widths"][0][0] == 64
    )


def test_a_budget_that_nothing_keeps_is_refused():
    with pytest.raises(PlanError, match=r"--edge-budget 1nJ: the smallest edge that was tried takes .* uJ"):
        choose_network(_survey(), PictureWishes(edge_budget=parse_budget("1nJ")))


def test_a_trunk_that_does_not_keep_the_budget_is_left_out_unless_it_was_asked_for():
    budget = parse_budget("60uJ")
    network = choose_network(_survey(per_class=40), PictureWishes(edge_budget=budget))
    assert network.start == "none"
    with pytest.raises(PlanError, match="the trunk cifar100 takes"):
        choose_network(_survey(per_class=40), PictureWishes(edge_budget=budget, start="cifar100"))


@pytest.mark.parametrize("text", ["", "50", "uJ", "-1uJ", "3 miles", "0ms"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(BudgetError, match="write an energy or a time"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"size": 50}, "--size 50: take one of"),
        ({"width": 30}, "--width 30: take a multiple of 8"),
        ({"edge_bits": 3}, "--edge-bits 3"),
        ({"start": "cifar100", "width": 64}, "brings its own width"),
        ({"start": "cifar100", "size": 224}, "a trunk takes up to"),
        ({"start": "digits"}, "not a network for pictures of the family wide_edge"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(wishes, reason):
    with pytest.raises(PlanError, match=reason):
        choose_network(_survey(), PictureWishes(**wishes))


def test_pictures_that_a_mirror_turns_into_another_class_are_not_mirrored():
    assert not mirror_test(_own().dataset.train).harmless
    assert mirror_test(_own(kinds=("flat", "steep")).dataset.train).harmless


def test_too_few_pictures_tell_nothing_of_mirrors():
    asked = mirror_test(_own((10, 10)).dataset.train)
    assert asked.as_they_are is None
    assert not asked.harmless


def test_the_plan_says_why_and_its_recipe_can_be_built():
    network = choose_network(_survey(classes=2), PictureWishes())
    plan = plan_pictures(_own(), network, PictureWishes())
    assert plan.recipe.build().classes == 2
    assert 9 < plan.recipe.schedule.minutes < 10
    assert not plan.recipe.mirror
    assert plan.recipe.losses.class_weights == ()
    assert all(one.reason for one in plan.choices)


def test_uneven_classes_are_weighted_within_bounds():
    network = choose_network(_survey(classes=2), PictureWishes())
    plan = plan_pictures(_own((100, 10)), network, PictureWishes(mirror=True))
    assert plan.recipe.losses.class_weights == (0.55, 4.0)
    assert plan.recipe.mirror


def test_data_that_change_are_another_run():
    network = choose_network(_survey(classes=2), PictureWishes())
    first, second = (plan_pictures(_own(counts), network, PictureWishes()).recipe for counts in ((60, 60), (60, 61)))
    assert first.fingerprint() != second.fingerprint()


def test_every_size_leads_to_the_same_maps_behind_the_stem():
    for size in (64, 96, 128, 160, 224):
        arch = choose_network(_survey(), PictureWishes(size=size)).build()
        assert arch.stem.stride == (size // 32, size // 32)
    assert wide_edge(input_size=48).stem.stride == (3, 3)
