"""Draw a scene: granulation, structures and their true areas, then the telescope.

Everything is painted on a grid `OVERSAMPLING` times finer than the detector. The truth is the
share of each detector pixel that lies in an umbra, a penumbra or a pore *before* the
point-spread function; the image is what the telescope makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from solarxai.synthetic.structures import Bridge, Core, Dimming, Fan, Structure

__all__ = [
    "OVERSAMPLING",
    "Canvas",
    "Optics",
    "granulation",
    "granulation_through",
    "observe_canvas",
    "paint",
]

OVERSAMPLING = 4
"""Fine pixels along one detector pixel."""

_TURN = 1024
"""Directions in which an outline is tabulated."""

_RINGS = 48
"""Steps from the centre of a fan to its edge in which filaments are tabulated."""

_WAVENUMBER = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.05, 1.3, 1.8, 2.4)
_POWER = (1.1, 1.0, 0.95, 1.15, 1.6, 1.75, 1.55, 1.35, 1.1, 0.85, 0.5, 0.12, 0.0)
"""Power of granulation before the telescope (cycles per Mm, relative to the mean below 1 per Mm),
found by dividing the power spectra of the quiet Sun in three HMI continuum images by the transfer
function of `Optics`: see docs/synthetic.md."""

_SKEWNESS = 0.11

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The telescope: a Gaussian core with a wide wing of stray light, and the detector's pixels.

    Parameters
    ----------
    pixel_mm
        Size of a detector pixel at the distance of the Sun, Mm.
    core_mm, wing_mm
        Full width at half maximum of core and wing, Mm.
    wing
        Share of the light in the wing.
    """

    pixel_mm: float
    core_mm: float
    wing_mm: float
    wing: float

    def transfer(self, wavenumber_squared: Array) -> Array:
        """Return the optical transfer function at squared wavenumbers in Mm⁻²."""
        scale = np.float32(np.pi**2 / (4 * np.log(2)))
        core = np.exp(-scale * np.float32(self.core_mm**2) * wavenumber_squared)
        wing = np.exp(-scale * np.float32(self.wing_mm**2) * wavenumber_squared)
        return np.asarray((1 - np.float32(self.wing)) * core + np.float32(self.wing) * wing)


@dataclass(frozen=True)
class Canvas:
    """A fine grid on the sky over a patch of the surface, and what has been painted on it.

    Parameters
    ----------
    intensity
        (y, x) float32, relative to the quiet Sun.
    umbra, penumbra, pore
        (y, x) bool, which never overlap.
    owner
        (y, x) int16, which structure they belong to, counted from 1; 0 in the quiet Sun.
    origin
        (x, y) of the middle of the patch in fine pixels.
    to_surface
        (2, 2) matrix from fine pixels to Mm on the surface.
    """

    intensity: Array
    umbra: Mask
    penumbra: Mask
    pore: Mask
    owner: npt.NDArray[np.int16]
    origin: tuple[float, float]
    to_surface: npt.NDArray[np.float64]

    @staticmethod
    def blank(
        shape: tuple[int, int],
        *,
        origin: tuple[float, float],
        to_surface: npt.NDArray[np.float64],
    ) -> Canvas:
        """Return a canvas of quiet Sun without granulation."""
        umbra, penumbra, pore = (np.zeros(shape, dtype=bool) for _ in range(3))
        owner = np.zeros(shape, dtype=np.int16)
        ones = np.ones(shape, dtype=np.float32)
        return Canvas(ones, umbra, penumbra, pore, owner, origin, to_surface)

    def areas(self, mask: Mask, structures: int) -> npt.NDArray[np.float64]:
        """Return the area (Mm² on the surface) of a mask that belongs to each structure."""
        pixels = np.bincount(self.owner[mask], minlength=structures + 1)[1:]
        return np.asarray(pixels * abs(np.linalg.det(self.to_surface)), dtype=np.float64)

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Return the slices that hold the circle of `reach` Mm around a surface point."""
        to_sky = np.linalg.inv(self.to_surface)
        centre = to_sky @ [x, y] + self.origin
        half = reach * np.linalg.norm(to_sky, axis=1)
        low = np.maximum(np.floor(centre - half), 0).astype(int)
        high = np.maximum(np.ceil(centre + half) + 1, 0).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def surface(self, window: tuple[slice, slice]) -> tuple[Array, Array]:
        """Return the surface coordinates (Mm) of the fine pixels in a window."""
        rows, columns = self.intensity.shape
        y = np.arange(*window[0].indices(rows), dtype=np.float32)[:, None] - self.origin[1]
        x = np.arange(*window[1].indices(columns), dtype=np.float32)[None, :] - self.origin[0]
        matrix = self.to_surface.astype(np.float32)
        x, y = x.astype(np.float32), y.astype(np.float32)
        return matrix[0, 0] * x + matrix[0, 1] * y, matrix[1, 0] * x + matrix[1, 1] * y


def granulation(
    shape: tuple[int, int],
    *,
    to_surface: npt.NDArray[np.float64],
    contrast: float,
    rng: np.random.Generator,
) -> Array:
    """Return the relative brightness of granules about 0: (y, x) float32 of rms `contrast`.

    A Gaussian field with the measured spectrum, on the surface (so foreshortened on the sky),
    made slightly skew: granules are brighter than lanes are dark.
    """
    highest = _WAVENUMBER[-1] * float(np.linalg.norm(to_surface, 2))
    rows = min(int(np.ceil(highest * shape[0])), shape[0] // 2 - 1)
    columns = min(int(np.ceil(highest * shape[1])), shape[1] // 2 - 1)
    ky = np.concatenate([np.arange(rows + 1), np.arange(-rows, 0)]).astype(np.float32) / shape[0]
    kx = np.arange(columns + 1, dtype=np.float32) / shape[1]
    inverse = np.linalg.inv(to_surface).astype(np.float32)
    along = inverse[0, 0] * kx[None, :] + inverse[1, 0] * ky[:, None]
    across = inverse[0, 1] * kx[None, :] + inverse[1, 1] * ky[:, None]
    amplitude = np.sqrt(np.interp(np.hypot(along, across), _WAVENUMBER, _POWER)).astype(np.float32)
    white = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    spectrum = np.zeros((shape[0], shape[1] // 2 + 1), dtype=np.complex64)
    block = amplitude * (white[0] + 1j * white[1])
    block[0, 0] = 0
    spectrum[: rows + 1, : columns + 1] = block[: rows + 1]
    spectrum[-rows:, : columns + 1] = block[rows + 1 :]
    field = fft.irfft2(spectrum, s=shape)
    field /= field.std()
    field += np.float32(_SKEWNESS) * (field * field - 1)
    return np.asarray(field * np.float32(contrast), dtype=np.float32)


def granulation_through(optics: Optics) -> float:
    """Return the rms of granulation seen through a telescope relative to its rms before it."""
    k = np.linspace(0, _WAVENUMBER[-1], 2000, dtype=np.float32)
    power = np.interp(k, _WAVENUMBER, _POWER) * k
    pixel = np.sinc(k * optics.pixel_mm)
    seen = power * (optics.transfer(k * k) * pixel) ** 2
    return float(np.sqrt(seen.sum() / power.sum()))


def paint(
    canvas: Canvas,
    structures: Sequence[Structure],
    *,
    dimmings: Iterable[Dimming] = (),
    granules: Array | None = None,
) -> Canvas:
    """Paint structures on a blank canvas, in their order, over the granulation, and return it.

    A later structure never covers an earlier one. Granulation shows in full in the quiet Sun, at
    half its contrast in cores and not at all in penumbrae.
    """
    for dimming in dimmings:
        _dim(canvas, dimming)
    show = np.ones_like(canvas.intensity)
    for number, structure in enumerate(structures, start=1):
        _paint_structure(canvas, show, structure, number)
    if granules is not None:
        show *= granules
        show += 1
        np.multiply(canvas.intensity, show, out=canvas.intensity)
    return canvas


def observe_canvas(canvas: Canvas, optics: Optics) -> tuple[Array, dict[str, Array]]:
    """Return the image and the truth: intensity and area fractions on detector pixels.

    The point-spread function acts on the fine grid, whose edges it joins: keep a margin.
    """
    shape = canvas.intensity.shape
    step = optics.pixel_mm / OVERSAMPLING
    ky = fft.fftfreq(shape[0], step).astype(np.float32)[:, None]
    kx = fft.rfftfreq(shape[1], step).astype(np.float32)[None, :]
    spectrum = fft.rfft2(canvas.intensity) * optics.transfer(ky * ky + kx * kx)
    image = binned(fft.irfft2(spectrum, s=shape))
    names = ("umbra", "penumbra", "pore")
    return image, {name: binned(getattr(canvas, name)) for name in names}


def binned(fine: npt.NDArray[np.generic]) -> Array:
    """Return the means over blocks of `OVERSAMPLING` squared fine pixels: (y, x) float32."""
    rows, columns = (size // OVERSAMPLING for size in fine.shape)
    blocks = fine.reshape(rows, OVERSAMPLING, columns, OVERSAMPLING)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def _dim(canvas: Canvas, dimming: Dimming) -> None:
    window = canvas.window(dimming.x, dimming.y, 3 * dimming.radius)
    x, y = canvas.surface(window)
    square = ((x - dimming.x) ** 2 + (y - dimming.y) ** 2) / np.float32(2 * dimming.radius**2)
    canvas.intensity[window] *= 1 - np.float32(dimming.depth) * np.exp(-square)


def _paint_structure(canvas: Canvas, show: Array, structure: Structure, number: int) -> None:
    window = canvas.window(structure.x, structure.y, structure.extent)
    x, y = canvas.surface(window)
    if not x.size:
        return
    free = canvas.owner[window] == 0
    core, depth, distance = _cores(structure.cores, x, y)
    if structure.fans:
        filaments, brightness = _fans(structure.fans, x, y, distance)
        filaments &= ~core & free
        _lay(canvas, show, window, filaments, brightness, canvas.penumbra, number)
        show[window][filaments] = 0
    if structure.label == "orphan":
        return
    lane = _bridges(structure.bridges, x, y)
    bridge = core & (lane < 1) & free
    canvas.intensity[window][bridge] = lane[bridge]
    show[window][bridge] = 0.5
    plane = canvas.pore if structure.label == "pore" else canvas.umbra
    _lay(canvas, show, window, core & ~bridge & free, depth, plane, number)


def _lay(
    canvas: Canvas,
    show: Array,
    window: tuple[slice, slice],
    here: Mask,
    intensity: Array,
    plane: Mask,
    number: int,
) -> None:
    """Lay one kind of surface on the canvas `here`; granules show at half their contrast."""
    canvas.intensity[window][here] = intensity[here]
    canvas.owner[window][here] = number
    plane[window][here] = True
    show[window][here] = 0.5


def _cores(cores: Sequence[Core], x: Array, y: Array) -> tuple[Mask, Array, Array]:
    """Return where cores are, their intensity, and the distance (Mm) outside the nearest one."""
    inside = np.zeros(x.shape, dtype=bool)
    intensity = np.ones_like(x)
    distance = np.full_like(x, np.inf)
    for core in cores:
        r, turn = _polar(core, x, y)
        outline = _outline(core)[turn]
        rho = r / outline
        here = rho < 1
        profile = core.intensity + (core.edge - core.intensity) * rho[here] ** core.exponent
        intensity[here] = np.minimum(intensity[here], profile)
        inside |= here
        np.minimum(distance, np.maximum(r - outline, 0), out=distance)
    return inside, intensity, distance


def _fans(fans: Sequence[Fan], x: Array, y: Array, distance: Array) -> tuple[Mask, Array]:
    """Return where penumbrae are and the intensity of their filaments."""
    inside = np.zeros(x.shape, dtype=bool)
    intensity = np.ones_like(x)
    nearest = np.ones_like(x)
    for fan in fans:
        r, turn = _polar(fan, x, y)
        rho = r / _outline(fan)[turn]
        rows, columns = np.nonzero(rho < nearest)
        here = (rows, columns)
        ring = np.minimum(rho[here] * _RINGS, _RINGS - 1).astype(np.int32)
        twisted = turn[here] + (fan.twist * _TURN / (2 * np.pi) * rho[here]).astype(np.int32)
        table = _filaments(fan)
        filament = table[ring, twisted % _TURN] * (1 - rho[here])
        filament += table[ring, 2 * twisted % _TURN] * rho[here]
        room = (1 - rho[here]) * np.float32(fan.radius)
        out = distance[here] / (distance[here] + room + np.float32(1e-3))
        base = fan.inner + (fan.outer - fan.inner) * out
        intensity[here] = np.clip(base * (1 + filament), 0.3, 1.05)
        inside[here] = ~_in_gap(fan, turn[here], filament)
        nearest[here] = rho[here]
    return inside, intensity


def _in_gap(fan: Fan, turn: npt.NDArray[np.int32], filament: Array) -> Mask:
    """Return which directions lie in the sector without penumbra, its sides frayed by filaments."""
    angle = turn.astype(np.float32) * np.float32(2 * np.pi / _TURN) + np.float32(fan.angle)
    away = np.abs((angle - fan.gap_angle + np.pi) % (2 * np.pi) - np.pi)
    frayed = away + (filament if fan.gap else 0)
    return np.asarray(frayed < fan.gap / 2)


def _bridges(bridges: Sequence[Bridge], x: Array, y: Array) -> Array:
    """Return the intensity of light bridges, 1 elsewhere."""
    lanes = np.ones_like(x)
    for bridge in bridges:
        dx, dy = x - np.float32(bridge.x), y - np.float32(bridge.y)
        cosine, sine = np.float32(np.cos(bridge.angle)), np.float32(np.sin(bridge.angle))
        along, across = cosine * dx + sine * dy, cosine * dy - sine * dx
        across -= np.float32(bridge.curvature) * along**2
        lanes[np.abs(across) < bridge.width / 2] = bridge.intensity
    return lanes


def _polar(part: Core | Fan, x: Array, y: Array) -> tuple[Array, npt.NDArray[np.int32]]:
    """Return radius (Mm, of the circle of the same area) and tabulated direction about a part."""
    dx, dy = x - np.float32(part.x), y - np.float32(part.y)
    cosine, sine = np.float32(np.cos(part.angle)), np.float32(np.sin(part.angle))
    stretch = np.float32(np.sqrt(part.elongation))
    along, across = (cosine * dx + sine * dy) / stretch, (cosine * dy - sine * dx) * stretch
    turn = np.arctan2(across, along) * np.float32(_TURN / (2 * np.pi))
    return np.hypot(along, across), turn.astype(np.int32) % _TURN


def _outline(part: Core | Fan) -> Array:
    """Return the radius (Mm) in each tabulated direction."""
    rng = np.random.default_rng([part.seed, 0])
    waves = np.zeros(_TURN // 2 + 1, dtype=np.complex128)
    slow = np.arange(2, 7)
    waves[slow] = _complex_normal(rng, slow.size) / slow
    waves *= part.irregularity / 0.6
    spacing = part.spacing if isinstance(part, Fan) else 0.7
    fine = np.arange(7, max(8, min(int(2 * np.pi * part.radius / spacing), _TURN // 2)))
    waves[fine] = part.raggedness * _complex_normal(rng, fine.size) / np.sqrt(fine.size)
    shape = 1 + np.fft.irfft(waves, _TURN) * _TURN / 2
    return np.asarray(part.radius * np.clip(shape, 0.35, 1.3), dtype=np.float32)


def _filaments(fan: Fan) -> Array:
    """Return the relative brightness of filaments: (ring, direction) float32 of rms `contrast`."""
    rng = np.random.default_rng([fan.seed, 1])
    number = 2 * np.pi * 0.5 * fan.radius / fan.spacing
    m = np.arange(_TURN // 2 + 1, dtype=np.float32)[None, :]
    k = fft.fftfreq(_RINGS, fan.radius / _RINGS).astype(np.float32)[:, None]
    around = 1 / (1 + (m / number) ** 6) * (m > 0.15 * number)
    outward = np.exp(-((2.2 * k) ** 2))
    white = rng.standard_normal((_RINGS, m.size, 2), dtype=np.float32)
    spectrum = (white[..., 0] + 1j * white[..., 1]) * around * outward
    field = fft.irfft2(spectrum, s=(_RINGS, _TURN))
    return np.asarray(field * (fan.contrast / field.std()), dtype=np.float32)


def _complex_normal(rng: np.random.Generator, number: int) -> npt.NDArray[np.complex128]:
    return rng.standard_normal(number) + 1j * rng.standard_normal(number)
