"""NEON under an emulator: the bits of the NumPy reference. Needs a cross compiler for aarch64, and qemu."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model.runtime import plan as plans
from hybrid_model.runtime.native_walker import encode_plan, encode_rules
from hybrid_model.runtime.plan import Plan, build_plan
from hybrid_model.runtime.staged import ExitRule, ReferenceWalker
from tests.hybrid_model.runtime import test_native_kernels as kernels

HERE = Path(__file__).parent
NATIVE = Path(plans.__file__).parent / "native"
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"

pytestmark = [
    pytest.mark.early,
    pytest.mark.skipif(
        not (shutil.which(COMPILER) and shutil.which(EMULATOR) and NATIVE.is_dir()),
        reason=f"needs {COMPILER}, {EMULATOR} and the sources",
    ),
]

Emulated = Callable[[Plan, str], Any]


class Emulator:
    """The program of plan_driver.c, under the emulator for as long as the block lasts: one process for many plans."""

    def __init__(self, driver: Path, kernel: str) -> None:
        self._path = driver.with_name(f"plan-{kernel}")
        self._process = subprocess.Popen([EMULATOR, str(driver), kernel], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, content: bytes) -> bytes:
        """What plan_driver.c writes for the plan in `content`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._path.write_bytes(content)
        self._process.stdin.write(f"{self._path}\n".encode())
        self._process.stdin.flush()
        count = self._process.stdout.read(8)
        assert len(count) == 8, f"the emulated process ended with status {self._process.wait(60)}"
        return self._process.stdout.read(struct.unpack("<q", count)[0])

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its input, at the end of which it ends, and waits for it
            pass
        assert self._process.returncode == 0


class EmulatedWalker:
    """As much of a `Walker` as gives logits, codes and what guards say."""

    def __init__(self, emulator: Emulator, plan: Plan) -> None:
        self.emulator, self.plan = emulator, plan

    def walk(self, batch: npt.NDArray[Any], rules: Sequence[ExitRule], may_leave: Any, *, to_cut: bool) -> Any:
        assert may_leave.all()
        assert to_cut
        table, gains, params = encode_plan(self.plan)
        content = bytearray()
        for array in (table, gains, encode_rules(rules), batch, *params):
            block = array.tobytes()
            content += struct.pack("<q", len(block)) + block + bytes(-len(block) % 8)
        made = self.emulator.run(bytes(content))
        cut = self.plan.buffers[self.plan.cut_buffer].shape
        answers, codes = len(batch) * len(rules), len(batch) * int(np.prod(cut))
        parts = np.split(np.frombuffer(made, dtype=np.uint8), np.cumsum([4 * answers, answers, len(batch), codes]))
        return SimpleNamespace(
            distances=parts[0].view(np.float32).reshape(len(batch), len(rules)),
            in_domain=parts[1].astype(np.bool_).reshape(len(batch), len(rules)),
            exit_index=parts[2].view(np.int8),
            codes=parts[3].reshape(len(batch), *cut),
            logits=parts[4].view(np.float32).reshape(len(batch), len(rules), -1),
        )


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    made = tmp_path_factory.mktemp("aarch64") / "plan_driver"
    sources = [HERE / "plan_driver.c", *(path for path in sorted(NATIVE.glob("*.c")) if path.name != "module.c")]
    options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-ffp-contract=off", "-static", f"-I{NATIVE}"]
    subprocess.run([COMPILER, *options, "-o", made, *sources, "-lm"], check=True, timeout=150)
    with Emulator(made, "neon") as neon, Emulator(made, "portable") as portable:
        emulators = {"neon": neon, "portable": portable}
        yield lambda plan, name: EmulatedWalker(emulators[name], plan)


@pytest.mark.parametrize("kernel", ["neon", "portable"])
@pytest.mark.parametrize("name", ["digits", "har", "cifar10"])
def test_a_shipped_network_gives_the_bits_of_the_reference(emulated: Emulated, name: str, kernel: str) -> None:
    bundle = bundle_file.load(bundle_file.resolve(name))
    described, rng = bundle.manifest.input, np.random.default_rng(5)
    shape = (4, *described.shape)
    values = rng.integers(0, 256, shape) if described.dtype == "uint8" else rng.normal(size=shape)
    batch = values.astype(described.dtype)
    plan = build_plan(bundle)
    rules = [ExitRule(e.score, e.temperature, e.threshold) for e in bundle.manifest.exits]

    expected = kernels.walked(ReferenceWalker(plan), batch, rules)
    found = kernels.walked(emulated(plan, kernel), batch, rules)

    assert np.array_equal(found.logits, expected.logits)
    assert np.array_equal(found.codes, expected.codes)


@pytest.mark.parametrize(
    "of_any_shape",
    [
        kernels.test_binary_convolutions_of_any_shape,
        kernels.test_a_binary_convolution_is_an_integer_convolution_with_true_zero_padding,
        kernels.test_eight_bit_convolutions_of_any_shape,
        kernels.test_eight_bit_convolutions_that_only_a_sign_reads,
        kernels.test_convolutions_of_levels_of_any_shape,
        kernels.test_guards_of_any_shape,
        kernels.test_a_distance_that_is_no_number_is_not_in_the_domain,
        kernels.test_float_convolutions_of_any_shape,
        kernels.test_pools_of_any_shape,
        kernels.test_repeated_channels_of_any_shape,
        kernels.test_convolutions_with_a_way_around_that_repeats_channels,
        kernels.test_pointwise_operations_in_any_order,
        kernels.test_subnormal_numbers_are_kept,
        kernels.test_a_value_at_its_threshold_is_a_one,
    ],
)
def test_what_holds_for_the_other_kernels_holds_for_neon(
    emulated: Emulated, monkeypatch: pytest.MonkeyPatch, of_any_shape: Callable[..., None]
) -> None:
    monkeypatch.setattr(kernels, "NativeWalker", emulated)
    of_any_shape(variant="neon")
