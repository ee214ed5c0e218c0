import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from steadyhand.contracts.errors import StorageError
from steadyhand.evaluation import plots
from steadyhand.evaluation.findings import (
    CheckRow,
    Findings,
    Histogram,
    SensitivityRow,
    Span,
    StageRow,
    format_bytes,
    summary,
)
from steadyhand.evaluation.report import render, write_report
from steadyhand.evaluation.results import Rate

SECTIONS = (
    *("stages", "dataset", "training", "success", "comparison"),
    *("sensitivity", "runtime", "failures", "films"),
)
# Elements without an end tag; those inside an SVG close themselves.
VOID = {"meta", "br", "use"}


class Outline(HTMLParser):
    """Collects what a page holds, and whether its tags are nested as they should be."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href"):
                self.links.append(value)
            elif name == "src":
                self.sources.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    return parser


@pytest.fixture(scope="module")
def rendered(findings):
    return render(findings)


def test_a_full_report_has_every_section_and_links_to_it(rendered):
    page = outline(rendered)
    assert page.open == []
    for name in SECTIONS:
        assert name in page.ids
        assert f"#{name}" in page.links


def test_what_was_not_found_is_left_out():
    page = outline(render(Findings("an empty run")))
    assert not set(SECTIONS) & set(page.ids)


@pytest.mark.parametrize(
    ("fields", "sections"),
    [
        (("stages",), ["stages"]),
        (("checklist",), ["dataset"]),
        (("metrics",), ["training"]),
        (("candidates",), ["training"]),
        (("evaluations",), ["success", "failures"]),
        (("comparison",), ["comparison"]),
        (("sensitivity",), ["sensitivity"]),
        (("runtime",), ["runtime"]),
        (("films",), ["films"]),
    ],
)
def test_each_part_may_be_there_alone(findings, fields, sections):
    alone = Findings("a part", **{field: getattr(findings, field) for field in fields})
    assert [i for i in outline(render(alone)).ids if i in SECTIONS] == sections


def test_equal_findings_give_equal_bytes(findings, rendered):
    assert render(findings) == rendered


def test_every_text_is_escaped():
    evil = '<script>alert("x")</script>&'
    html = render(
        Findings(
            title=evil,
            subtitle=evil,
            stages=(StageRow(evil, evil, 1.0, evil, evil),),
            checklist=(CheckRow(evil, False, evil, evil, evil),),
            metrics=((1, {f"loss {evil}": 1.0}), (2, {f"loss {evil}": 2.0})),
            sensitivity=(SensitivityRow(evil, evil, reason=evil),),
            notes={evil: evil},
        )
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 14


def test_nothing_is_fetched_from_anywhere(rendered):
    page = outline(rendered)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "img" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    assert all(source.startswith("data:video/mp4;base64,") for source in page.sources)
    outside = re.findall(r"url\(([^#)][^)]*)\)|@import", rendered)
    assert outside == []


def test_ids_are_unique_although_there_are_many_drawings(rendered):
    ids = outline(rendered).ids
    assert len(ids) == len(set(ids))


def test_films_are_embedded_whole(findings, rendered):
    page = outline(rendered)
    films = [base64.b64decode(source.partition(",")[2]) for source in page.sources]
    assert films == [film.mp4 for film in findings.films]


def test_every_failure_comes_with_the_command_that_replays_it(findings, rendered):
    html = rendered
    for evaluation in findings.evaluations:
        for result in evaluation.failures:
            assert f"steady replay runs/demo-3f9a1c --episode {result.key}<" in html


def test_no_failure_is_said_in_words(findings):
    flawless = replace(
        findings.evaluations[0],
        results=tuple(
            replace(r, is_success=True, ending="success") for r in findings.evaluations[0].results
        ),
    )
    assert "No episode failed." in render(Findings("flawless", evaluations=(flawless,)))


def test_many_failures_are_folded_but_all_there(findings):
    hopeless = replace(
        findings.evaluations[0],
        results=tuple(
            replace(r, is_success=False, ending="time_limit")
            for r in findings.evaluations[0].results
        ),
    )
    html = render(Findings("hopeless", evaluations=(hopeless,)))
    assert "350 more" in html
    assert html.count("steady replay") == 400


def test_success_is_shown_with_its_wilson_interval(rendered):
    html = rendered
    assert "198/200" in html
    assert "96.4 &ndash; 99.7" in html


def test_a_bad_result_looks_bad(findings):
    late = replace(findings.runtime, late_actions=3)
    rows = {row.label: row for row in summary(replace(findings, runtime=late))}
    assert rows["late actions executed"].value == "3"
    assert rows["late actions executed"].is_good is False
    assert rows["dataset checks"].detail == "failed: share of recovery episodes"


def test_the_summary_fits_one_screen_and_says_what_matters(findings):
    rows = {row.label: row for row in summary(findings)}
    assert len(rows) <= 12
    assert rows["success pick_place-hard"].value == "99.0%"
    assert rows["success pick_place-hard"].detail == "198/200 [96.4, 99.7]%, bundle"
    assert rows["bundle vs checkpoint"].is_good is True
    assert rows["bundle"].detail == "vision int8 + policy fp32"
    assert rows["late actions executed"].is_good is True
    assert rows["faults injected"].detail == "task done; worker restarts: 1"


def test_a_run_that_failed_or_was_stopped_is_called_so(findings):
    for outcome, words in ((False, "task not done"), (None, "robot stopped safely")):
        runtime = replace(findings.runtime, is_success=outcome)
        rows = {row.label: row for row in summary(replace(findings, runtime=runtime))}
        assert words in rows["faults injected"].detail


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999 B"), (2048, "2.0 KiB"), (79_000, "77 KiB"), (2**20, "1.0 MiB"), (2**31, "2.0 GiB")],
)
def test_sizes_are_written_for_people(count, text):
    assert format_bytes(count) == text


def test_a_report_is_written_or_the_place_is_named(tmp_path):
    findings = Findings("an empty run")
    write_report(tmp_path / "report.html", findings)
    assert (tmp_path / "report.html").read_text() == render(findings)
    with pytest.raises(StorageError, match="report"):
        write_report(tmp_path / "report.html" / "inside a file", findings)


class TestPlots:
    def test_colours_follow_the_page_and_no_placeholder_is_left(self):
        svg = plots.curves("a", [plots.Line("loss", [1, 2], [3, 4])], "step", "loss")
        assert "var(--blue)" in svg
        assert "#0102" not in svg

    def test_a_drawing_holds_no_date_and_no_style_for_the_rest_of_the_page(self):
        svg = plots.rates("a", [("c0", "bundle", Rate(9, 10))])
        assert "<style" not in svg
        assert "metadata" not in svg
        assert not re.search(r"\d{4}-\d\d-\d\d", svg)

    def test_the_settings_of_the_user_change_nothing(self):
        lines = [plots.Line("loss", [1, 2], [3, 4])]
        before = plots.curves("a", lines, "step", "loss")
        with plots.mpl.rc_context({"xtick.major.size": 20, "font.size": 30}):
            assert plots.curves("a", lines, "step", "loss") == before

    def test_empty_bins_around_a_histogram_are_cut_off(self):
        edges = [float(10**i) for i in range(8)]
        wide = plots.histogram("h", Histogram(edges, [0, 0, 5, 1, 0, 0, 0]), "ms")
        tight = plots.histogram("h", Histogram(edges[2:5], [5, 1]), "ms")
        assert wide == tight

    def test_an_empty_histogram_can_be_drawn(self):
        assert "<svg" in plots.histogram("h", Histogram([1, 2, 3], [0, 0]), "ms")

    def test_bins_that_begin_at_zero_are_drawn_on_a_linear_axis(self):
        assert "<svg" in plots.histogram("h", Histogram([0.0, 1.0, 2.0], [9, 1]), "ms")

    def test_a_label_is_escaped(self):
        svg = plots.timeline("t", [Span(0, 1, "a<b")], {"a<b": plots.GREEN}, {"kill <worker>": 0.5})
        assert "a&lt;b" in svg
        assert "kill &lt;worker&gt;" in svg
