"""The pickle inside a torch file, read without Python's own unpickler.

A pickle is a program. Of what it may ask for, a file of weights needs dicts, lists, numbers, strings and three kinds of
names; this interpreter knows nothing else, so it can call nothing. It never compares or hashes what a file composes,
and its work is bounded by the length of the pickle.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from bge_onnx._checkpoint.torch_names import Function, PickleError, called, filled, named, storage_of

# The pickle of a model with 400 tensors has about 50 kB.
LARGEST: Final = 2 * 1024 * 1024


class _Mark(NamedTuple):
    """Where the operands of an opcode begin."""


_MARK = _Mark()
_Stack: TypeAlias = list[Any]


def read_pickle(data: bytes | memoryview) -> tuple[Any, int]:
    """The object in a pickle and the length of the pickle; what follows it is not looked at.

    Raises:
        PickleError: It holds something that no weights need; a call is named, and not made.
    """
    stream = io.BytesIO(data[:LARGEST])
    try:
        value = _Machine().run(_opcodes(stream))
    except PickleError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise PickleError(f"its pickle is damaged: {error}") from error
    return value, stream.tell()


def _opcodes(stream: io.BytesIO) -> Iterator[tuple[str, Any]]:
    while code := stream.read(1):
        opcode = _KNOWN.get(code.decode("latin-1"))
        if opcode is None:
            raise PickleError(f"its pickle has the opcode {code!r}, which no tensor needs")
        if opcode.name in _NAMING:
            yield opcode.name, (_line(stream), _line(stream))
        else:
            yield opcode.name, None if opcode.arg is None else opcode.arg.reader(stream)


def _line(stream: io.BytesIO) -> str:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise PickleError("its pickle ends in the middle of a name")
    return line[:-1].decode()


class _Machine:
    def __init__(self) -> None:
        self._stack: _Stack = []
        self._memo: dict[int, Any] = {}

    def run(self, opcodes: Iterator[tuple[str, Any]]) -> Any:  # noqa: ANN401  whatever the pickle holds
        for name, argument in opcodes:
            if name == "STOP":
                return self._pop()
            if name in _CONSTANTS:
                self._stack.append(argument if _CONSTANTS[name] is _ARGUMENT else _CONSTANTS[name])
            else:
                _ACTIONS[name](self, argument)
        raise PickleError("its pickle has no end")

    def _pop(self) -> Any:  # noqa: ANN401
        value = self._stack.pop()
        if isinstance(value, _Mark):
            raise PickleError("its pickle is damaged: an operand is missing")
        return value

    def _operands(self) -> _Stack:
        """What lies above the last mark, which goes too."""
        for place in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[place], _Mark):
                found = self._stack[place + 1 :]
                del self._stack[place:]
                return found
        raise PickleError("its pickle is damaged: a mark is missing")

    def mark(self, _: object) -> None:
        self._stack.append(_MARK)

    def pop(self, _: object) -> None:
        self._stack.pop()

    def empty_dict(self, _: object) -> None:
        self._stack.append({})

    def empty_list(self, _: object) -> None:
        self._stack.append([])

    def make_dict(self, _: object) -> None:
        self._stack.append(filled({}, self._operands()))

    def make_list(self, _: object) -> None:
        self._stack.append(self._operands())

    def make_tuple(self, _: object) -> None:
        self._stack.append(tuple(self._operands()))

    def short_tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def set_item(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        filled(self._stack[-1], [key, value])

    def set_items(self, _: object) -> None:
        pairs = self._operands()
        filled(self._stack[-1], pairs)

    def append(self, _: object) -> None:
        value = self._pop()
        self._list().append(value)

    def appends(self, _: object) -> None:
        values = self._operands()
        self._list().extend(values)

    def _list(self) -> list[Any]:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise PickleError("its pickle appends to what is not a list")
        return target

    def put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def name(self, parts: tuple[str, str]) -> None:
        self._stack.append(named(*parts))

    def stack_name(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(named(str(module), str(name)))

    def instance(self, parts: tuple[str, str]) -> None:
        raise PickleError(f"it makes a {named(*parts)}, which no tensor needs")

    def reduce(self, _: object) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise PickleError("it calls what is not a function")
        self._stack.append(called(function.name, arguments))

    def build(self, _: object) -> None:
        """Attributes of a state dict (`_metadata`), which say nothing about the weights."""
        self._pop()
        if not isinstance(self._stack[-1], dict):
            raise PickleError("it sets attributes of something else than a dict")

    def persistent(self, _: object) -> None:
        self._stack.append(storage_of(self._pop()))


_NAMING = ("GLOBAL", "INST")
_ARGUMENT = object()
_CONSTANTS: Mapping[str, object] = {
    **dict.fromkeys(
        (
            "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT BINSTRING SHORT_BINSTRING UNICODE "
            " BINUNICODE SHORT_BINUNICODE BINUNICODE8"
        ).split(),
        _ARGUMENT,
    ),
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
}
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, argument: None,  # noqa: ARG005
    "FRAME": lambda machine, argument: None,  # noqa: ARG005
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "EMPTY_DICT": _Machine.empty_dict,
    "EMPTY_LIST": _Machine.empty_list,
    "DICT": _Machine.make_dict,
    "LIST": _Machine.make_list,
    "TUPLE": _Machine.make_tuple,
    "TUPLE1": lambda machine, _: machine.short_tuple(1),
    "TUPLE2": lambda machine, _: machine.short_tuple(2),
    "TUPLE3": lambda machine, _: machine.short_tuple(3),
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "INST": _Machine.instance,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
# The standard library knows how long each opcode's argument is; those that are not here are refused unread.
_KNOWN = {
    opcode.code: opcode
    for opcode in pickletools.opcodes
    if opcode.name == "STOP" or opcode.name in _CONSTANTS or opcode.name in _ACTIONS
}
