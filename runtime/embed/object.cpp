// SPDX-License-Identifier: MIT
#include "runtime/embed/object.h"

#include "runtime/embed/attachment.h"

namespace triga::embed {
namespace {

void give_back(PyObject* reference) {
  if (reference == nullptr || Py_IsInitialized() == 0) return;
  const attached gil;
  Py_DECREF(reference);
}

// The exception that is set, as one object with its traceback attached.
object take_exception() {
#if PY_VERSION_HEX >= 0x030C0000
  return object::owning(PyErr_GetRaisedException());
#else
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return object::owning(value);
#endif
}

// str(object), or what can be said where that raises.
std::string text_of(PyObject* value) {
  const object text = object::owning(value != nullptr ? PyObject_Str(value) : nullptr);
  Py_ssize_t size = 0;
  const char* const characters = text ? PyUnicode_AsUTF8AndSize(text.get(), &size) : nullptr;
  if (characters != nullptr) return {characters, static_cast<std::size_t>(size)};
  PyErr_Clear();
  return "<no text: its str() failed>";
}

std::string type_name(PyObject* exception) {
  auto* const type = reinterpret_cast<PyObject*>(Py_TYPE(exception));
  const object module = object::owning(PyObject_GetAttrString(type, "__module__"));
  const object name = object::owning(PyObject_GetAttrString(type, "__qualname__"));
  PyErr_Clear();
  const std::string where = text_of(module.get());
  return where == "builtins" ? text_of(name.get()) : where + "." + text_of(name.get());
}

// "".join(traceback.format_exception(exception))
std::string formatted(PyObject* exception) {
  const object module = object::owning(PyImport_ImportModule("traceback"));
  const object lines = object::owning(
      module ? PyObject_CallMethod(module.get(), "format_exception", "O", exception) : nullptr);
  const object empty = object::owning(PyUnicode_FromString(""));
  const object joined = object::owning(lines && empty ? PyUnicode_Join(empty.get(), lines.get()) : nullptr);
  if (joined) return text_of(joined.get());
  PyErr_Clear();
  return "<no traceback: it could not be formatted>";
}

}  // namespace

object object::owning(PyObject* reference) {
  object made;
  if (reference != nullptr) made.reference_ = std::shared_ptr<PyObject>(reference, give_back);
  return made;
}

outcome<object> object::attribute(const std::string& name) const {
  const attached gil;
  object found = owning(PyObject_GetAttrString(get(), name.c_str()));
  if (!found) return take_failure();
  return found;
}

failure take_failure() {
  const object exception = take_exception();
  failure error;
  error.type = type_name(exception.get());
  error.message = text_of(exception.get());
  error.traceback = formatted(exception.get());
  return error;
}

}  // namespace triga::embed
