/* SPDX-License-Identifier: MIT
 *
 * libFuzzer in a Python process, for the compiled decoder: codec.py loads this with its lock held.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef int (*target_t)(const uint8_t *data, size_t size);
int LLVMFuzzerRunDriver(int *argc, char ***argv, target_t target);
int fuzz(PyObject *decoder, PyObject *refusal, int argc, char **argv);

static PyObject *decode, *refused;

static int one(const uint8_t *data, size_t size) {
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    PyObject *value = bytes ? PyObject_CallOneArg(decode, bytes) : NULL;
    if (!value && !PyErr_ExceptionMatches(refused)) {
        PyErr_Print();
        abort();
    }
    PyErr_Clear();
    Py_XDECREF(value);
    Py_XDECREF(bytes);
    return 0;
}

/* Calls the decoder with one input after the other; whatever else it raises than `refusal` ends it. */
int fuzz(PyObject *decoder, PyObject *refusal, int argc, char **argv) {
    decode = decoder;
    refused = refusal;
    return LLVMFuzzerRunDriver(&argc, &argv, one);
}
