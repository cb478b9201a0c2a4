"""What a run runs on, and TensorFlow without its noise."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version

import pytest

from fpgaml.environment import describe_environment


def test_everything_that_decides_a_result_is_named():
    found = json.loads(json.dumps(describe_environment(seed=7, command="fpgaml run x")))
    assert (found["seed"], found["command"], found["python"]) == (7, "fpgaml run x", platform.python_version())
    assert found["packages"]["hls4ml"] == version("hls4ml")
    assert found["packages"]["qkeras-v3"] == version("qkeras-v3")
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory_gib"] > 0
    assert found["machine"]["cpu"]


@pytest.mark.slow
def test_tensorflow_is_loaded_without_noise():
    # Python's own stderr goes on meanwhile: another thread may show progress there.
    program = """
import sys, threading
from fpgaml.environment import load_tensorflow
stop = threading.Event()
def show():
    while not stop.wait(0.01):
        print("shown", file=sys.stderr)
thread = threading.Thread(target=show)
thread.start()
load_tensorflow()
stop.set()
thread.join()
load_tensorflow()
import tensorflow as tf
print("after", file=sys.stderr)
assert float(tf.constant(1.0) + 1.0) == 2.0
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "after"
    assert set(done.stderr.splitlines()) == {"shown", "after"}
