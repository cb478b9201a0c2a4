"""Order, shapes, widths, names, folding, hashes."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest
from networks import network

from fpgaml.architecture import Architecture, InputFormat
from fpgaml.errors import ExactnessError, FpgamlError, OutputError, StudyError
from fpgaml.hardware import Hardware
from fpgaml.layers import Layer, Values, layer_class, valid_reuse_factors
from fpgaml.network_limits import check_network
from fpgaml.storage import write_json


def layer(kind: str, **fields) -> Layer:
    return layer_class(kind)(**fields)


DENSE = layer("dense", units=3, bits=(8, 2))
RELU = layer("relu", bits=(8, 4))
QUANTIZE = layer("quantize", bits=(8, 4))
CONV = layer("conv2d", filters=2, kernel_size=3, bits=(8, 2))
FLATTEN = layer("flatten")
BATCHNORM = layer("batchnorm")
DROPOUT = layer("dropout", rate=0.5)
POOL = layer("max_pooling2d", pool_size=2)


@pytest.mark.parametrize(
    ("shape", "layers", "error", "message"),
    [
        ((4,), [], StudyError, "there are none"),
        ((4,), [DENSE, DENSE], ExactnessError, r"layers\[1\] \(dense\).*no number format.*relu or quantize"),
        ((8, 8, 1), [CONV, POOL, RELU], ExactnessError, r"layers\[1\] \(max_pooling2d\).*no number format"),
        ((8, 8, 1), [CONV, FLATTEN], ExactnessError, "no number format"),
        ((4,), [RELU, DENSE], ExactnessError, r"layers\[0\] \(relu\).*rounded already"),
        ((4,), [DENSE, RELU, QUANTIZE, DENSE], ExactnessError, r"layers\[2\] \(quantize\).*rounding twice"),
        ((4,), [DENSE, RELU, DROPOUT, QUANTIZE, DENSE], ExactnessError, "rounding twice"),
        ((4,), [BATCHNORM, DENSE], ExactnessError, "directly after a dense or convolution"),
        ((4,), [DENSE, RELU, BATCHNORM, DENSE], ExactnessError, r"layers\[2\] \(batchnorm\)"),
        ((4,), [DENSE, BATCHNORM, BATCHNORM, RELU, DENSE], ExactnessError, r"layers\[2\]"),
        ((4,), [CONV], StudyError, r"\(height, width, channels\), found \(4,\)"),
        ((8, 8, 1), [DENSE], StudyError, "flatten layer before it"),
        ((2, 8, 1), [CONV], StudyError, r"window \(3, 3\) is larger than its input \(2, 8\)"),
        ((6, 6, 1), [layer("average_pooling2d", pool_size=3), FLATTEN, DENSE], ExactnessError, "division by 9"),
        ((3, 2), [layer("global_average_pooling1d"), DENSE], ExactnessError, "division by 3"),
        ((64,), [layer("dense", units=1, bits=(45, 4))], ExactnessError, "need up to 59 bits, and float64"),
        (
            (4,),  # the biases come with the folding
            [layer("dense", units=1, bits=(8, 2), bias_bits=(53, 40), use_bias=False), BATCHNORM],
            ExactnessError,
            r"layers\[0\] \(dense\): its sums need up to 54 bits",
        ),
        (
            (6, 3, 1),
            [layer("conv2d", filters=2, kernel_size=3, strides=(1, 2), bits=(8, 2))],
            StudyError,
            "the same steps down",
        ),
        (
            (4,),
            [layer("dense", units=1, bits=(8, 118))],
            ExactnessError,
            r"layers\[0\] .* hold .* 2\^-120 up to 2\^120",
        ),
        ((4,), [DENSE, layer("relu", bits=(8, 122))], StudyError, r"layers\[1\] \(relu\): it gives nothing but zero"),
        ((4,), [DENSE, layer("relu", bits=(8, -114)), DENSE], ExactnessError, r"layers\[1\].* multiples of 2\^-122 up"),
    ],
)
def test_what_does_not_fit_or_cannot_be_exact_is_refused(shape, layers, error, message):
    with pytest.raises(error, match=message) as found:
        network(shape, layers)
    if layers:
        assert isinstance(found.value, FpgamlError)
        assert found.value.layer is not None


def test_sums_of_inputs_beyond_what_float32_holds_are_refused():
    with pytest.raises(ExactnessError, match=r"layers\[0\] \(dense\): .* hold .* up to 2\^120"):
        network((4,), [DENSE], InputFormat(bits=(8, 118)))


def test_a_network_without_weights_is_refused():
    pooled = network((8, 8, 1), [POOL, FLATTEN])
    with pytest.raises(StudyError, match=r"none of them has weights that could be trained\. Add a dense"):
        check_network(pooled, batch_size=1)


@pytest.mark.parametrize(
    ("kind", "bits", "rounding", "most"),
    # The sums reach to nearly 68: a step of 128 is what it can be rounded to, and one of 64 what it can be cut to.
    [
        ("relu", 12, "RND_CONV", 19),
        ("relu", 12, "RND", 19),
        ("relu", 12, "TRN", 18),
        ("relu", 1, "RND_CONV", 8),
        ("relu", 1, "TRN", 7),
        ("quantize", 8, "RND_CONV", 14),
        ("quantize", 8, "TRN", None),
    ],
)
def test_an_activation_that_only_gives_zero_is_refused(kind, bits, rounding, most):
    def made(integer: int) -> Architecture:
        return network((4,), [DENSE, layer(kind, bits=(bits, integer), rounding=rounding), DENSE])

    (sums, *_) = network((4,), [DENSE]).steps
    assert (sums.output_values.minimum, sums.output_values.maximum) == (-67.5, 67.96875)
    if most is None:
        made(40)  # rounding down, small negative sums become the first negative value
        return
    made(most)
    for integer in (most + 1, most + 2, most + 20):
        with pytest.raises(
            StudyError,
            match=rf"layers\[1\] \({kind}\): it gives nothing but zero.*\[{bits}, …\]: at most {most} integer bits",
        ):
            made(integer)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("dense", {"units": 0, "bits": (8, 2)}),
        ("dense", {"units": 2.5, "bits": (8, 2)}),
        ("dense", {"units": 2, "bits": (1, 0)}),
        ("dense", {"units": 2, "bits": 8}),
        ("dense", {"units": 2, "bits": (8, 2), "bias_bits": (60, 2)}),
        ("dense", {"units": 2}),
        ("relu", {"bits": (0, 0)}),
        ("relu", {"bits": (8, 2000)}),
        ("relu", {"bits": (8, -125)}),
        ("quantize", {"bits": (53, -1100)}),
        ("dense", {"units": 65_537, "bits": (8, 2)}),
        ("dense", {"units": 2, "bits": (8, 2), "bias_bits": (8, 2**31)}),
        ("batchnorm", {"epsilon": 1e308}),
        ("batchnorm", {"epsilon": 1e-300}),
        ("dropout", {"rate": 0.9999999999999999}),
        ("conv1d", {"filters": 1, "kernel_size": 10**400, "bits": (8, 2)}),
        ("max_pooling2d", {"pool_size": (1, 10**400)}),
        ("dropout", {"rate": 1.0}),
        ("conv2d", {"filters": 1, "kernel_size": (3, 3, 3), "bits": (8, 2)}),
        ("conv2d", {"filters": 1, "kernel_size": 3, "bits": (8, 2), "padding": "full"}),
        ("depthwise_conv2d", {"kernel_size": 3, "bits": (8, 2), "strides": (1, 2)}),
    ],
)
def test_impossible_layers_are_refused(kind, fields):
    with pytest.raises(pydantic.ValidationError):
        layer(kind, **fields)


def test_steps_name_and_shape_the_layers():
    architecture = network((8, 8, 1), [CONV, BATCHNORM, RELU, POOL, FLATTEN, DENSE, RELU, DENSE])
    assert [(step.name, step.output_shape) for step in architecture.steps] == [
        ("conv2d_1", (6, 6, 2)),
        ("batchnorm_1", (6, 6, 2)),
        ("relu_1", (6, 6, 2)),
        ("max_pooling2d_1", (3, 3, 2)),
        ("flatten_1", (18,)),
        ("dense_1", (3,)),
        ("relu_2", (3,)),
        ("dense_2", (3,)),
    ]
    assert [step.name for step in architecture.folded().steps] == [
        step.name for step in architecture.steps if step.name != "batchnorm_1"
    ]


def test_folding_brings_a_bias():
    without = layer("dense", units=3, bits=(8, 2), use_bias=False)
    folded = network((4,), [without, BATCHNORM]).folded()
    assert folded.layers[0].model_dump()["use_bias"]
    assert not folded.batch_normalized


@pytest.mark.parametrize(
    ("minimum", "maximum", "fraction", "width"),
    [
        *[(-8, 7, 0, 4), (-8, 8, 0, 5), (0, 15, 0, 4), (0, 16, 0, 5), (-1, 0.5, 1, 2), (-1, 0.5, 3, 4), (-9, 0, 0, 5)],
        *[(-(2**50), 2**50 - 1, 0, 51), (-(2**50), 2**50, 0, 52), (-(2**50) - 1, 0, 0, 52), (0, 2**52, 0, 53)],
    ],
)
def test_width_of_values(minimum, maximum, fraction, width):
    assert Values(minimum, maximum, fraction).width == width


def test_values_of_sums_are_those_of_the_extreme_products():
    (step,) = network((3,), [layer("dense", units=1, bits=(4, 3), use_bias=False)], InputFormat(bits=(3, 2))).steps
    # inputs -4 … 3, weights -8 … 7, three products
    assert (step.output_values.minimum, step.output_values.maximum) == (3 * -4 * 7, 3 * 32)


def test_hash_is_of_the_network_and_not_of_the_choices():
    one = Architecture((4,), InputFormat(bits=(8, 2)), (DENSE,), {"bits": [8, 2]})
    assert one.hash == network((4,), [DENSE]).hash
    assert one.hash != network((5,), [DENSE]).hash
    assert one.hash != network((4,), [DENSE], InputFormat(bits=(8, 2), signed=False)).hash


def test_hashes_of_networks_that_round_as_qkeras_stay_what_they_were():
    def hashes(**options):
        layers = [layer("dense", units=3, bits=(4, 1)), layer("relu", bits=(4, 2), **options)]
        found = network((4,), [*layers, layer("dense", units=1, bits=(4, 1))])
        assert Architecture.from_json(found.to_json()) == found
        return found.hash, found.shape_hash, found.float_hash

    before = ("e43af383ca5d", "7133fc197f1f", "7133fc197f1f")  # from before there was a choice
    assert hashes() == hashes(rounding="RND_CONV") == before
    up, down = hashes(rounding="RND"), hashes(rounding="TRN")
    assert len({before[0], up[0], down[0]}) == len({before[1], up[1], down[1]}) == 3
    assert up[2] == down[2] == before[2]  # the float twin does not round


def test_save_and_load(tmp_path: Path):
    architecture = network((8, 8, 1), [CONV, BATCHNORM, RELU, POOL, FLATTEN, DENSE])
    architecture.save(tmp_path / "architecture.json")
    loaded = Architecture.load(tmp_path / "architecture.json")
    assert loaded == architecture
    write_json(tmp_path / "other.json", {"layers": []})
    with pytest.raises(OutputError, match="holds no architecture"):
        Architecture.load(tmp_path / "other.json")
    with pytest.raises(OutputError, match="not found"):
        Architecture.load(tmp_path / "nothing.json")


@pytest.mark.parametrize(("n_in", "n_out"), [(4, 3), (9, 8), (16, 1), (1, 5), (72, 16)])
def test_valid_reuse_factors_are_those_of_hls4ml(n_in, n_out):
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    assert valid_reuse_factors(n_in, n_out) == FPGABackend.get_valid_reuse_factors(
        type("Backend", (), {"_validate_reuse_factor": FPGABackend._validate_reuse_factor})(), n_in, n_out
    )


def test_hardware_is_checked():
    architecture = network((4,), [DENSE])
    architecture.check_hardware(Hardware(reuse_factor=5))  # the latency strategy takes any
    with pytest.raises(ExactnessError, match=r"layers\[0\] \(dense\): reuse_factor 5 .* Allowed: 1, 2, 4, 12"):
        architecture.check_hardware(Hardware(strategy="resource", reuse_factor=5))
    depthwise = network((8, 8, 1), [layer("depthwise_conv2d", kernel_size=3, bits=(8, 2)), RELU, FLATTEN, DENSE])
    with pytest.raises(ExactnessError, match="crashes hls4ml's C simulation"):
        depthwise.check_hardware(Hardware(strategy="resource"))


POINTWISE = layer("conv2d", filters=4, kernel_size=1, bits=(8, 2))
ROWS = {"kernel_size": (1, 3), "bits": (8, 2)}
STREAM, PARALLEL = {"io_type": "io_stream"}, {"io_type": "io_parallel"}


@pytest.mark.parametrize(
    ("layers", "refused", "works", "message"),
    [
        (
            [layer("max_pooling2d", pool_size=2, strides=1), POINTWISE],
            [STREAM, STREAM | {"backend": "vitis"}],
            [PARALLEL, {"backend": "rtl"}],
            r"strides \(1, 1\) .* pool_size \(2, 2\) .* Allowed: no strides, or io_type io_parallel",
        ),
        ([layer("max_pooling2d", pool_size=2, strides=2), POINTWISE], [], [STREAM], ""),
        (
            [layer("conv2d", filters=2, strides=2, **ROWS)],
            [STREAM],
            [PARALLEL, {"backend": "rtl"}],
            r"strides \(2, 2\) would be 1 down. Allowed: windows of two rows, 1 down, or io_type io_parallel",
        ),
        ([layer("conv2d", filters=2, strides=(1, 2), **ROWS)], [], [STREAM], ""),
        ([layer("conv2d", filters=2, strides=2, kernel_size=1, bits=(8, 2))], [], [STREAM], ""),
        (
            [layer("depthwise_conv2d", strides=2, kernel_size=1, bits=(8, 2))],
            [STREAM],
            [PARALLEL],
            r"strides \(2, 2\) would be 1 down",
        ),
        (
            [POINTWISE],
            [{"strategy": "resource", "reuse_factor": 8}],
            [{"strategy": "resource", "reuse_factor": 8} | STREAM, {"strategy": "resource", "reuse_factor": 2}],
            "reuse_factor 8 .* Allowed: 1, 2$",
        ),
        (
            [layer("conv2d", filters=4, kernel_size=1, bits=(20, -14))],
            [PARALLEL],
            [{"backend": "rtl"}],
            r"with bits \[20, -14\]\. Allowed: \[20, -13\] to \[20, 31\]$",
        ),
        (
            [layer("conv2d", filters=4, kernel_size=1, bits=(20, 32))],
            [PARALLEL],
            [{"backend": "rtl"}],
            r"with bits \[20, 32\]\. Allowed: \[20, -13\] to \[20, 31\]$",
        ),
        (
            [layer("conv2d", filters=4, kernel_size=1, bits=(20, 6), bias_bits=(40, 30))],
            [PARALLEL],
            [{"backend": "rtl"}],
            r"its sums need up to 50 bits, and hls4ml counts",
        ),
    ],
)
def test_what_hls4ml_cannot_do_right_is_refused(layers, refused, works, message):
    shape = (6, 6, 2)
    for options in refused:
        with pytest.raises(ExactnessError, match=message) as found:
            network(shape, layers).check_hardware(Hardware(**options))
        assert len(str(found.value)) < 400
    for options in works:
        network(shape, layers).check_hardware(Hardware(**options))


def test_a_layer_with_many_reuse_factors_is_told_the_nearest():
    wide = network((5040,), [layer("dense", units=64, bits=(4, 1))])
    with pytest.raises(ExactnessError, match=r"Allowed: [\d, ]* 252, 280, .* and 46 more$") as found:
        wide.check_hardware(Hardware(strategy="resource", reuse_factor=257))
    assert len(str(found.value)) < 300
