"""What kernels do to memory under Triton's interpreter, counted element by element.

The interpreter loads, stores and multiplies through one builder, whose methods are
wrapped while something is counted: so nothing of a kernel has to be known.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from triton.runtime import interpreter
from triton.tools.tensor_descriptor import TensorDescriptor

Addresses = list[NDArray[np.int64]]


@dataclass
class Counts:
    """What a launch did with the tensors that it was given, by argument.

    The tensors of a tuple are one argument.

    Attributes:
        loads: the addresses of the elements that were loaded, and not masked.
        stores: those of the elements that were stored.
        products: multiply-adds of `tl.dot`, of zeros too.
    """

    loads: dict[str, Addresses] = field(default_factory=dict)
    stores: dict[str, Addresses] = field(default_factory=dict)
    products: int = 0

    @property
    def loaded(self) -> dict[str, int]:
        """How many elements were loaded, each as often as it was."""
        return {name: _total(parts) for name, parts in self.loads.items()}

    @property
    def read(self) -> dict[str, int]:
        """How many different ones."""
        return {name: _different(parts) for name, parts in self.loads.items()}

    @property
    def stored(self) -> dict[str, int]:
        """How many elements were stored, each as often as it was."""
        return {name: _total(parts) for name, parts in self.stores.items()}

    @property
    def written(self) -> dict[str, int]:
        """How many different ones."""
        return {name: _different(parts) for name, parts in self.stores.items()}


@contextmanager
def counted() -> Iterator[Counts]:
    """Counts what is launched meanwhile, with tensors that lie on the CPU.

    A kernel that loads or stores outside of its tensors ends in Triton's
    `InterpreterError`, which tells of an `IndexError`.
    """
    counts, spans = Counts(), list[_Span]()

    def launch(executor: Any, *args: Any, **kwargs: Any) -> None:
        named = _named(executor, args, kwargs)
        spans[:] = [span for name, value in named.items() for span in _of(name, value)]
        whole["launch"](executor, *args, **kwargs)

    def load(builder: Any, ptrs: Any, mask: Any, *args: Any, **kwargs: Any) -> Any:
        _note(counts.loads, spans, ptrs, mask)
        return whole["load"](builder, ptrs, mask, *args, **kwargs)

    def store(builder: Any, ptrs: Any, value: Any, mask: Any, *args: Any) -> Any:
        _note(counts.stores, spans, ptrs, mask)
        return whole["store"](builder, ptrs, value, mask, *args)

    def dot(builder: Any, a: Any, b: Any, *args: Any) -> Any:
        counts.products += a.data.size * b.data.shape[-1]
        return whole["dot"](builder, a, b, *args)

    wrapped: dict[str, tuple[type, str, Callable[..., Any]]] = {
        "launch": (interpreter.GridExecutor, "__call__", launch),
        "load": (interpreter.InterpreterBuilder, "create_masked_load", load),
        "store": (interpreter.InterpreterBuilder, "create_masked_store", store),
        "dot": (interpreter.InterpreterBuilder, "create_dot", dot),
    }
    whole = {word: getattr(of, name) for word, (of, name, _) in wrapped.items()}
    with ExitStack() as stack:
        for of, name, wrapper in wrapped.values():
            stack.enter_context(mock.patch.object(of, name, wrapper))
        yield counts


@dataclass(frozen=True)
class _Span:
    """The bytes from the first to the last element of a tensor."""

    name: str
    start: int
    end: int


def _named(
    executor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a launch by name; options of the compiler are none."""
    known = {name: kwargs[name] for name in kwargs if name in executor.arg_names}
    return inspect.signature(executor.fn).bind(*args, **known).arguments


def _of(name: str, value: Any) -> Iterator[_Span]:
    if isinstance(value, tuple):
        for one in value:
            yield from _of(name, one)
    elif isinstance(value, TensorDescriptor):
        yield from _of(name, value.base)
    elif isinstance(value, Tensor) and value.numel():
        steps = zip(value.shape, value.stride(), strict=True)
        last = sum((size - 1) * stride for size, stride in steps)
        start = value.data_ptr()
        yield _Span(name, start, start + (last + 1) * value.itemsize)


def _note(into: dict[str, Addresses], spans: list[_Span], ptrs: Any, mask: Any) -> None:
    addresses, there = np.broadcast_arrays(ptrs.data, mask.data)
    left = addresses[there.astype(bool)].astype(np.int64)
    for span in spans:
        inside = (span.start <= left) & (left < span.end)
        if inside.any():
            into.setdefault(span.name, []).append(left[inside])
            left = left[~inside]
    if left.size:
        raise IndexError(f"{left.size} elements outside of all tensors")


def _total(parts: Addresses) -> int:
    return sum(part.size for part in parts)


def _different(parts: Addresses) -> int:
    return int(np.unique(np.concatenate(parts)).size)
