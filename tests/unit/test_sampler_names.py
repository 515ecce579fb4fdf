"""The samplers that are offered are those that exist."""

from deployments.engines.diffusion.recipes import RECIPES, SAMPLER_NAMES, TABLE_SAMPLERS
from serve.domain.images import Sampler


def test_every_sampler_that_is_offered_has_a_recipe_and_the_other_way_round():
    assert list(SAMPLER_NAMES) == [sampler.value for sampler in Sampler]


def test_karras_noise_levels_are_all_that_such_a_name_adds():
    for name in (name for name in SAMPLER_NAMES if name.endswith("_karras")):
        plain, karras = RECIPES[name.removesuffix("_karras")], RECIPES[name]
        assert karras.scheduler == plain.scheduler
        assert karras.table is plain.table
        assert karras.changes["use_karras_sigmas"] is True
        assert plain.changes.items() <= karras.changes.items()


def test_the_samplers_of_the_fused_update_come_first():
    tables = [name in TABLE_SAMPLERS for name in SAMPLER_NAMES]
    assert tables == sorted(tables, reverse=True)
