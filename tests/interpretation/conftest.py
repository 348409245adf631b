"""Settings, and endpoints that speak OpenAI's protocol: one that does as a test says, and a real one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from emodag import params

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def settings():
    """The section ``interpret`` of params.yaml."""
    return params.load(ROOT / "params.yaml").interpret


@pytest.fixture
def endpoint(settings):
    """``with endpoint(answer) as (settings, requests)``: an endpoint on loopback, and what it is sent.

    ``answer(handler)`` writes the whole response; ``requests`` are (path, headers by
    lower-case names, body).
    """

    @contextmanager
    def serve(answer, timeout=10.0):
        requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                requests.append((self.path, headers, json.loads(body)))
                answer(self)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        llm = settings.llm.model_copy(update={"base_url": url, "model": "tiny", "timeout": timeout})
        try:
            yield settings.model_copy(update={"llm": llm}), requests
        finally:
            server.shutdown()
            server.server_close()

    return serve


_MAKE_AND_SERVE = """
import sys
from emodag.pytorch import import_torchaudio

import_torchaudio()
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.cli.transformers import main

folder, port = sys.argv[1:]
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={byte: number for number, byte in enumerate(alphabet)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
wrapped.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\\n{% endfor %}assistant: "
wrapped.save_pretrained(folder)
torch.manual_seed(0)
LlamaForCausalLM(
    LlamaConfig(
        vocab_size=257, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32768, bos_token_id=256, eos_token_id=256, pad_token_id=256,
    )
).save_pretrained(folder)
sys.argv = ["transformers", "serve", folder, "--host", "127.0.0.1", "--port", port, "--device", "cpu"]
main()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The base URL and the model's name of ``transformers serve`` on loopback, over a random model of one layer."""
    for package in ("transformers", "accelerate", "fastapi", "uvicorn", "openai"):
        pytest.importorskip(package, reason=f"transformers serve needs {package}: make options")
    folder = tmp_path_factory.mktemp("model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder.parent / "serve.log").open("w+")
    server = subprocess.Popen(
        [sys.executable, "-c", _MAKE_AND_SERVE, str(folder), str(port)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 240
        while not _healthy(port):
            if server.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                pytest.fail(f"transformers serve did not start:\n{log.read()[-3000:]}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
