"""Owns what a picture is made with: the engine, the device, the denoiser; and notes of what is not to be had.

An engine that needs a screen may end the process where there is none. So none is tried: `bootstrap.py` is told which
render here. What the picture shows: `rendering`.
"""

from blender_server import compat
from blender_server.refusals import Refusal
from protocol import errors

DENOISED_FROM = 4
"""Samples. Below, the pictures are for comparing with each other and should be fast."""
ANY_GPU = "any"
_NAMES = {"cycles": "Cycles", "eevee": "EEVEE", "workbench": "Workbench"}

_engines, _gpu, _gpu_failure = ["cycles"], "", ""


def allow(engines, gpu):
    """What this process may render with: engines, the best first; and graphics cards: of a kind, ANY_GPU, or none."""
    global _engines, _gpu
    _engines, _gpu = engines, gpu


def engines():
    """Those that render here."""
    return [name for name in _engines if compat.engine_id(name)]


class Means:
    """Of one picture, set until `temporary` ends."""

    def __init__(self, temporary, scene, engine, samples):
        self._temporary, self._scene, self._samples = temporary, scene, samples
        self._notes, self._device = [], "CPU"
        self.engine = self._usable(engine)
        temporary.set(scene.render, engine=compat.engine_id(self.engine))
        if self.engine == "eevee":
            temporary.set_where_known(scene.eevee, taa_render_samples=samples)
        if self.engine == "cycles":
            self._device = self._turned_on()
            self._set_cycles()

    def without_gpu(self, failure):
        """Go over to the processor, for good, where a graphics card has just failed; False where none was used."""
        global _gpu_failure
        if self._device == "CPU":
            return False
        _gpu_failure = "{} failed, so the processor rendered: {}".format(self._device, failure)[:400]
        self._notes, self._device = [*self._notes, _gpu_failure], "CPU"
        self._set_cycles()
        return True

    def told(self):
        """What `protocol.models.Made` says."""
        cycles = self._scene.cycles if self.engine == "cycles" else None
        return {
            "engine": self.engine,
            "samples": cycles.samples if cycles else self._samples if self.engine == "eevee" else 0,
            "device": self._device,
            "denoised": bool(cycles and cycles.use_denoising),
            "notes": list(dict.fromkeys(self._notes)),
        }

    def _usable(self, wanted):
        """What was asked for if it renders here, else the best that does."""
        here = engines()
        if wanted in here:
            return wanted
        if wanted not in _NAMES or not here:
            raise Refusal(errors.UNSUPPORTED, "this Blender has no engine {!r}".format(wanted))
        lacks = "cannot render with {} without a screen here" if compat.engine_id(wanted) else "has no {}"
        instead = "so {} made the picture".format(_NAMES[here[0]])
        self._notes.append("This Blender {}, {}.".format(lacks.format(_NAMES[wanted]), instead))
        return here[0]

    def _turned_on(self):
        """Set anew for each picture: preferences are open to the code that runs here."""
        if not _gpu:
            return "CPU"
        if _gpu_failure:
            self._notes.append(_gpu_failure)
            return "CPU"
        found = compat.turn_on_gpus("" if _gpu == ANY_GPU else _gpu)
        if found is None:
            kind = "" if _gpu == ANY_GPU else " by {}".format(_gpu)
            self._notes.append("Cycles finds no graphics card to use{} here, so the processor rendered.".format(kind))
            return "CPU"
        return "{}: {}".format(found[0], ", ".join(found[1]))[:300]

    def _set_cycles(self):
        cycles, on_gpu = self._scene.cycles, self._device != "CPU"
        self._temporary.set(cycles, device="GPU" if on_gpu else "CPU", samples=self._samples)
        self._temporary.set(cycles, seed=0, use_animated_seed=False, use_denoising=self._set_denoiser(on_gpu))
        self._temporary.set_where_known(cycles, use_adaptive_sampling=False, time_limit=0.0, use_auto_tile=False)

    def _set_denoiser(self, on_gpu):
        """Whether there is one."""
        if self._samples < DENOISED_FROM:
            return False
        for name in compat.denoisers():
            try:
                self._temporary.set(self._scene.cycles, denoiser=name)
            except TypeError:  # compiled in, but it lacks its card
                continue
            self._temporary.set_where_known(self._scene.cycles, denoising_prefilter="FAST", denoising_use_gpu=on_gpu)
            return True
        self._notes.append("This Blender has no denoiser, so pictures keep their grain.")
        return False
