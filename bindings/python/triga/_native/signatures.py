"""What kind of native function a Python object stands for: its address and its types, as the core wants them.

Known are function pointers of ctypes and cffi, numba's cfuncs, capsules whose name is a C signature, and SciPy's
LowLevelCallable around either. A type is a tuple (name for messages, letter, element, writable): the letter is that of
module struct, with ``v`` for void, ``P`` for a pointer and ``z`` for a string; element is the letter of what a pointer
points to, empty for ``void``.
"""

from __future__ import annotations

import sys
from importlib import import_module

from triga import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    NativeType: TypeAlias = tuple[str, str, str, bool]

VOID: NativeType = ("void", "v", "", False)
_INTEGERS = {1: "bB", 2: "hH", 4: "iI", 8: "qQ"}
# The C names of the integer types and whether they are signed; their sizes on every machine that is supported.
_C_TYPES = {
    "char": "b", "signed char": "b", "unsigned char": "B", "short": "h", "unsigned short": "H", "int": "i",
    "unsigned int": "I", "unsigned": "I", "long": "q", "unsigned long": "Q", "long long": "q",
    "unsigned long long": "Q", "int8_t": "b", "uint8_t": "B", "int16_t": "h", "uint16_t": "H", "int32_t": "i",
    "uint32_t": "I", "int64_t": "q", "uint64_t": "Q", "ssize_t": "q", "size_t": "Q", "intptr_t": "q",
    "uintptr_t": "Q", "ptrdiff_t": "q", "npy_intp": "q", "Py_ssize_t": "q", "float": "f", "double": "d", "_Bool": "?",
    "bool": "?",
}  # fmt: skip


def native_function(function: Any) -> _core.NativeFunction:
    """The core's object for a native function; one that is made already is returned as it is.

    Raises TypeError for what is no native function, or one with types that a native call does not know.
    """
    if isinstance(function, _core.NativeFunction):
        return function
    ctypes = sys.modules.get("ctypes")
    if ctypes is not None and isinstance(function, ctypes._CFuncPtr):
        return _of_ctypes(function)
    name = type(function).__name__
    if name == "PyCapsule":
        return _of_capsule(function)
    if name == "LowLevelCallable" and isinstance(function, tuple):
        return _of_capsule(tuple.__getitem__(function, 0), keep=function)  # its own __getitem__ only raises
    if name.startswith("_CDataBase") or name == "CData" or type(function).__module__ == "_cffi_backend":
        return _of_cffi(function)
    if isinstance(getattr(function, "address", None), int) and hasattr(function, "ctypes"):
        return _of_ctypes(function.ctypes, keep=function)
    raise TypeError(
        f"expected a native function (a ctypes or cffi function pointer, a numba cfunc, a capsule with a C signature "
        f"or a LowLevelCallable), got {type(function).__name__!r}"
    )


def _refuse(name: str, why: str) -> TypeError:
    return TypeError(f"{name}() cannot be called without the GIL: {why}")


# ctypes


def _of_ctypes(function: Any, keep: Any = None) -> _core.NativeFunction:
    ctypes: Any = import_module("ctypes")

    name = getattr(function, "__name__", type(function).__name__)
    if not isinstance(name, str):  # a prototype's instances have it from their class
        name = type(function).__name__
    flags = function._flags_
    if flags & 4:  # FUNCFLAG_PYTHONAPI
        raise _refuse(name, "it is one of Python's own (PyDLL, PYFUNCTYPE)")
    if flags & (8 | 16):  # FUNCFLAG_USE_ERRNO, FUNCFLAG_USE_LASTERROR
        raise _refuse(name, "use_errno is not kept up by native calls")
    argtypes = function.argtypes
    if argtypes is None:
        raise _refuse(name, "its argtypes are not set, and nothing could be checked")
    if getattr(function, "errcheck", None) is not None:
        raise _refuse(name, "its errcheck is a Python function")
    parameters = [_ctypes_type(name, each) for each in argtypes]
    restype = function.restype
    result = VOID if restype is None else _ctypes_type(name, restype)
    if getattr(restype, "_type_", None) == "z":
        result = (*result[:1], "z", *result[2:])
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    return _core.NativeFunction(address, name, result, parameters, 0, keep if keep is not None else function)


def _ctypes_type(name: str, kind: Any) -> NativeType:
    ctypes: Any = import_module("ctypes")

    shown = getattr(kind, "__name__", repr(kind))
    if not isinstance(kind, type):
        raise _refuse(name, f"{kind!r} among its types is no ctypes type")
    described: Any = kind  # by its _type_, which ctypes does not declare
    if issubclass(kind, ctypes._Pointer):
        return (shown, "P", _ctypes_element(described._type_), True)
    if issubclass(kind, ctypes._CFuncPtr):
        return (shown, "P", "", False)
    if not issubclass(kind, ctypes._SimpleCData):
        raise _refuse(name, f"it takes or returns {shown} by value; use a pointer to it")
    letter: str = described._type_
    if letter == "P":
        return (shown, "P", "", True)
    if letter == "z":
        return (shown, "P", "B", False)
    return (shown, _letter(name, shown, letter, ctypes.sizeof(kind)), "", False)


def _ctypes_element(kind: Any) -> str:
    """The letter of what a pointer points to; empty where elements are not checked: structures, pointers."""
    ctypes: Any = import_module("ctypes")

    if kind is None or not issubclass(kind, ctypes._SimpleCData) or kind._type_ in "PzZOug":
        return ""
    return _letter("", "", kind._type_, ctypes.sizeof(kind))


def _letter(name: str, shown: str, letter: str, size: int) -> str:
    """The letter of a number by its size: ``long`` is ``q`` where it has eight bytes."""
    if letter in "fd?":
        return letter
    if letter == "c":
        return "b"
    if letter in "bBhHiIlLqQ":
        return _INTEGERS[size][letter.isupper()]
    raise _refuse(name, f"native calls do not know its type {shown}")


# cffi


def _of_cffi(function: Any) -> _core.NativeFunction:
    _cffi_backend: Any = import_module("_cffi_backend")

    if not isinstance(function, _cffi_backend._CDataBase):
        raise TypeError(
            f"expected a cffi function pointer, got {type(function).__name__!r}; ffi.addressof(lib, 'name') gives it"
        )
    ffi = _cffi_backend.FFI()
    kind = ffi.typeof(function)
    if kind.kind == "pointer" and kind.item.kind == "function":
        kind = kind.item
    name = str(function).partition("(")[0].rpartition(" ")[2].strip("'\"<>") or "function"
    name = getattr(function, "__name__", name)
    if kind.kind != "function":
        raise TypeError(f"expected a cffi function pointer, got cdata of type {kind.cname!r}")
    if kind.ellipsis:
        raise _refuse(name, "it takes a variable number of arguments")
    result = VOID if kind.result.kind == "void" else _cffi_type(name, ffi, kind.result)
    parameters = [_cffi_type(name, ffi, each) for each in kind.args]
    address = int(ffi.cast("uintptr_t", function))
    return _core.NativeFunction(address, name, result, parameters, 0, function)


def _cffi_type(name: str, ffi: Any, kind: Any) -> NativeType:
    if kind.kind == "pointer":
        item = kind.item
        simple = item.kind in ("primitive", "enum")
        element = _cffi_letter(name, ffi, item) if simple else ""
        return (kind.cname, "P", element, True)
    if kind.kind == "function":
        return (kind.cname, "P", "", False)
    if kind.kind not in ("primitive", "enum"):
        raise _refuse(name, f"it takes or returns {kind.cname} by value; use a pointer to it")
    return (kind.cname, _cffi_letter(name, ffi, kind), "", False)


def _cffi_letter(name: str, ffi: Any, kind: Any) -> str:
    size = ffi.sizeof(kind)
    if kind.cname in ("float", "double"):
        return "f" if size == 4 else "d"
    if kind.cname == "_Bool":
        return "?"
    if kind.cname == "char":
        return "b"
    if size not in _INTEGERS or "double" in kind.cname or "_Complex" in kind.cname:
        raise _refuse(name, f"native calls do not know its type {kind.cname}")
    negative = int(ffi.cast(kind, -1)) < 0
    return _INTEGERS[size][not negative]


# Capsules


def _of_capsule(capsule: Any, keep: Any = None) -> _core.NativeFunction:
    if type(capsule).__name__ != "PyCapsule":
        raise TypeError(f"expected a LowLevelCallable around a capsule, got one around {type(capsule).__name__!r}")
    signature, address, context = _core.open_capsule(capsule)
    head, bracket, tail = signature.partition("(")
    if not bracket or not tail.rstrip().endswith(")"):
        raise TypeError(f"the capsule's name {signature!r} is no C signature, such as 'double (double, void *)'")
    name = "capsule"
    words = tail.rstrip()[:-1].strip()
    given = [] if words in ("", "void") else words.split(",")
    parameters = [_c_type(signature, each) for each in given]
    result = _c_result(signature, head.strip())
    kept = keep if keep is not None else capsule
    return _core.NativeFunction(address, name, result, parameters, context, kept)


def _c_result(signature: str, text: str) -> NativeType:
    return VOID if text == "void" else _c_type(signature, text)


def _c_type(signature: str, text: str) -> NativeType:
    """A type, which a name may follow: Cython's capsules have "int __pyx_skip_dispatch"."""
    shown = " ".join(text.split())
    base, star, more = shown.replace(" *", "*").partition("*")
    words = [word for word in base.split() if word not in ("const", "volatile", "struct")]
    readable = "const" in base.split()
    if not star:
        plain = next((each for each in (" ".join(words), " ".join(words[:-1])) if each in _C_TYPES), None)
        if plain is None:
            raise TypeError(f"unknown type {shown!r} in the signature {signature!r} of a capsule")
        return (shown, _C_TYPES[plain], "", False)
    plain = " ".join(words)
    is_one = not more or more.strip().isidentifier()  # else a pointer to pointers
    element = _C_TYPES.get(plain, "") if is_one and plain != "void" else ""
    return (shown, "P", element, not readable)
