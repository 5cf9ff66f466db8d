# SPDX-License-Identifier: MIT
# The bounded decoder of what workers in other interpreters pack. Part of _core.pyx.
#
# docs/codec.md describes the bytes. Nothing they say is believed: a length is compared with the
# bytes that are left, what containers still promise included, before anything is allocated for it.

import math
import re
from collections import OrderedDict

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.complex cimport PyComplex_FromDoubles
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem, PyDict_Size
from cpython.float cimport PyFloat_FromDouble
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_FromLong, PyLong_FromLongLong
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8


cdef extern from "numpy/arrayobject.h":
    object PyArray_Empty(int nd, const cnp.npy_intp *dims, cnp.dtype dtype, int fortran)
    object PyArray_Scalar(void *data, cnp.dtype dtype, object base)


cdef enum:
    _MAX_DEPTH = 100  # of containers; these five are also in envring_worker/data/codec.py
    _MAX_FIELD_DEPTH = 8
    _MAX_FIELDS = 1024
    _MAX_ITEM_OF_NONE = 1 << 16
    _DTYPE_DEPTH = 40  # tuples that describe a dtype of that field depth
    _MAX_DIMS = 64
    _MAX_SHARED = 16  # bytes of an interned string that may be the content of arrays
    _MAX_CACHED_DTYPES = 256
    _MAX_ITEMSIZE = 0x7FFFFFFF

cdef object _SIMPLE_DTYPE = re.compile(
    "[<>|]([biufc][0-9]{1,2}|[SUV][0-9]{1,9})"
    "|[<>][mM]8(\\[([1-9][0-9]{0,8})?([YMWDhms]|[munpfa]s)\\])?")
cdef dict _dtypes = {}
cdef object _from_bytes = int.from_bytes


cdef class _Decoder:
    cdef const uint8_t *start
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef Py_ssize_t owed  # items that the containers around still promise, one byte each at least
    cdef int depth
    cdef bint python2
    cdef bint simple  # inside of a dtype: no tags
    cdef list interned  # in turns: bytes, the text that they are for Python 2 or None

    cdef _fail(self, str what):
        raise ValueError(f"at byte {self.at - self.start}: {what}")

    cdef int need(self, Py_ssize_t count) except -1:
        if self.end - self.at < count:
            self._fail("the value ends too soon")
        return 0

    cdef int32_t number(self) except? -1:
        cdef int32_t n
        self.need(4)
        memcpy(&n, self.at, 4)
        self.at += 4
        return n

    cdef int32_t length(self) except -1:
        """A length in bytes, all of which are there."""
        cdef int32_t n = self.number()
        if n < 0 or self.end - self.at < n:
            self._fail(f"{n} bytes are announced, {self.end - self.at} are left")
        return n

    cdef int32_t count(self) except -1:
        """A number of items that can all be there."""
        cdef int32_t n = self.number()
        if n < 0 or self.end - self.at < self.owed + n:
            self._fail(f"{n} items are announced, {self.end - self.at} bytes are left")
        return n

    cdef value(self):
        cdef uint8_t tag
        cdef int32_t n
        cdef int64_t q
        cdef double d, e
        self.need(1)
        tag = self.at[0]
        self.at += 1
        if tag == b"u":
            n = self.length()
            self.at += n
            return PyUnicode_DecodeUTF8(<const char *>self.at - n, n, "surrogatepass")
        if tag == b"i":
            return PyLong_FromLong(self.number())
        if tag == b"g":
            self.need(8)
            memcpy(&d, self.at, 8)
            self.at += 8
            return PyFloat_FromDouble(d)
        if tag == b"T":
            return True
        if tag == b"F":
            return False
        if tag == b"N":
            return None
        if tag == b"{":
            return self.mapping()
        if tag == b"(":
            return self.tuple_or_tagged()
        if tag == b"[":
            return self.sequence()
        if tag == b"s" or tag == b"t" or tag == b"R":
            return self.string(tag, not self.python2)
        if tag == b"l":
            return self.big()
        if tag == b"I":
            self.need(8)
            memcpy(&q, self.at, 8)
            self.at += 8
            return PyLong_FromLongLong(q)
        if tag == b"y":
            self.need(16)
            memcpy(&d, self.at, 8)
            memcpy(&e, self.at + 8, 8)
            self.at += 16
            return PyComplex_FromDoubles(d, e)
        self.at -= 1
        self._fail(f"type {bytes([tag])} is none that a value can have")

    cdef big(self):
        """An integer as digits of 15 bits."""
        cdef int32_t n = self.number()
        cdef int64_t size = n if n >= 0 else -<int64_t>n
        cdef uint64_t held = 0
        cdef uint32_t digit = 0
        cdef int bits = 0
        cdef int64_t i
        cdef uint8_t *to
        cdef bytes out
        self.need(2 * size)
        out = PyBytes_FromStringAndSize(NULL, (15 * size + 7) // 8)
        to = <uint8_t *>PyBytes_AS_STRING(out)
        for i in range(size):
            digit = self.at[2 * i] | <uint32_t>self.at[2 * i + 1] << 8
            if digit > 0x7FFF:
                self._fail("an integer has a digit of more than 15 bits")
            held |= <uint64_t>digit << bits
            bits += 15
            while bits >= 8:
                to[0] = held & 0xFF
                to += 1
                held >>= 8
                bits -= 8
        if bits:
            to[0] = <uint8_t>held
        if size and not digit:
            self._fail("an integer has a leading zero")
        self.at += 2 * size
        value = _from_bytes(out, "little")
        return -value if n < 0 else value

    cdef string(self, uint8_t tag, bint raw):
        """bytes; or what Python 2 calls str, which is text where it is UTF-8."""
        cdef Py_ssize_t n
        cdef bytes content
        if tag == b"s" or not self.python2:
            if tag != b"s":
                self._fail("there is an interned string, which only Python 2 writes")
            n = self.length()
            content = PyBytes_FromStringAndSize(<const char *>self.at, n)
            self.at += n
            return content if raw else self.text_of(content)
        if tag == b"t":
            n = self.length()
            content = PyBytes_FromStringAndSize(<const char *>self.at, n)
            self.at += n
            self.interned.append(content)
            self.interned.append(None)
            n = len(self.interned) - 2
        else:
            n = 2 * <Py_ssize_t>self.number()
            if n < 0 or n >= len(self.interned):
                self._fail("there is no such interned string")
            content = self.interned[n]
            if raw and len(content) > _MAX_SHARED:  # few bytes would make many large arrays
                self._fail("the bytes of an array are those of something else")
        if raw:
            return content
        if self.interned[n + 1] is None:
            self.interned[n + 1] = self.text_of(content)
        return self.interned[n + 1]

    cdef text_of(self, bytes content):
        try:
            return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(content), len(content), NULL)
        except UnicodeDecodeError:
            return content

    cdef int enter(self) except -1:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self._fail(f"it is nested deeper than {_MAX_DEPTH} levels")
        return 0

    cdef sequence(self):
        cdef int32_t i, n = self.count()
        cdef list out
        self.enter()
        out = PyList_New(n)
        self.owed += n
        for i in range(n):
            self.owed -= 1
            item = self.value()
            Py_INCREF(item)
            PyList_SET_ITEM(out, i, item)
        self.depth -= 1
        return out

    cdef tuple_or_tagged(self):
        cdef int32_t i, n = self.count()
        cdef tuple out
        if n and self.end - self.at >= 8 and self.at[0] == b"u" and not self.at[5] and (
                self.at[1] == 3 and not (self.at[2] | self.at[3] | self.at[4])):
            return self.tagged(n - 1)
        self.enter()
        out = PyTuple_New(n)
        self.owed += n
        for i in range(n):
            self.owed -= 1
            item = self.value()
            Py_INCREF(item)
            PyTuple_SET_ITEM(out, i, item)
        self.depth -= 1
        return out

    cdef mapping(self):
        cdef dict out = {}
        cdef Py_ssize_t n = 0
        self.enter()
        while True:
            self.need(1)
            if self.at[0] == b"0":
                break
            key = self.value()
            PyDict_SetItem(out, key, self.value())
            n += 1
        self.at += 1
        if PyDict_Size(out) != n:
            self._fail("a dict has a key twice")
        self.depth -= 1
        return out

    cdef tagged(self, int32_t n):
        """What the tag says of the n items behind it."""
        cdef uint8_t first = self.at[6], second = self.at[7]
        if self.simple:
            self._fail("a dtype has a part that it cannot have")
        self.at += 8
        if first == b"n" and (second == b"d" or second == b"f") and n == 3:
            return self.array(second == b"f")
        if first == b"n" and second == b"s" and n == 2:
            return self.scalar()
        self.enter()
        if first == b"n" and second == b"o" and n:
            out = self.objects(n - 1)
        elif first == b"t" and second == b"u":
            out = tuple([self.value() for _ in range(n)])
        elif first == b"o" and second == b"d" and not n % 2:
            out = self.ordered(n // 2)
        elif (first == b"s" and second == b"e") or (first == b"f" and second == b"s"):
            items = [self.value() for _ in range(n)]
            out = set(items) if first == b"s" else frozenset(items)
            if len(out) != n:
                self._fail("a set has an item twice")
        else:
            self._fail(f"no tag is {bytes([first, second])} before {n} items")
        self.depth -= 1
        return out

    cdef ordered(self, int32_t n):
        out = OrderedDict()
        for _ in range(n):
            key = self.value()
            out[key] = self.value()
        if len(out) != n:
            self._fail("an ordered dict has a key twice")
        return out

    cdef array(self, bint fortran):
        cdef cnp.ndarray out
        cdef cnp.dtype dtype = self.dtype()
        cdef cnp.npy_intp dims[_MAX_DIMS]
        cdef int nd = self.shape(dims)
        cdef int i
        cdef Py_ssize_t n, itemsize = dtype.itemsize
        cdef bytes content = self.content()
        cdef bint empty = False
        for i in range(nd):
            if not dims[i]:
                empty = True
        n = 0 if empty else itemsize
        if not empty:
            for i in range(nd):
                if dims[i] > PyBytes_GET_SIZE(content) // n:
                    self._fail("an array is larger than its bytes")
                n *= dims[i]
        if n != PyBytes_GET_SIZE(content):
            self._fail("an array is smaller than its bytes")
        if empty and itemsize > _MAX_ITEM_OF_NONE:
            self._fail("an array of no elements has elements of too many bytes")
        Py_INCREF(dtype)  # which is stolen
        out = PyArray_Empty(nd, dims, dtype, fortran)
        if <PyObject *>cnp.PyArray_DESCR(out) != <PyObject *>dtype:  # times without a unit, swapped
            order = "F" if fortran else "C"
            return np.ndarray([dims[i] for i in range(nd)], dtype, content, order=order).copy(order)
        return self.filled(out, content)

    cdef objects(self, Py_ssize_t n):
        """An array of n objects."""
        cdef cnp.npy_intp dims[_MAX_DIMS]
        cdef int i, nd = self.shape(dims)
        shape = tuple([dims[i] for i in range(nd)])
        if math.prod(shape) != n:
            self._fail("an array of objects has another size than its shape")
        out = np.empty(n, object)
        for at in range(n):
            out[at] = self.value()
        return out.reshape(shape)

    cdef filled(self, cnp.ndarray out, bytes content):
        cdef uint8_t *to = <uint8_t *>cnp.PyArray_DATA(out)
        cdef Py_ssize_t i, n = PyBytes_GET_SIZE(content)
        memcpy(to, PyBytes_AS_STRING(content), n)
        kind = out.dtype.kind
        if kind == "b":
            for i in range(n):
                to[i] = to[i] != 0
        elif kind == "U" or kind == "V":
            _clean(out)
        return out

    cdef scalar(self):
        cdef cnp.dtype dtype
        cdef bytes content
        cdef cnp.ndarray held
        cdef uint8_t tag
        if self.end - self.at >= 7 and self.at[0] == b"u" and self.at[1] == 1 and not (
                self.at[2] | self.at[3] | self.at[4]):
            tag = self.at[5]
            self.at += 6
            if tag == b"S":
                return np.bytes_(self.content())
            if tag == b"U" and self.at[0] == b"u":
                return np.str_(self.value())
            self._fail("a numpy scalar is none")
        dtype = self.dtype()
        content = self.content()
        if dtype.itemsize != PyBytes_GET_SIZE(content):
            self._fail("a numpy scalar has another size than its bytes")
        if dtype.kind in b"biufcmM":  # as text, Cython 3.1 would compare str with int
            return PyArray_Scalar(PyBytes_AS_STRING(content), dtype, None)
        Py_INCREF(dtype)
        held = self.filled(PyArray_Empty(0, NULL, dtype, 0), content)
        return held[()]

    cdef bytes content(self):
        cdef uint8_t tag
        self.need(1)
        tag = self.at[0]
        if tag != b"s" and tag != b"t" and tag != b"R":
            self._fail("an array has no bytes")
        self.at += 1
        return self.string(tag, True)

    cdef int shape(self, cnp.npy_intp *dims) except -1:
        cdef int32_t i, n
        cdef uint8_t tag
        self.need(5)
        if self.at[0] != b"(":
            self._fail("an array has no shape")
        self.at += 1
        n = self.count()
        if n > _MAX_DIMS:
            self._fail(f"an array has {n} dimensions")
        for i in range(n):
            self.need(5)
            tag = self.at[0]
            if tag == b"i":
                self.at += 1
                dims[i] = self.number()
            elif tag == b"I" or tag == b"l":
                dims[i] = self.value()
            else:
                self._fail("a dimension of an array is not an integer")
            if dims[i] < 0 or dims[i] > 1 << 62:
                self._fail("a dimension of an array is out of range")
        return n

    cdef cnp.dtype dtype(self):
        cdef Py_ssize_t n
        cdef int depth = self.depth
        cdef PyObject *known
        self.need(5)
        if self.at[0] == b"u":
            self.at += 1
            n = self.length()
            self.at += n
            text = PyUnicode_DecodeUTF8(<const char *>self.at - n, min(n, 32), NULL)
            known = PyDict_GetItem(_dtypes, text)
            if known:
                return <object>known
            return _simple_dtype(text)
        self.depth = _MAX_DEPTH - _DTYPE_DEPTH
        self.simple = True
        data = self.value()
        self.simple = False
        self.depth = depth
        return _structured_dtype(data, _MAX_FIELD_DEPTH, [_MAX_FIELDS])


def _simple_dtype(text):
    """The dtype that a dtype's str names, and nothing else that numpy would understand."""
    if _SIMPLE_DTYPE.fullmatch(text) is None:
        raise ValueError(f"{text!r:.60} is not a dtype")
    if text.startswith("U", 1) and int(text[2:]) > _MAX_ITEMSIZE // 4:
        raise ValueError("a dtype is too large")
    dtype = np.dtype(text)
    if not dtype.itemsize:
        raise ValueError("a dtype has no bytes")
    if len(_dtypes) < _MAX_CACHED_DTYPES:
        _dtypes[text] = dtype
    return dtype


def _structured_dtype(data, depth, room):
    if type(data) is not tuple:
        raise ValueError("a dtype is none")
    kind, itemsize, described = data
    if kind != "V" or not _is_length(itemsize) or type(described) is not tuple:
        raise ValueError("a dtype is none")
    room[0] -= len(described)
    if not depth or room[0] < 0:
        raise ValueError("a dtype has too many fields")
    fields = [_field(*field, itemsize, depth - 1, room) for field in described]
    names, offsets, formats = zip(*fields, strict=True) if fields else ((), (), ())
    dtype = np.dtype({
        "names": list(names), "formats": list(formats), "offsets": list(offsets),
        "itemsize": itemsize})
    if dtype.names != names or dtype.itemsize != itemsize or not itemsize:
        raise ValueError("a dtype is none")
    return dtype


def _field(name, offset, data, end, depth, room):
    """Its name, offset and dtype. That it ends within the element is checked here: numpy adds
    offset and size as C ints, and reads where the sum leads."""
    shape = ()
    kind, *of = data  # no index: without bounds checks it would read beyond an empty tuple
    if kind == "A" and type(data) is tuple:
        data, shape = of
    if type(name) is not str or not _is_length(offset) or type(shape) is not tuple:
        raise ValueError("a field of a dtype is none")
    dtype = _structured_dtype(data, depth, room) if type(data) is tuple else _simple_dtype(data)
    size = dtype.itemsize
    for length in shape:
        if not _is_length(length):
            raise ValueError("a field of a dtype has no shape")
        size *= length
        if size > _MAX_ITEMSIZE:
            raise ValueError("a dtype is too large")
    if offset + size > end:
        raise ValueError("a field of a dtype ends beyond its element")
    return name, offset, np.dtype((dtype, shape)) if shape else dtype


def _is_length(value):
    return type(value) is int and 0 <= value <= _MAX_ITEMSIZE


def _clean(array):
    """Refuses characters that there are not; what else stands for True becomes 1."""
    dtype = array.dtype
    if dtype.names is not None:
        for name in dtype.names:
            _clean(array[name])
    elif dtype.kind == "U":
        unit = np.dtype(np.uint32).newbyteorder(dtype.byteorder)
        if array.size and np.ascontiguousarray(array).reshape(-1).view(unit).max() > 0x10FFFF:
            raise ValueError("an array has a character that there is not")
    elif dtype.kind == "b":
        np.not_equal(array.view(np.uint8), 0, out=array)


def decode(bytes data not None, bint python2=False):
    """The value that a worker packed.

    Args:
        data: all bytes of one value.
        python2: strings of Python 2 become str where they are UTF-8, else bytes.

    Raises:
        ValueError: these are not the bytes of a value.
    """
    cdef _Decoder decoder = _Decoder.__new__(_Decoder)
    decoder.start = decoder.at = <const uint8_t *>PyBytes_AS_STRING(data)
    decoder.end = decoder.at + PyBytes_GET_SIZE(data)
    decoder.python2 = python2
    if python2:
        decoder.interned = []
    try:
        value = decoder.value()
    except ValueError:
        raise
    except (TypeError, LookupError, OverflowError) as error:  # no key, no dtype, no array
        raise ValueError(f"before byte {decoder.at - decoder.start}: {error}") from None
    if decoder.at != decoder.end:
        raise ValueError(f"{decoder.end - decoder.at} bytes follow the value")
    return value
