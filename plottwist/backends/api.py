"""Any OpenAI-compatible server (vLLM, ``transformers serve``, a provider): bounded concurrency, retries, nothing paid for twice.

What is tried again (with exponential back-off and jitter, and at least the Retry-After of the server): 408, 409, 425,
429, 5xx, timeouts, dropped connections, bodies that are no complete chat completion. What is not: every other status,
since the same request would be refused again. The key is sent to the server and appears nowhere else.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)
from tqdm import tqdm

from plottwist.backends.base import Failure, Messages, Sampling, unsendable
from plottwist.backends.replay import Answers
from plottwist.errors import PlotTwistError
from plottwist.paths import BUILD

_RETRIED = {408, 409, 425, 429, *range(500, 600)}
_LONGEST_WAIT = 300.0  # seconds; a server that asks for more is left alone until the next run
_SILENCE = 5  # so many requests in a row without an answer from the server as a whole: the rest is not asked in this call


class Api:
    """A model behind ``{base}/chat/completions``.

    Arguments left out are read from PLOTTWIST_API_BASE, PLOTTWIST_API_KEY (may be missing for a server that wants none)
    and PLOTTWIST_API_MODEL. Answers are kept in ``cache`` by model, messages and sampling (not by address), so the same
    request is answered from disk for ever after, bad answers included: for another draw use another ``Sampling.seed``.

    Raises:
        PlotTwistError: base or model missing, an address or key that cannot be used.
    """

    def __init__(
        self,
        base: str | None = None,
        key: str | None = None,
        model: str | None = None,
        *,
        cache: Path | str = BUILD / "answers",
        concurrency: int = 4,
        attempts: int = 6,
        timeout: float = 120.0,
        backoff: float = 1.0,
    ) -> None:
        self._url = f"{_address(base or _environment('PLOTTWIST_API_BASE', 'the address of the server, as in http://localhost:8000/v1'))}/chat/completions"
        self.name = model or _environment("PLOTTWIST_API_MODEL", "the id of the model")
        self._key = _usable_key(key if key is not None else os.environ.get("PLOTTWIST_API_KEY", ""))
        self._answers = Answers(cache, self.name)
        self._concurrency, self._attempts, self._backoff = concurrency, attempts, backoff
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, 10.0))
        self._answered = False  # whether this server ever did: before that, a refusal is a matter of the set-up

    def __repr__(self) -> str:
        return f"Api({self._url!r}, model={self.name!r})"

    def complete(self, requests: Sequence[Messages], sampling: Sampling) -> list[str | Failure]:
        """One answer or ``Failure`` per request, in order; equal requests are asked once.

        Raises:
            PlotTwistError: the key, the model or the address is refused (401, 403, 404); or the server cannot be reached or
                refuses every request, and has never answered one. What was answered before stays in the cache.
        """
        results: dict[Path, str | Failure] = {}
        missing: dict[Path, Messages] = {}
        paths = [self._answers.path(messages, sampling) for messages in requests]
        for path, messages in dict(zip(paths, requests, strict=True)).items():
            known = unsendable(messages) or self._answers.get(messages, sampling)
            if known is None:
                missing[path] = messages
            else:
                results[path] = known
                self._answered |= isinstance(known, str)
        results |= self._ask_all(missing, sampling) if missing else {}
        return [results[path] for path in paths]

    def _ask_all(self, missing: dict[Path, Messages], sampling: Sampling) -> dict[Path, str | Failure]:
        run = _Run()
        with httpx.Client(timeout=self._timeout, headers=self._headers()) as client, ThreadPoolExecutor(self._concurrency) as pool:
            futures = {pool.submit(self._ask_one, client, messages, sampling, run): path for path, messages in missing.items()}
            try:
                results = {futures[done]: self._outcome(done, run) for done in _with_progress(futures, self.name)}
            except BaseException:  # also Ctrl-C: ask nothing more; what is on its way is waited for and kept
                run.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        if run.hopeless and not self._answered:
            raise PlotTwistError(run.hopeless)
        return results

    def _outcome(self, done: Future[str], run: _Run) -> str | Failure:
        """What became of one request; only what concerns every request is raised."""
        try:
            answer = done.result()
        except _Unanswered as error:
            if error.for_all:
                raise PlotTwistError(str(error)) from None
            run.failed(error)
            return Failure(f"{error} ({self._attempts} attempts)" if isinstance(error, _TryAgain) else str(error))
        self._answered = True
        run.silent = 0
        return answer

    def _ask_one(self, client: httpx.Client, messages: Messages, sampling: Sampling, run: _Run) -> str:
        if run.silent >= _SILENCE:
            raise _Unanswered(f"not asked: {_SILENCE} requests in a row had no answer ({run.hopeless}); run again to go on from here")
        retrying = Retrying(
            retry=retry_if_exception_type(_TryAgain),
            wait=self._wait,
            stop=stop_after_attempt(self._attempts),
            sleep=run.sleep,
            reraise=True,
        )
        answer, served = retrying(self._post, client, self._body(messages, sampling))
        self._answers.put(messages, sampling, answer, served)
        return answer

    def _post(self, client: httpx.Client, body: bytes) -> tuple[str, str | None]:
        """One attempt: the text of the answer and the model that the server names."""
        try:
            response = client.post(self._url, content=body)
        except httpx.RequestError as error:
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            what = "no connection" if unreachable else f"no complete answer ({type(error).__name__})"
            raise _TryAgain(self._reason(what), server=unreachable) from None
        if response.status_code != 200:
            raise self._refused(response)
        try:
            content = response.json()
            text, served = content["choices"][0]["message"].get("content"), content.get("model")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _TryAgain(self._reason("the body is not a complete chat completion")) from None
        return _clean(text), served if isinstance(served, str) else None

    def _refused(self, response: httpx.Response) -> _Unanswered:
        """The error for a status other than 200, with the words of the server (less the key) and the way to mend it."""
        status, said = response.status_code, self._said(response)
        if status in _RETRIED:
            after = _retry_after(response.headers.get("Retry-After"))
            if after > _LONGEST_WAIT:
                return _Unanswered(self._reason(f"status {status}, and it asks to wait {after:.0f} seconds; run again later"), server=True)
            return _TryAgain(self._reason(f"status {status}{said}"), after, server=status in (429, 503))
        mend = {
            401: "set PLOTTWIST_API_KEY to a key that this server knows",
            402: "the account has no credit left",
            403: f"the key may not use the model {self.name!r}; use another key or model",
            404: f"no model {self.name!r} or no such address; check PLOTTWIST_API_MODEL and PLOTTWIST_API_BASE (it usually ends in /v1)",
        }
        advice = mend.get(status, "the text may be too long for the model, or the server knows no such address or sampling parameter")
        return _Unanswered(self._reason(f"status {status}{said}; {advice}"), server=True, for_all=status in mend)

    def _reason(self, what: str) -> str:
        return f"{self._url}: {what}"

    def _said(self, response: httpx.Response) -> str:
        """The first words of an error body in brackets, on one line, without the key, which servers like to echo half masked."""
        words = " ".join(response.text[:2000].split())
        if self._key:
            words = words.replace(self._key, "(key)")
        words = re.sub(r"\b(sk|key|token)[-_][\w*.-]{4,}", "(key)", words, flags=re.IGNORECASE)
        return f" ({words[:200]})" if words else ""

    def _headers(self) -> dict[str, str]:
        authorisation = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return {"Content-Type": "application/json", **authorisation}

    def _body(self, messages: Messages, sampling: Sampling) -> bytes:
        body: dict[str, Any] = {"model": self.name, "messages": messages, "temperature": sampling.temperature}
        body |= {"top_p": sampling.top_p, "max_tokens": sampling.max_tokens, "seed": sampling.seed}
        if sampling.top_k is not None:  # not in OpenAI's own schema: servers that follow it to the letter refuse the field
            body["top_k"] = sampling.top_k
        return json.dumps(body).encode()

    def _wait(self, state: RetryCallState) -> float:
        after = state.outcome.exception().after + random.uniform(0, self._backoff)  # requests sent off together do not come back together
        return max(after, wait_exponential_jitter(multiplier=self._backoff, jitter=self._backoff, max=60)(state))


class _Unanswered(Exception):
    """A request has no answer. ``server``: the reason may lie with the server or the set-up; ``for_all``: no request can succeed."""

    def __init__(self, reason: str, *, server: bool = False, for_all: bool = False) -> None:
        super().__init__(reason)
        self.server, self.for_all = server, for_all


class _TryAgain(_Unanswered):
    """The next attempt may succeed, ``after`` seconds from now at the earliest."""

    def __init__(self, reason: str, after: float = 0.0, *, server: bool = False) -> None:
        super().__init__(reason, server=server)
        self.after = after


class _Run:
    """What the requests of one call know of each other."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.silent = 0  # requests in a row that failed after all attempts because of the server
        self.hopeless = ""  # the first such reason

    def sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise _Unanswered("stopped")

    def failed(self, error: _Unanswered) -> None:
        if error.server:
            self.hopeless = self.hopeless or str(error)
            self.silent += isinstance(error, _TryAgain)


def _with_progress(futures: dict[Future[str], Path], name: str) -> Any:
    return tqdm(as_completed(futures), total=len(futures), desc=name, unit="answer", delay=2, disable=None)


def _environment(variable: str, meaning: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise PlotTwistError(f"{variable} is not set: set it to {meaning}, or give it as an argument")
    return value


def _address(base: str) -> str:
    """The base address without a slash at its end. A key in it would appear in messages: it is refused."""
    try:
        url = httpx.URL(base)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.userinfo or url.query:
        raise PlotTwistError("the server's address (PLOTTWIST_API_BASE) holds a password or a query; put the key into PLOTTWIST_API_KEY")
    if url.scheme not in ("http", "https") or not url.host:
        raise PlotTwistError(f"{base!r} is not the address of a server (PLOTTWIST_API_BASE); it looks like http://localhost:8000/v1")
    return str(url).rstrip("/")


def _usable_key(key: str) -> str:
    if not re.fullmatch(r"[!-~]*", key.strip()):
        raise PlotTwistError("the key (PLOTTWIST_API_KEY) holds blanks or characters that no key has; copy it again")
    return key.strip()


def _retry_after(value: str | None) -> float:
    """Seconds to wait after a Retry-After header (seconds or a date); 0 if there is none that can be read."""
    if value is None:
        return 0.0
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", value):
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _clean(text: object) -> str:
    """The text of a message; null (a model that only thought, or declined) is an empty answer, which ``ask`` takes up again."""
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else ""
