"""The stages as a table: what they hash covers what they import, and their keys do not clash."""

import grimp
import pytest

from steadyhand.contracts.errors import MissingExtraError, UnknownNameError
from steadyhand.jobs.stages.catalog import MODULES, STAGES, StageCatalog
from steadyhand.jobs.versions import describe_code, library_versions, source_digest

# Machinery that moves bytes and never decides them.
MACHINERY = {
    "steadyhand",
    *(
        f"steadyhand.jobs{name}"
        for name in (
            "",
            ".configuration",
            ".locks",
            ".metrics",
            ".overrides",
            ".recipe",
            ".run_directory",
            ".stage",
            ".stages",
            ".versions",
            ".workspace",
        )
    ),
}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("steadyhand", cache_dir=None)


@pytest.mark.parametrize("kind", MODULES)
def test_the_code_that_a_stage_imports_is_in_its_key(graph, kind):
    covered = {"steadyhand.contracts", *(f"steadyhand.{name}" for name in STAGES[kind].packages)}
    missed = [
        module
        for module in graph.find_upstream_modules(MODULES[kind])
        if module not in MACHINERY
        and not any(module == c or module.startswith(f"{c}.") for c in covered)
    ]
    assert missed == []


@pytest.mark.parametrize("kind", MODULES)
def test_inputs_and_configuration_of_a_stage_do_not_clash(kind):
    stage = STAGES[kind]
    assert stage.kind == kind
    assert not {*stage.slots, "kind"} & set(stage.config.__dataclass_fields__)
    assert {accepted for slot in stage.slots.values() for accepted in slot.accepts} <= set(STAGES)


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'evaluate'"):
        STAGES["evalute"]


def test_a_stage_whose_library_is_missing_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "needs_torch_but_none_is_here.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch.nn')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    catalog = StageCatalog({"train": "needs_torch_but_none_is_here"})
    with pytest.raises(MissingExtraError, match=r"pip install 'steadyhand\[train\]'"):
        catalog["train"]


def test_a_missing_distribution_is_an_error_and_no_empty_version():
    assert set(library_versions(["numpy"])) == {"numpy"}
    with pytest.raises(MissingExtraError, match="no-such-distribution"):
        library_versions(["no-such-distribution"])


def test_stages_of_different_code_have_different_digests():
    assert describe_code(STAGES["collect"]) != describe_code(STAGES["check"])
    assert describe_code(STAGES["check"]) == describe_code(STAGES["check"])
    assert source_digest("jobs.families") != source_digest("jobs.trials")
