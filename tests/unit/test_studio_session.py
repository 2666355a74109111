"""Saved studio sessions: whatever the file holds, it is put on the page whole or refused in one line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plottwist.errors import PlotTwistError
from plottwist.evaluation.records import CriticReport
from plottwist.nqd import NQDS
from plottwist.studio import explain, page
from plottwist.studio.page import LARGEST, Page, Rating, Session
from plottwist.studio.refine import Refinement

TEXT = "Anna wanted to open a shop. But Tom hid the keys. Anna wept. Then it rained. Anna found the keys. Tom forgave her at last."
FIVE = dict.fromkeys(NQDS, 5.0)
WHOLE = Session(
    premise="Anna wants a shop.",
    plot=TEXT,
    plots=[TEXT, "Tom left."],
    ratings=[
        Rating(
            number=1,
            rater="rule",
            scores=FIVE,
            reports=[
                CriticReport(critic=n, evidence=["Tom hid"], false_quotes=0, strengths=["a want"], failings=[], rating=4) for n in NQDS
            ],
        )
    ],
    refinement=Refinement(
        original=TEXT,
        text=f"{TEXT} All was good.",
        premise=None,
        band="poor",
        weakest="tone",
        before=FIVE,
        after=FIVE,
        kept=True,
        reason="it is better",
        share_rewritten=0.2,
        mind="rule",
    ),
    explanation=explain.explain(TEXT),
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["$x$", "<b>", "\ud800", *NQDS]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(list(Session.model_fields)), inner, max_size=4)
    ),
    max_leaves=12,
)


def places(value: object, at: tuple = ()) -> list[tuple]:
    """Every path in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, inner in items for place in places(inner, (*at, key)))]


PLACES = [place for place in places(WHOLE.model_dump(mode="json")) if place]


def changed(place: tuple, change: str, junk: object) -> bytes:
    """The whole session with one thing put wrong at a place."""
    content = copy.deepcopy(WHOLE.model_dump(mode="json"))
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    if change == "replace":
        holder[place[-1]] = junk
    elif change == "delete":
        del holder[place[-1]]
    elif isinstance(holder, dict):
        holder[f"{place[-1]} too"] = junk
    else:
        holder.append(junk)
    return json.dumps(content).encode("utf-8", "surrogatepass")


def refusal(call: Callable[[bytes], object], content: bytes) -> str:
    """Why a file is refused, or "" where it is not; whatever else is raised fails the test."""
    try:
        call(content)
    except PlotTwistError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def studio() -> Page:
    return Page()


def loaded_or_refused(studio: Page, content: bytes) -> bool:
    """Whether a file was loaded; a refusal is one line, and leaves the page as it was."""
    before = studio.session, studio.plot.value, studio.ratings.value, studio.refined.value, studio.explained.value
    if why := refusal(studio.load, content):
        assert "\n" not in why and len(why) < 600
        assert before == (studio.session, studio.plot.value, studio.ratings.value, studio.refined.value, studio.explained.value)
        return False
    assert (studio.plot.value, studio.premise.value) == (studio.session.plot, studio.session.premise)
    assert bool(studio.ratings.value) == bool(studio.session.ratings)
    return True


def test_the_whole_session_is_loaded(studio):
    assert loaded_or_refused(studio, WHOLE.model_dump_json().encode())
    assert studio.session == WHOLE
    assert loaded_or_refused(studio, b"\xef\xbb\xbf" + WHOLE.model_dump_json().encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), st.sampled_from(["replace", "delete", "add"]), JUNK)
def test_one_thing_wrong_is_refused_or_shown(studio, place, change, junk):
    loaded_or_refused(studio, changed(place, change, junk))


@settings(max_examples=300, deadline=None)
@given(JUNK.map(lambda junk: json.dumps(junk).encode("utf-8", "surrogatepass")) | st.binary(max_size=60))
def test_any_file_is_a_session_or_refused(content):
    assert "\n" not in refusal(page._session, content)


@pytest.mark.parametrize(
    ("place", "junk"),
    [
        (("ratings", 0, "scores"), {}),
        (("ratings", 0, "scores", "tone"), 11),
        (("ratings", 0, "scores", "tone"), float("nan")),
        (("ratings", 0, "scores", "tone"), 10**400),
        (("ratings", 0, "number"), 0),
        (("refinement", "before"), {}),
        (("refinement", "after"), {"tone": 3.0}),
        (("refinement", "weakest"), "plot"),
        (("refinement", "share_rewritten"), float("nan")),
        (("refinement", "original"), "a " * 40_000),
        (("explanation", "measured", "labels"), []),
        (("explanation", "measured", "labels", 0), "Twist"),
        (("explanation", "measured", "arc", 0), 1e308),
        (("explanation", "measured", "turning_points", 0, "name"), "$\\frac$"),
        (("explanation", "measured", "turning_points", 0, "sentence"), 99),
        (("explanation", "measured"), None),
        (("plots",), ["x"] * 9),
        (("plot",), "a" * 60_001),
    ],
)
def test_what_could_not_be_drawn_is_refused(studio, place, junk):
    assert not loaded_or_refused(studio, changed(place, "replace", junk))


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"[" * 200_000, b'{"plot": ' * 5000, b" " * (LARGEST + 1), b"\xff\xfe{}", b'{"premise": 3}']
)
def test_what_is_no_session_at_all_is_refused(studio, content):
    assert not loaded_or_refused(studio, content)
