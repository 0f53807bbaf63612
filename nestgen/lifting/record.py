"""What a module does, written down while it does it: ATen operation by operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nestgen.errors import ModuleError, in_a_line
from nestgen.surgery.kept import output_tensors
from nestgen.surgery.modes import eval_mode

IMAGE = 0
"""The number of the operation that is none: the image comes in."""


@dataclass(frozen=True)
class Operation:
    """One operation on what has come of the image.

    Attributes:
        name: that of ATen's, without its overload and without the mark of what is done
            in place: `convolution`, `relu`.
        inputs: the numbers of the operations whose results it reads, in order.
        values: its arguments; a tensor stands for itself by its name in the module or,
            where it is of the image, by None.
        shape: of its result.
        path: of the module in whose `forward` it was called; "" for the whole.
        reads: the names of the module's own tensors that it reads, in order.
        weight: the shape of the first tensor that it reads and that is not of the
            image; () where there is none.
    """

    name: str
    inputs: tuple[int, ...]
    values: tuple[Any, ...]
    shape: tuple[int, ...]
    path: str
    reads: tuple[str, ...] = ()
    weight: tuple[int, ...] = ()


@dataclass(frozen=True)
class Record:
    """A pass of the image through a module.

    Attributes:
        operations: in the order in which they were done; the first is the image.
        outputs: the number of the operation that gives each output, by its name.
        tensors: the module's own, by name.
        called: the paths of its modules whose `forward` ran.
    """

    operations: tuple[Operation, ...]
    outputs: dict[str, int]
    tensors: dict[str, Tensor]
    called: frozenset[str]


def record(module: nn.Module, example: Tensor) -> Record:
    """Run `module` on `example` in eval mode, and write down what it does.

    Whatever Python decides on the way is done once and not seen. `module` stays as it
    is. Raises `ModuleError` where it does not run, and for no image.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    >>> done = record(net, torch.ones(1, 1, 4, 4))
    >>> [(operation.name, operation.path) for operation in done.operations]
    [('image', ''), ('convolution', '0'), ('relu', '1')]
    >>> done.operations[1].reads, done.outputs
    (('0.weight', '0.bias'), {'0': 2})
    """
    if not isinstance(example, Tensor) or not 3 <= example.ndim <= 5:
        raise ModuleError("example: one tensor [N, C, *sides] with 1 to 3 sides")
    example = example.detach().clone()  # a module may write into its input
    own = {**dict(module.named_buffers()), **dict(module.named_parameters())}
    scribe = _Scribe(own, example)
    with eval_mode(module), torch.no_grad(), scribe.following(module):
        try:
            with scribe:
                outputs = output_tensors(module(example))
        except ModuleError:
            raise
        except Exception as error:  # whatever someone else's code raises
            raise ModuleError(
                f"the module does not run on the example {list(example.shape)} "
                f"({in_a_line(error)})"
            ) from error
    found = {
        name: number
        for name, tensor in outputs.items()
        if (number := scribe.made.get(id(tensor), IMAGE)) != IMAGE
    }
    if not found:
        raise ModuleError(f"{type(module).__name__}: no output comes of the image")
    return Record(tuple(scribe.operations), found, own, frozenset(scribe.called))


class _Scribe(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operation; tensors are known by their ids while they are kept alive."""

    def __init__(self, own: dict[str, Tensor], example: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = [Operation("image", (), (), tuple(example.shape), "")]
        self.made = {id(example): IMAGE}
        self.reads: dict[int, tuple[str, ...]] = {
            id(tensor): (name,) for name, tensor in own.items()
        }
        self.alive: list[Any] = [own, example]
        self.paths = [""]
        self.called: set[str] = set()

    @contextmanager
    def following(self, module: nn.Module) -> Iterator[None]:
        """Know inside of which module an operation is called."""
        handles = []
        for path, inside in module.named_modules():
            enter = inside.register_forward_pre_hook(self._enter(path))
            leave = inside.register_forward_hook(self._leave)
            handles += [enter, leave]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, path: str) -> Any:
        def hook(*_: Any) -> None:
            self.paths.append(path)
            self.called.add(path)

        return hook

    def _leave(self, *_: Any) -> None:
        self.paths.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves([args, kwargs]) if isinstance(x, Tensor)]
        results = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        self.alive += results
        inputs = [self.made[id(x)] for x in given if id(x) in self.made]
        reads = [name for x in given for name in self.reads.get(id(x), ())]
        if inputs and results:
            number = len(self.operations)
            self.operations.append(
                Operation(
                    name=str(func.overloadpacket.__name__).rstrip("_"),
                    inputs=tuple(dict.fromkeys(inputs)),
                    values=tuple(map(self._value, args)),
                    shape=tuple(results[0].shape),
                    path=self.paths[-1],
                    reads=tuple(dict.fromkeys(reads)),
                    weight=next(
                        (tuple(x.shape) for x in given if id(x) not in self.made), ()
                    ),
                )
            )
            self.made.update((id(x), number) for x in results)
            if func._schema.is_mutable:
                self.made.update((id(x), number) for x in self._views(results[0]))
        elif reads:
            for x in results:
                self.reads[id(x)] = tuple(dict.fromkeys(reads))
        return result

    def _views(self, written: Tensor) -> Iterator[Tensor]:
        """The tensors that hold what is `written`, since they are views of it."""
        place = written.untyped_storage().data_ptr()
        for x in self.alive:
            if isinstance(x, Tensor) and x.untyped_storage().data_ptr() == place:
                yield x

    def _value(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.reads.get(id(value))
        if isinstance(value, (list, tuple)):
            return tuple(map(self._value, value))
        return value
