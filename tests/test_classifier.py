"""A network and its contract: one file, one hash, and refusals that say what to do."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ContractError
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.provenance import array_hash, content_hash


class Plane(nn.Module):
    """A user's own network: linear scores of 8 × 8 pixels."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.plane = nn.Linear(64, outputs)

    def forward(self, x):
        return self.plane(x.flatten(1))


class NotANetwork:
    """Something else."""


PLANE = f"{Plane.__module__}:Plane"
CONTRACT = {"shape": [8, 8], "classes": ["pore", "sunspot"]}


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    options = {"classes": 2, "width": 4}
    return Classifier(
        network=ResidualCNN(**options).eval(),
        contract=InputContract(shape=(16, 16), offset=0.9, scale=0.25),
        architecture="solarxai.models.residual_cnn:ResidualCNN",
        options=options,
        notes={"epoch": 3},
    )


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(1, 0.1, (5, 16, 16)).astype(np.float32)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    torch.save(Plane().state_dict(), tmp_path / "plane.pt")
    return tmp_path / "plane.pt"


def test_the_network_sees_normalised_images(classifier, images):
    tensor = classifier.tensor(images)
    assert tensor.shape == (5, 1, 16, 16)
    np.testing.assert_allclose(tensor[:, 0], (images - 0.9) / 0.25, rtol=1e-5)


def test_scores_do_not_change_the_mode_and_ignore_it(classifier, images):
    expected = classifier.scores(images)
    classifier.network.train()
    np.testing.assert_array_equal(classifier.scores(images), expected)
    assert classifier.network.training


def test_a_margin_is_the_second_score_less_the_first(classifier, images):
    scores = classifier.scores(images, batch_size=2)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(
        classifier.margins(images, batch_size=2), scores[:, 1] - scores[:, 0]
    )


def test_no_images_have_no_scores(classifier):
    assert classifier.scores(np.zeros((0, 16, 16), np.float32)).shape == (0, 2)


def test_a_margin_of_three_classes_is_refused():
    three = Classifier(
        network=Plane(3),
        contract=InputContract(shape=(8, 8), classes=("a", "b", "c")),
        architecture=PLANE,
    )
    with pytest.raises(ContractError, match="the difference of two scores"):
        three.margins(np.ones((1, 8, 8), np.float32))


def test_saving_and_loading_keeps_margins_hash_and_notes(classifier, images, tmp_path):
    path = tmp_path / "c.safetensors"
    assert classifier.save(path) == classifier.hash
    again = Classifier.load(path)
    assert (again.hash, again.contract, again.notes) == (
        classifier.hash, classifier.contract, {"epoch": 3}
    )  # fmt: skip
    np.testing.assert_array_equal(again.margins(images), classifier.margins(images))
    assert path.read_bytes() == again.to_bytes() == classifier.to_bytes()


def test_the_hash_knows_weights_contract_and_options_but_not_notes(classifier):
    def changed(**fields):
        known = {f: getattr(classifier, f) for f in classifier.__dataclass_fields__}
        return Classifier(**(known | fields)).hash

    torch.manual_seed(1)
    others = {
        changed(network=ResidualCNN(width=4)),
        changed(contract=InputContract(shape=(16, 16))),
        changed(options={"width": 5}),
        changed(architecture="a:B"),
    }
    assert classifier.hash not in others
    assert len(others) == 4
    assert changed(notes={"epoch": 9}) == classifier.hash


def test_images_of_another_shape_or_not_finite_are_refused(classifier, images):
    with pytest.raises(ContractError, match=r"samples of \(8, 8\) pixels .* takes \(16, 16\)"):
        classifier.tensor(images[:, :8, :8])
    images[0, 0, 0] = np.inf
    with pytest.raises(ContractError, match="not finite"):
        classifier.scores(images)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"SIMPLE  =" * 400])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "c.safetensors").write_bytes(content)
    with pytest.raises(ContractError, match=r"c.safetensors: not a solarxai checkpoint"):
        Classifier.load(tmp_path / "c.safetensors")


def test_an_absent_file_or_a_folder_is_no_checkpoint(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ContractError, match="not a solarxai checkpoint"):
            Classifier.load(path)


@pytest.mark.parametrize("record", [None, "{", "[]", "{}", '{"contract": {}}'])
def test_safetensors_without_our_record_are_refused(tmp_path, record):
    metadata = None if record is None else {"solarxai": record}
    path = tmp_path / "c.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(ContractError, match="not a solarxai checkpoint"):
        Classifier.load(path)


def test_weights_that_do_not_fit_are_refused(classifier, tmp_path):
    path = tmp_path / "c.safetensors"
    state = classifier.network.state_dict()
    record = {
        "contract": CONTRACT, "notes": {}, "options": {"width": 8},
        "architecture": classifier.architecture,
    }  # fmt: skip
    safetensors.torch.save_file(state, path, metadata={"solarxai": json.dumps(record)})
    with pytest.raises(ContractError, match=r"the weights do not fit .* \{'width': 8\}"):
        Classifier.load(path)


def test_a_users_own_network_is_read_from_both_kinds_of_file(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    safetensors.torch.save_file(state, tmp_path / "plane.safetensors")
    images = np.random.default_rng(0).normal(1, 0.1, (3, 8, 8)).astype(np.float32)
    expected = (torch.from_numpy(images - 1).flatten(1) @ state["plane.weight"].T).numpy()
    for path in (weights, tmp_path / "plane.safetensors"):
        made = Classifier.from_import(network=PLANE, weights=path, contract=CONTRACT)
        np.testing.assert_allclose(
            made.scores(images), expected + state["plane.bias"].numpy(), atol=1e-5
        )
        assert not made.network.training


def test_weights_that_are_no_state_dict_are_refused(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"\x80\x04nonsense")
    for name in ("w.pt", "absent.safetensors"):
        with pytest.raises(ContractError, match=f"{name}: not a state dict"):
            Classifier.from_import(network=PLANE, weights=tmp_path / name, contract=CONTRACT)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("no_such_module:Net", "cannot build the network"),
        (f"{Plane.__module__}:Missing", "cannot build the network"),
        ("Plane", "cannot build the network"),
        (f"{Plane.__module__}:NotANetwork", "gives a NotANetwork"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(weights, network, message):
    with pytest.raises(ContractError, match=message):
        Classifier.from_import(network=network, weights=weights, contract=CONTRACT)


def test_an_unknown_option_is_refused(weights):
    with pytest.raises(ContractError, match=r"options \{'outptus': 2\}"):
        Classifier.from_import(
            network=PLANE, weights=weights, contract=CONTRACT, options={"outptus": 2}
        )


def test_outputs_must_be_as_many_as_classes(weights):
    with pytest.raises(ContractError, match=r"returns \(2,\) outputs for 3 classes"):
        Classifier.from_import(
            network=PLANE,
            weights=weights,
            contract={"shape": [8, 8], "classes": ["pore", "sunspot", "plage"]},
        )


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({"shpae": [8, 8]}, r"unknown fields \['shpae'\]"),
        ({"shape": 8}, "a value of the wrong type"),
        ({"shape": [8, 8], "scale": "wide"}, "a value of the wrong type"),
        ({"shape": [8, 0]}, "must be positive"),
        ({"scale": 0.0}, "must be positive"),
        ({"scale_mm": -1.0}, "must be positive"),
        ({"classes": ["pore"]}, "not two or more distinct names"),
        ({"classes": ["pore", "pore"]}, "not two or more distinct names"),
    ],
)
def test_an_unsound_contract_is_refused(weights, contract, message):
    with pytest.raises(ContractError, match=message):
        Classifier.from_import(network=PLANE, weights=weights, contract=contract)


SPECTRA = {
    "shape": (8,), "scale_mm": None, "wavelength": (2794.14, 2805.72),
    "classes": ("active", "preflare"),
}  # fmt: skip


class Spectral(nn.Module):
    """Scores from the mean of the first and of the second half of the wavelengths."""

    def forward(self, x):
        halves = x.flatten(1, -2).mean(dim=1).unflatten(-1, (2, -1))
        return halves.mean(dim=-1)


def spectral(**changes) -> Classifier:
    contract = InputContract(**(SPECTRA | {"offset": 0.25, "scale": 0.5} | changes))
    return Classifier(
        network=Spectral().eval(), contract=contract, architecture=f"{Spectral.__module__}:Spectral"
    )


def test_the_hash_of_an_image_classifier_is_that_of_before_there_were_spectra(weights):
    contract = InputContract(shape=(8, 8))
    state = torch.load(weights, weights_only=True)
    network = Plane()
    network.load_state_dict(state)
    made = Classifier(network=network, contract=contract, architecture=PLANE)
    described = {
        "contract": {
            "shape": [8, 8], "scale_mm": 0.5, "offset": 1.0, "scale": 1.0,
            "classes": ["pore", "sunspot"],
        },
        "architecture": PLANE,
        "options": {},
    }  # fmt: skip
    tensors = {
        name: [list(t.shape), str(t.dtype), array_hash(t.numpy())] for name, t in state.items()
    }
    assert made.hash == content_hash([1, tensors, described])
    assert b"wavelength" not in made.to_bytes()


def test_spectra_come_back_from_a_checkpoint_with_their_wavelengths(tmp_path):
    made = spectral()
    made.save(tmp_path / "c.safetensors")
    again = Classifier.load(tmp_path / "c.safetensors")
    assert again.contract == made.contract
    assert again.hash == made.hash
    np.testing.assert_allclose(again.contract.wavelengths, np.linspace(2794.14, 2805.72, 8))
    assert spectral(wavelength=(2794.14, 2805.0)).hash != made.hash
    assert InputContract().wavelengths is None


def test_a_contract_of_spectra_is_read_from_a_file_with_null(tmp_path):
    safetensors.torch.save_file({}, tmp_path / "w.safetensors")
    given = SPECTRA | {"shape": [8], "wavelength": [2794.14, 2805.72]}
    made = Classifier.from_import(
        network=f"{Spectral.__module__}:Spectral",
        weights=tmp_path / "w.safetensors",
        contract=given,
    )
    assert made.contract == InputContract(**SPECTRA)


def test_slit_positions_without_spectrum_become_zero_after_normalisation():
    images = np.full((2, 3, 8), 0.75, dtype=np.float32)
    images[1, 2] = np.nan
    seen = spectral(shape=(3, 8)).tensor(images)
    assert seen.shape == (2, 1, 3, 8)
    expected = torch.ones(2, 1, 3, 8)
    expected[1, 0, 2] = 0
    torch.testing.assert_close(seen, expected)
    assert np.isnan(images[1, 2]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_spectra_finite_only_in_part_are_refused(value):
    images = np.ones((2, 3, 8), dtype=np.float32)
    images[0, 1, 4] = value
    with pytest.raises(ContractError, match="1 spectra of the spectrograms are finite only in"):
        spectral(shape=(3, 8)).tensor(images)


def test_a_spectrum_of_nan_is_refused():
    images = np.ones((2, 8), dtype=np.float32)
    images[0] = np.nan
    with pytest.raises(ContractError, match=r"not finite.*spectrograms\.flatten"):
        spectral().tensor(images)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale_mm": 0.5}, r"both scale_mm 0.5 and wavelength"),
        ({"wavelength": None}, "neither scale_mm nor wavelength"),
        ({"wavelength": (2805.0, 2794.0)}, "is not a range of wavelengths"),
        ({"wavelength": (2794.0, np.inf)}, "is not a range of wavelengths"),
        ({"wavelength": (0.0, 2794.0)}, "is not a range of wavelengths"),
        ({"wavelength": (2794.0, 2800.0, 2805.0)}, "is not a range of wavelengths"),
        ({"shape": (2, 3, 8)}, "neither that of a spectrum nor that of a spectrogram"),
        ({"shape": (3, 1)}, "neither that of a spectrum nor that of a spectrogram"),
    ],
)
def test_an_unsound_contract_of_spectra_is_refused(wrong, message):
    with pytest.raises(ContractError, match=message):
        InputContract(**(SPECTRA | wrong))


def test_a_classifier_of_spectra_has_no_plate_scale():
    contract = InputContract(shape=(240,), scale_mm=None, wavelength=(2794.14, 2805.72))
    with pytest.raises(ContractError, match="no plate scale"):
        _ = contract.plate_scale
