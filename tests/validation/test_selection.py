"""Which samples are judged."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.errors import ValidationError
from solarxai.schema import mock_spectrograms
from solarxai.validation.selection import decided, evenly, held_out


def with_split(samples, words):
    split = np.resize(np.array(words, dtype=object), samples.sizes["sample"])
    return samples.assign_coords(split=("sample", split))


def test_samples_seen_in_training_take_no_part_and_are_counted(spots):
    chosen, rows = held_out(with_split(spots, ["train", "train", "validation", "test"]))
    assert set(chosen["split"].values) == {"test"}
    assert chosen.sizes["sample"] == 10
    assert rows == [
        {"intervention": "all", "label": "all", "reason": "seen in training", "count": 30}
    ]


@pytest.mark.parametrize("words", [None, ["test"], ["test", ""]])
def test_what_training_never_saw_is_kept_whole(spots, words):
    samples = spots if words is None else with_split(spots, words)
    chosen, rows = held_out(samples)
    assert chosen is samples
    assert rows == []


def test_nothing_held_out_is_refused(spots):
    with pytest.raises(ValidationError, match="none of 40 samples was held out of training"):
        held_out(with_split(spots, ["train", "validation"]))


def test_a_few_of_each_origin_and_label_are_taken_from_first_to_last(spots):
    origin = np.array(["real"] * 30 + ["synthetic"] * 10, dtype=object)
    chosen = evenly(spots.assign_coords(origin=("sample", origin)), 3)
    kinds = list(zip(chosen["origin"].values, chosen["label"].values, strict=True))
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        (a, b): 3 for a in ("real", "synthetic") for b in ("sunspot", "pore")
    }
    names = spots["sample_id"].values.tolist()
    places = [names.index(name) for name in chosen["sample_id"].values]
    assert places == sorted(places)
    assert {places[0], places[-1]} == {0, 39}


def test_all_are_taken_where_there_are_fewer_or_no_bound_is_set(spots):
    assert evenly(spots, None) is spots
    assert evenly(spots, 100).sizes["sample"] == 40


def test_ambiguous_spectra_are_left_out_and_counted():
    samples = mock_spectrograms(16)
    assert decided(samples) == (samples, [])
    label = samples["label"].values.copy()
    label[:3] = "ambiguous"
    chosen, (row,) = decided(samples.assign_coords(label=("sample", label)))
    assert set(chosen["label"].values) == {"active", "preflare"}
    assert (row["count"], row["reason"]) == (3, "neither active nor pre-flare")
