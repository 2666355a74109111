import pytest

from plottwist import profiles
from plottwist.errors import PlotTwistError


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile_loads_under_its_own_name(name):
    assert profiles.load(name).name == name


def test_the_five_worlds_ship():
    assert profiles.names() == ["cpu", "gpu", "paper", "public", "smoke"]


def test_unknown_profile_names_the_nearest():
    with pytest.raises(PlotTwistError, match="did you mean smoke"):
        profiles.load("smok")


def _cpu(**changes):
    return profiles.load("cpu").model_dump() | changes


def test_unknown_key_names_it_and_the_nearest_known():
    with pytest.raises(PlotTwistError, match="unknown key 'thread'; nearest known: threads"):
        profiles.parse(_cpu(thread=2), "x")


def test_unknown_key_in_a_section():
    with pytest.raises(PlotTwistError, match=r"'quickstart.plot'; nearest known: plots"):
        profiles.parse(_cpu(quickstart={"plots": 100, "plot": 1}), "x")


def test_a_wrong_value_says_where():
    with pytest.raises(PlotTwistError, match="threads"):
        profiles.parse(_cpu(threads=0), "x")


@pytest.mark.parametrize("content", ["", "- a", "a: [", "\x00", "a: !!python/object:os.system"])
def test_what_is_not_a_profile_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "own.yaml"
    file.write_text(content)
    with pytest.raises(PlotTwistError) as error:
        profiles.load(str(file))
    assert "\n" not in str(error.value)


def test_own_file(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(profiles.path("cpu").read_text().replace("name: cpu", "name: own"))
    assert profiles.load(str(file)).name == "own"
