"""Parts that the tests of the backends share: a small real checkpoint, and real HTTP servers that misbehave on demand."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

# ChatML, as Qwen has it: for this family the server of transformers looks for the assistant marker in the prompt, and gives
# back the prompt with the answer if it is not there.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_checkpoint(folder: Path, context: int = 512, template: str | None = TEMPLATE) -> Path:
    """A Qwen3 of two layers with random weights and a byte-level BPE tokenizer, saved in the Hub format."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, special_tokens=["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    lines = ["A lighthouse keeper hides a letter from her brother.", "The letter is found after the storm."]
    tokenizer.train_from_iterator(lines * 4, trainer)
    chat = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    chat.chat_template = template
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(vocab_size=len(chat), max_position_embeddings=context, head_dim=16, initializer_range=0.4, **sizes)
    )
    model.generation_config = GenerationConfig(do_sample=True, eos_token_id=chat.eos_token_id, pad_token_id=chat.pad_token_id)
    model.save_pretrained(folder)
    chat.save_pretrained(folder)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def completion(text: str, model: str = "served") -> bytes:
    """The body of a good answer."""
    message = {"role": "assistant", "content": text}
    return json.dumps({"model": model, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


class ChatServer:
    """An OpenAI-compatible server on localhost that answers ``answer(messages)``, after the faults laid out for a prompt.

    ``faults[prompt]`` (the last user message) is used up one per request. ``asked`` counts the requests per prompt.
    """

    def __init__(self, answer: Callable[[list[dict[str, str]]], str], delay: float = 0.0) -> None:
        self.answer, self.delay = answer, delay
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.asked: Counter[str] = Counter()
        self.requests: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @contextmanager
    def running(self) -> Iterator[ChatServer]:
        http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        http.daemon_threads = True
        self.base = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            http.shutdown()
            http.server_close()
            thread.join()


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][-1]["content"]
            with server.lock:
                server.asked[prompt] += 1
                server.requests.append(body)
                server.headers.append(dict(self.headers))
                fault = server.faults[prompt].pop(0) if server.faults[prompt] else ""
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            try:
                time.sleep(server.delay)
                self.respond(fault, body)
            finally:
                with server.lock:
                    server.at_once -= 1

        def respond(self, fault: str, body: dict) -> None:
            good = completion(server.answer(body["messages"]))
            if status := re.fullmatch(r"(\d{3})(?: Retry-After=(\S+))? ?(.*)", fault):  # blanks in a date are written as _
                headers = {"Retry-After": status[2].replace("_", " ")} if status[2] else {}
                return self.send(int(status[1]), json.dumps({"error": {"message": status[3]}}).encode(), headers)
            if fault == "timeout":
                server.closing.wait(5)
                self.close_connection = True
                return None
            if fault == "drop":
                self.close_connection = True
                return None
            if fault == "cut":  # the connection ends in the middle of the body that was announced
                self.close_connection = True
                return self.send(200, good[: len(good) // 2], {"Content-Length": str(len(good))})
            if fault == "half":
                return self.send(200, good[: len(good) // 2])
            if fault == "garbage":
                return self.send(200, b"<html>\xff a gateway's page</html>")
            if fault == "empty":
                return self.send(200, json.dumps({"choices": []}).encode())
            return self.send(200, good)

        def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


_FENCED = re.compile(r"=== BEGIN TEXT (\d+) key ([0-9a-f]{16}) ===\n(.*?)\n=== END TEXT \1 key \2 ===", re.DOTALL)


_REPORT = re.compile(r"^- (character|tone|pacing|coherence|emotion): \{[^\n]*\}$", re.MULTILINE)


def outside_the_fence(messages: Sequence[dict[str, str]]) -> str:
    """What a careful model may obey: system and user messages, less every stretch between two markers with the same key.

    The reports that the editor reads quote the text: they are material too, each one line of JSON.
    """
    return "\n".join(_REPORT.sub("(a report)", _FENCED.sub("(a text)", m["content"])) for m in messages if m["role"] != "assistant")


def fenced_texts(messages: Sequence[dict[str, str]]) -> list[str]:
    """The texts under judgement, as a careful model sees them."""
    return [found[2] for m in messages if m["role"] == "user" for found in _FENCED.findall(m["content"])]
