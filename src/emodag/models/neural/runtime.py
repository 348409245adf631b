"""Keras made ready: its backend, its device, one thread, and nothing left to chance but the seed."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from emodag.errors import ParamsError

Device = Literal["auto", "cpu", "gpu"]

#: Folds train in parallel processes. More threads in each would add in an order that depends on how many there are.
THREADS = 1


@contextmanager
def keras_ready(device: Device) -> Iterator[None]:
    """Within the block, Keras computes on the device, and the same seed gives the same numbers on the same machine.

    The backend is TensorFlow unless the environment's ``KERAS_BACKEND`` says ``torch`` or ``jax``.

    Raises:
        ParamsError: ``gpu`` is asked for, and the backend sees none; or the backend is another.
    """
    gpu = sees_gpu()
    import keras

    if device == "gpu" and not gpu:
        backend = os.environ["KERAS_BACKEND"]
        raise ParamsError(f"compute.device: 'gpu', and Keras sees none by {backend}; accepted here: auto, cpu")
    # Without a number: on "cpu:0", PyTorch would copy parameters of "cpu" and lose that they are parameters.
    with keras.device("gpu" if gpu and device != "cpu" else "cpu"), warnings.catch_warnings():
        # Attention in a clip so short that one frame is left.
        warnings.filterwarnings("ignore", "You are using a softmax over axis", UserWarning)
        yield


def sees_gpu() -> bool:
    """Whether the backend has a GPU to compute on; it is started for that, which takes seconds.

    Raises:
        ParamsError: the environment names another backend.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend not in _PREPARE:
        raise ParamsError(f"KERAS_BACKEND: {backend!r} is not accepted; accepted: {', '.join(_PREPARE)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # warnings and worse
    # oneDNN would choose its kernels by processor, and say so in every process, which no level of logging prevents.
    # Without it, `cnn` trains a quarter slower, and `cnn2d` takes twice as long.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")  # whatever ~/.keras says
    return _PREPARE[backend]()


def forget() -> None:
    """Free what earlier networks of this process left behind, if there were any."""
    if keras := sys.modules.get("keras"):
        keras.utils.clear_session()


def _prepare_tensorflow() -> bool:
    """Whether there is a GPU, as of the other backends."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    threading = tf.config.threading
    # They are taken only before anything is computed, so later models find them set.
    if threading.get_intra_op_parallelism_threads() != THREADS:
        threading.set_intra_op_parallelism_threads(THREADS)
        threading.set_inter_op_parallelism_threads(THREADS)
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    # TF32, a GPU's default, rounds factors to 10 bits: the ONNX export would differ by more than train lets pass.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # It warns that batches of several shapes are compiled anew: twice, and from then on for any shape.
    tf.get_logger().setLevel("ERROR")
    return bool(gpus)


def _prepare_torch() -> bool:
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS may add in another order each time
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # as of TensorFlow
    return torch.cuda.is_available()


def _prepare_jax() -> bool:
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")  # no TF32, as of TensorFlow
    return any(device.platform == "gpu" for device in jax.devices())


_PREPARE = {"tensorflow": _prepare_tensorflow, "torch": _prepare_torch, "jax": _prepare_jax}
