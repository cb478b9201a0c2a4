"""What the backends that go through hls4ml share."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture
from fpgaml.backends import Backend, _hls4ml_estimate, _vendor
from fpgaml.backends._bench import bench_files
from fpgaml.backends._compiler import COMPILER, compiler_version
from fpgaml.backends._hls4ml_files import check_files, fixed_point, read_prototype
from fpgaml.backends._hls4ml_graph import (
    check_accumulators,
    check_effective,
    hls_nodes,
    layer_options,
)
from fpgaml.backends._hls4ml_repeatable import make_repeatable
from fpgaml.backends._limited_process import check_room, run_limited
from fpgaml.builder import ModelWeights
from fpgaml.errors import AgreementError, ToolError, ToolTimeoutError
from fpgaml.fixed_point import FixedPoint
from fpgaml.hardware import Hardware
from fpgaml.synthesis import Resources, Synthesis
from fpgaml.temporary_paths import scratch_directory

if TYPE_CHECKING:
    from rich.progress import Progress

RUNNER = Path(__file__).with_name("csim_runner.cpp")
FLAGS = ("-O3", "-std=c++17", "-w", "-fno-gnu-unique")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hls4mlBackend(Backend):
    """A backend of hls4ml.

    Parameters
    ----------
    hls4ml_name : str
        What hls4ml calls it.
    """

    synthesis_steps: ClassVar[tuple[str, ...]] = tuple(_vendor.STEPS)
    estimates: ClassVar[tuple[str, ...]] = _hls4ml_estimate.ESTIMATES
    packages: ClassVar[tuple[str, ...]] = ("hls4ml",)
    number_files: ClassVar[tuple[str, ...]] = ("tb_data/tb_input_features.dat", "tb_data/tb_output_predictions.dat")
    tool_outputs: ClassVar[tuple[str, ...]] = _vendor.OUTPUTS
    hls4ml_name: str

    def write(
        self, directory: Path, *, name: str, architecture: Architecture, weights: ModelWeights, hardware: Hardware
    ) -> dict[str, Any]:
        """Write hls4ml's project; see ``Backend.write``."""
        with _quiet_hls4ml() as output:
            graph = self.graph(directory, name, architecture, weights, hardware)
            effective = check_effective(graph, architecture, weights, hardware)
            check_accumulators(graph, architecture, hardware)
            graph.write()
        for line in output.getvalue().splitlines():
            if "WARNING" in line:
                raise AgreementError(f"hls4ml changed what it was asked for: {line.strip()}")
        (directory / "tb_data").mkdir(exist_ok=True)
        make_repeatable(directory)
        self.check_files(
            directory, name=name, architecture=architecture, weights=weights, hardware=hardware, effective=effective
        )
        return effective

    def check_files(
        self,
        project: Path,
        *,
        name: str,
        architecture: Architecture,
        weights: ModelWeights,
        hardware: Hardware,
        effective: Mapping[str, Any],
    ) -> None:
        """Read options, types and weights back from the files; see ``Backend.check_files``."""
        check_files(
            project, name=name, architecture=architecture, weights=weights, hardware=hardware, effective=effective
        )

    def bench_files(self) -> Mapping[str, Path]:
        """A test bench for g++ alone, and the scripts that build it; see ``Backend.bench_files``."""
        return bench_files("check_words_hls4ml.sh", "check_words.cpp")

    def output_format(self, project: Path, effective: Mapping[str, Any]) -> FixedPoint:
        """The type of the last layer; see ``Backend.output_format``."""
        *_, last = effective.values()
        return fixed_point(last["type"])

    def prototype(self, project: Path, name: str) -> str:
        """From the header; see ``Backend.prototype``."""
        return read_prototype(project, name)

    def estimate(self, architecture: Architecture, weights: ModelWeights, hardware: Hardware) -> Resources:
        """Published rules, not fitted; see ``Backend.estimate``."""
        return _hls4ml_estimate.estimate(architecture, weights, hardware)

    def graph(
        self, directory: Path, name: str, architecture: Architecture, weights: ModelWeights, hardware: Hardware
    ) -> Any:
        """hls4ml's own graph of the network, after all its passes.

        Raises
        ------
        ToolError
            hls4ml could not make it.
        """
        from hls4ml.model.graph import ModelGraph
        from hls4ml.utils.config import create_config

        import fpgaml.backends._exact_quantizer  # noqa: F401  registers the quantizer node

        nodes = hls_nodes(architecture, weights)
        config = create_config(
            str(directory),
            name,
            self.hls4ml_name,
            part=hardware.part,
            clock_period=hardware.clock_period_ns,
            io_type=hardware.io_type,
        )
        # Traced layers can be looked into by csim; synthesis does not see it.
        config |= {"InputData": None, "OutputPredictions": None, "TraceOutput": True}
        config["HLSConfig"] = {
            "Model": {
                "Precision": "fixed<16,6>",  # hls4ml wants one; the bit_exact pass replaces every type
                "ReuseFactor": hardware.reuse_factor,
                "Strategy": hardware.strategy.capitalize(),
                "BitExact": None,
            },
            "LayerName": {node["name"]: {"Trace": True} for node in nodes} | layer_options(architecture, hardware),
        }
        try:
            return ModelGraph.from_layer_list(config, nodes, [nodes[0]["name"]], [nodes[-1]["name"]])
        except Exception as error:  # hls4ml raises bare Exception, AssertionError and more
            raise ToolError(f"hls4ml could not convert this network: {type(error).__name__}: {error}") from error

    def simulation_files(self, project: Path) -> Sequence[Path]:
        """Sources, headers and weights; the test bench is not part of it."""
        firmware = sorted(path for path in (project / "firmware").rglob("*") if path.is_file() and path.suffix != ".so")
        return [*firmware, *sorted(project.glob("*_bridge.cpp"))]

    def simulation_version(self) -> str:
        """The compiler's own version, the flags, and the runner's text."""
        return "\n".join([compiler_version("csim"), *FLAGS, RUNNER.read_text(encoding="utf-8")])

    def build_simulation(self, project: Path, name: str, build: Path, timeout_s: float | None = None) -> None:
        """Compile hls4ml's sources and the runner as one translation unit: their headers take most of the time."""
        for needed in (
            project / f"{name}_bridge.cpp",
            project / "firmware" / "weights",
            project / "firmware" / "ap_types",
        ):
            if not needed.exists():
                raise ToolError(f"{needed}: not found; the project is not complete. Convert the model again")
        shutil.copytree(project / "firmware" / "weights", build / "weights")
        command = [
            COMPILER,
            *FLAGS,
            '-DWEIGHTS_DIR="weights"',  # run from ``build``, which may be moved
            f"-DTOP={name}_double",
            f"-I{project.resolve() / 'firmware' / 'ap_types'}",
            f"-I{project.resolve()}",
            *("-include", str(project.resolve() / "firmware" / f"{name}.cpp")),
            *("-include", str(project.resolve() / f"{name}_bridge.cpp")),
            str(RUNNER),
            *("-o", str(build / "csim")),
        ]
        with scratch_directory("fpgaml-log-") as scratch:
            ended = run_limited(command, cwd=Path(), log=scratch / "log", timeout_s=timeout_s)
            said = ended.log.read_text(encoding="utf-8", errors="replace")
        if ended.returncode is None:
            raise ToolTimeoutError(f"{COMPILER} {ended.how}")
        if ended.returncode:
            check_room(said, name=COMPILER, cwd=build, returncode=ended.returncode)
            raise ToolError(f"{COMPILER} does not compile {project}:\n{_first_errors(said) or ended.how}")

    def simulate(
        self, build: Path, x: NDArray[np.float64], n_outputs: int, timeout_s: float | None = None
    ) -> NDArray[np.float64]:
        """Run the compiled csim over all events; see ``Backend.simulate``."""
        scores = np.frombuffer(_run(build, x, [str(x.shape[1]), str(n_outputs)], timeout_s), dtype=np.float64)
        if scores.size != len(x) * n_outputs:
            raise ToolError(f"the C simulation in {build} gave {scores.size} words, not {len(x) * n_outputs}")
        return scores.reshape(len(x), n_outputs)

    def trace(self, build: Path, x: NDArray[np.float64], sizes: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
        """Run the compiled csim over one event with hls4ml's tracing on; see ``Backend.trace``."""
        layers = [f"{name}={size}" for name, size in sizes.items()]
        content = io.BytesIO(_run(build, x[None, :], [str(x.size), "0", *layers]))
        values = {}
        while line := content.readline():
            name = line.decode().strip()
            values[name] = np.frombuffer(content.read(8 * sizes[name]), dtype=np.float64)
        return values

    def missing_tools(self, steps: Sequence[str]) -> Mapping[str, str]:
        """What is not on the PATH; see ``Backend.missing_tools``."""
        return _vendor.missing_tools(self.hls4ml_name.lower(), steps)

    def synthesize(
        self,
        project: Path,
        *,
        name: str,
        hardware: Hardware,
        steps: Sequence[str],
        timeout_s: float | None,
        progress: Progress | None = None,
    ) -> Synthesis:
        """Run AMD's tools; see ``Backend.synthesize``."""
        return _vendor.synthesize(
            project,
            backend=self.hls4ml_name.lower(),
            name=name,
            hardware=hardware,
            steps=steps,
            timeout_s=timeout_s,
            progress=progress,
        )


@contextlib.contextmanager
def _quiet_hls4ml() -> Any:
    """Catch what hls4ml prints; its Python warnings, which say that bits may be lost, become errors."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("error", message=".*(bit-exact|Bit-exact|Invalid).*")
        try:
            yield output
        except Warning as warning:
            raise AgreementError(f"hls4ml cannot keep every bit of this network: {warning}") from warning
        finally:
            _log.debug("hls4ml: %s", output.getvalue())


def _run(build: Path, x: NDArray[np.float64], arguments: list[str], timeout_s: float | None = None) -> bytes:
    """Feed ``x`` to the compiled csim and return the bytes that it writes."""
    with scratch_directory("fpgaml-csim-") as scratch:
        inputs, outputs = scratch / "inputs", scratch / "outputs"
        inputs.write_bytes(np.ascontiguousarray(x, dtype=np.float64).tobytes())  # numpy's tofile misses a full disk
        try:
            # One process without children, so that it takes no more than this to end it with its time.
            finished = subprocess.run(
                [str(build.resolve() / "csim"), str(inputs), str(outputs), *arguments],
                cwd=build,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolTimeoutError(f"the C simulation in {build} was ended: its time was up") from error
        if finished.returncode:
            check_room(finished.stderr, name="the C simulation", cwd=build)
            how = f"signal {-finished.returncode}" if finished.returncode < 0 else f"exit code {finished.returncode}"
            raise ToolError(
                f"the C simulation in {build} crashed ({how}): {_first_errors(finished.stderr) or 'no message'}"
            )
        return outputs.read_bytes()


def _first_errors(text: str, lines: int = 8) -> str:
    found = [line for line in text.splitlines() if "error" in line.lower()] or text.splitlines()
    return "\n".join(found[:lines])
