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

# The pickle of a model with 400 tensors has about 50 kB.
LARGEST: Final = 2 * 1024 * 1024
_MOST_AXES = 8


class PickleError(Exception):
    """Why a pickle holds no plain tensors."""


class Storage(NamedTuple):
    """Numbers of one kind, kept outside the pickle under a key."""

    kind: str
    key: str
    count: int


class View(NamedTuple):
    """A tensor: numbers of a storage, seen with a shape."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Kind(NamedTuple):
    """A storage class of torch."""

    kind: str


class _Function(NamedTuple):
    """A function that torch names to put a tensor together."""

    name: str


class _Mark(NamedTuple):
    """Where the operands of an opcode begin."""


_MARK = _Mark()
_STORAGES = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "F64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
WIDTHS: Mapping[str, int] = {
    "F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_NAMES: Mapping[tuple[str, str], _Kind | _Function] = {
    **{("torch", name): _Kind(kind) for name, kind in _STORAGES.items()},
    ("collections", "OrderedDict"): _Function("dict"),
    ("torch._utils", "_rebuild_tensor"): _Function("tensor"),
    ("torch._utils", "_rebuild_tensor_v2"): _Function("tensor"),
    ("torch._utils", "_rebuild_parameter"): _Function("parameter"),
    ("torch", "Size"): _Function("size"),
}
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
        yield opcode.name, None if opcode.arg is None else opcode.arg.reader(stream)


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
        self._stack.append(_filled({}, self._operands()))

    def make_list(self, _: object) -> None:
        self._stack.append(self._operands())

    def make_tuple(self, _: object) -> None:
        self._stack.append(tuple(self._operands()))

    def short_tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def set_item(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        _filled(self._stack[-1], [key, value])

    def set_items(self, _: object) -> None:
        pairs = self._operands()
        _filled(self._stack[-1], pairs)

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

    def name(self, argument: str) -> None:
        self._stack.append(_named(*argument.split(" ", 1)))

    def stack_name(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(_named(str(module), str(name)))

    def instance(self, argument: str) -> None:
        _named(*argument.split(" ", 1))
        raise PickleError(f"it makes a {argument.replace(' ', '.')}, which no tensor needs")

    def reduce(self, _: object) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Function) or not isinstance(arguments, tuple):
            raise PickleError("it calls what is not a function")
        self._stack.append(_called(function.name, arguments))

    def build(self, _: object) -> None:
        """Attributes of a state dict (`_metadata`), which say nothing about the weights."""
        self._pop()
        if not isinstance(self._stack[-1], dict):
            raise PickleError("it sets attributes of something else than a dict")

    def persistent(self, _: object) -> None:
        self._stack.append(_storage(self._pop()))


def _filled(target: object, pairs: _Stack) -> dict[str | int, Any]:
    if not isinstance(target, dict):
        raise PickleError("its pickle sets items of what is not a dict")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if not isinstance(key, str | int):
            raise PickleError("it has a dict whose keys are not strings")
        target[key] = value
    return target


def _named(module: str, name: str) -> _Kind | _Function:
    try:
        return _NAMES[module, name]
    except KeyError:
        raise PickleError(f"it asks for {module}.{name}, which no tensor needs") from None


def _called(function: str, arguments: tuple[Any, ...]) -> object:
    match function, arguments:
        case "dict", ():
            return {}
        case "dict", ([*pairs],):
            return _filled({}, [part for pair in pairs for part in _pair(pair)])
        case "tensor", (Storage() as storage, int(offset), tuple(shape), tuple(strides), *_):
            return _view(storage, offset, shape, strides)
        case "parameter", (View() as view, *_):
            return view
        case "size", (tuple(extents),):
            return extents
    raise PickleError(f"it puts a {function} together from something else than its parts")


def _pair(pair: object) -> tuple[Any, Any]:
    match pair:
        case [key, value]:
            return key, value
    raise PickleError("it makes a dict of something else than pairs")


def _storage(identity: object) -> Storage:
    match identity:
        case ("storage", _Kind(kind), str(key), _, int(count)) | (
            "storage",
            _Kind(kind),
            str(key),
            _,
            int(count),
            None,
        ):
            if count >= 0:
                return Storage(kind, key, count)
    raise PickleError("it has a storage of an unknown kind")


def _view(storage: Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> View:
    """A tensor whose every number lies in its storage, and that is not larger than it."""
    if len(shape) != len(strides) or len(shape) > _MOST_AXES:
        raise PickleError(f"a tensor has {len(shape)} axes")
    if not all(isinstance(number, int) and number >= 0 for number in (offset, *shape, *strides)):
        raise PickleError("a tensor has a shape that is none")
    count = 1
    for extent in shape:
        count *= extent
    last = offset + sum((extent - 1) * step for extent, step in zip(shape, strides, strict=True))
    if count and (last >= storage.count or count > storage.count):
        raise PickleError(f"a tensor of shape {shape} does not fit into its storage of {storage.count} numbers")
    return View(storage, offset, shape, strides)


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
