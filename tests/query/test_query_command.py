"""`solarxai query` and `solarxai index` on the line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from solarxai import cli
from solarxai.query import SaliencyStore

Answer = tuple[int, str, str]


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Return exit code, standard output and standard error of words after `solarxai`."""

    def run(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["solarxai", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_a_table_is_bounded_and_says_how_many_rows_there_are(
    typed: Callable[..., Answer], two: SaliencyStore
) -> None:
    code, out, err = typed("query", two.path, "--limit", 3, "--offset", 2)
    assert code == 0
    assert len(out.splitlines()) == 4
    assert err.strip() == "rows 3 to 5 of 16; --limit and --offset give others"
    assert "run" in out.splitlines()[0].split()
    _, every, silent = typed("query", two.path)
    assert len(every.splitlines()) == 17
    assert silent == ""
    paged, whole = ([line.split() for line in text.splitlines()[1:]] for text in (out, every))
    assert paged == whole[2:5]


def test_json_holds_every_row(typed: Callable[..., Answer], two: SaliencyStore) -> None:
    code, out, _ = typed("query", two.path, "--json", "--box", "-1e4/1e4,-1e4/1e4")
    assert code == 0
    told = json.loads(out)
    assert len(told) == 16
    assert {"time", "label", "solar_x", "solar_y", "run"} <= set(told[0])


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--cone", "1,2"], "--cone '1,2' is not X,Y,RADIUS"),
        (["--cone", "1,2,x"], "--cone '1,2,x' is not X,Y,RADIUS"),
        (["--box", "1/2/3,4"], "--box '1/2/3,4' is not X/X,Y/Y"),
        (["--cone=-900,-900,1"], "no row has a place within 1 arcsec of (-900, -900)"),
        (["--cone", "0,0,9", "--box", "0/1,0/1"], "both cone and box"),
    ],
)
def test_a_place_that_cannot_be_read_is_one_line(
    typed: Callable[..., Answer], two: SaliencyStore, words: list[str], match: str
) -> None:
    code, out, err = typed("query", two.path, *words)
    assert code == 2
    assert out == ""
    assert match in err


def test_the_index_is_made_anew_on_request(
    typed: Callable[..., Answer], copy: SaliencyStore
) -> None:
    (copy.path / "index.sqlite").unlink(missing_ok=True)
    for words in ([], ["--rebuild"]):
        code, out, _ = typed("index", copy.path, *words)
        assert code == 0
        assert out.strip() == f"{copy.path}: 16 rows of 2 runs"
        assert (copy.path / "index.sqlite").is_file()
