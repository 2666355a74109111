"""The long-term context (Memory), the short-term context (Cheating) and CWC, the calibrator that weighs them.

    m~ = tanh(W1 M + W2 h)      g = sigmoid(W3 M + W4 h)      M' = L2((1 - g) * M + g * m~)        Memory, after PlotMachines
    C  = L2(tanh(W5 E))                                                                           Cheating
    beta = (1 - alpha) * sigmoid(B_t W + b)      gamma = 1 - alpha - beta                          CWC

h is the mean embedding of the previous paragraph, E the embeddings of the last c paragraphs, B_t the first output of a small
BERT that reads the order tokens and the previous paragraph.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from plottwist.errors import PlotTwistError


class Limits(BaseModel):
    """What every storyteller here is told: how much text fits, and whether it sees order tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    discourse: bool = True
    source_tokens: int = Field(default=150, ge=1, description="room for keywords")
    paragraph_tokens: int = Field(default=400, ge=1, description="longest paragraph, in training and in writing")

    @classmethod
    def read(cls, values: dict | None) -> Limits:
        """From plain values, as stored in a model's config. Raises PlotTwistError naming the wrong one."""
        try:
            return cls.model_validate(values or {})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "parts"
            raise PlotTwistError(f"longstory setting {where}: {first['msg']}; known: {', '.join(cls.model_fields)}") from error


class Parts(Limits):
    """Which parts of LongStory are on. A context that is off leaves its share to what remains, so weights still sum to 1."""

    memory: bool = True
    cheating: int = Field(default=1, ge=0, le=3, description="paragraphs in the Cheating context (the paper's c); 0 is off")
    weighting: Literal["calibrated", "fixed", "learnable alpha"] = "calibrated"
    alpha: float = Field(default=0.5, ge=0, le=1)
    memory_weight: float = Field(default=0.25, ge=0, le=1, description="beta of the fixed weighting")

    @model_validator(mode="after")
    def _weights_fit(self) -> Parts:
        if self.weighting == "fixed" and self.memory_weight > 1 - self.alpha:
            raise ValueError(f"memory_weight {self.memory_weight} and alpha {self.alpha} are more than 1 together")
        return self

    @property
    def calibrates(self) -> bool:
        """Whether there is anything to calibrate: two contexts, or a share for attention over the input itself."""
        contexts = self.memory + bool(self.cheating)
        return (contexts == 2 and self.weighting == "calibrated") or (contexts >= 1 and self.weighting == "learnable alpha")

    def constant_weights(self) -> tuple[float, float, float]:
        """(alpha, beta, gamma) where they need no calibrator."""
        rest = 1 - self.alpha
        if self.memory and self.cheating:
            return self.alpha, self.memory_weight, rest - self.memory_weight
        return (self.alpha, rest, 0.0) if self.memory else (self.alpha, 0.0, rest) if self.cheating else (1.0, 0.0, 0.0)


class Memory(nn.Module):
    """The gated update of memory slots, each of them a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.w2, self.w3, self.w4 = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, memory: Tensor, h: Tensor) -> Tensor:
        """M' (batch, slots, d) from M (batch, slots, d) and h (batch, d)."""
        h = h[:, None]  # (batch, 1, d)
        candidate = torch.tanh(self.w1(memory) + self.w2(h))
        gate = torch.sigmoid(self.w3(memory) + self.w4(h))
        return F.normalize((1 - gate) * memory + gate * candidate, dim=-1)


class Cheating(nn.Module):
    """C (batch, tokens, d) from the embeddings E (batch, tokens, d) of the last c paragraphs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w5 = nn.Linear(width, width, bias=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        return F.normalize(torch.tanh(self.w5(embeddings)), dim=-1)


class Calibrator(nn.Module):
    """CWC: fusion weights from what the small BERT reads."""

    def __init__(self, parts: Parts, bert: BertConfig) -> None:
        super().__init__()
        self.parts = parts
        self.bert = BertModel(bert, add_pooling_layer=False)
        self.w = nn.Linear(bert.hidden_size, 1 if parts.weighting == "calibrated" else 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(alpha, beta, gamma) of each row, (batch, 3), >= 0 and of sum 1, from ids and mask (batch, tokens)."""
        b = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]  # (batch, d): B_t
        scores = self.w(b)  # (batch, 1) or (batch, 3)
        if self.parts.weighting == "learnable alpha":
            on = scores.new_tensor([1, self.parts.memory, bool(self.parts.cheating)])
            return torch.softmax(F.logsigmoid(scores) + on.log(), dim=1)  # sigmoids over their sum, without 0 / 0
        rest = 1 - self.parts.alpha
        beta = rest * torch.sigmoid(scores)
        return torch.cat([torch.full_like(beta, self.parts.alpha), beta, rest - beta], dim=1)


def mean_embedding(embeddings: Tensor, mask: Tensor) -> Tensor:
    """h (batch, d): the mean of embeddings (batch, tokens, d) where mask (batch, tokens) is True, so padding is left out; 0 if nowhere."""
    kept = mask[..., None].to(embeddings.dtype)
    return (embeddings * kept).sum(1) / kept.sum(1).clamp(min=1)
