// SPDX-License-Identifier: MIT
// Work that needs no GIL: native functions, loops over them, files and buffers.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bindings/native/function.h"
#include "bindings/native/function_loop.h"
#include "bindings/native/item_loop.h"
#include "bindings/register.h"
#include "runtime/codec/library.h"

namespace triga {

namespace py11 = pybind11;

namespace {

// A missing library is an OSError, as it is for ctypes; an unknown name a ValueError, as it is for hashlib.
template <class Make>
auto translated(Make make) -> decltype(make()) {
  try {
    return make();
  } catch (const codec::library_missing& error) {
    PyErr_SetString(PyExc_OSError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  }
  throw py11::error_already_set();
}

codec::digest_algorithm algorithm_of(const std::string& name, const std::string& beside) {
  return translated([&] { return codec::digest_algorithm(name, beside); });
}

std::shared_ptr<const codec::compression> compression_of(const std::string& name) {
  return translated([&] { return std::shared_ptr<const codec::compression>(codec::find_compression(name)); });
}

std::shared_ptr<buffer_coding> compressing(const py11::list& items, const std::string& name,
                                           std::optional<int> level) {
  auto with = compression_of(name);
  const auto range = with->level_range();
  const int chosen = level.value_or(range.usual);
  if (chosen < range.least || chosen > range.greatest) {
    PyErr_Format(PyExc_ValueError, "level: expected %d to %d for %s, got %d", range.least, range.greatest,
                 name.c_str(), chosen);
    throw py11::error_already_set();
  }
  return std::make_shared<buffer_coding>(items, std::move(with), buffer_coding::direction::compress, 0,
                                         chosen);
}

std::shared_ptr<buffer_coding> decompressing(const py11::list& items, const std::string& name,
                                             std::optional<std::size_t> max_size) {
  return std::make_shared<buffer_coding>(items, compression_of(name), buffer_coding::direction::decompress,
                                         max_size.value_or(SIZE_MAX), 0);
}

// (name, address, context) of a capsule.
py11::tuple open_capsule(const py11::object& given) {
  if (!PyCapsule_CheckExact(given.ptr())) throw py11::type_error("expected a PyCapsule");
  const char* const name = PyCapsule_GetName(given.ptr());
  if (name == nullptr) {
    PyErr_Clear();
    throw py11::type_error("the capsule has no name; expected a C signature, such as 'double (double)'");
  }
  void* const address = PyCapsule_GetPointer(given.ptr(), name);
  if (address == nullptr) throw py11::error_already_set();
  void* const context = PyCapsule_GetContext(given.ptr());
  if (context == nullptr && PyErr_Occurred()) throw py11::error_already_set();
  return py11::make_tuple(name, reinterpret_cast<std::uintptr_t>(address),
                          reinterpret_cast<std::uintptr_t>(context));
}

void register_loops(py11::module_& core) {
  py11::class_<native_loop, native_work, std::shared_ptr<native_loop>>(core, "NativeLoop")
      .def("run", &native_loop::run_with, py11::arg("helpers"), py11::arg("threads"), py11::arg("tick"))
      .def("cancel", &native_loop::cancel)
      .def("cancelled", &native_loop::cancelled);
  py11::class_<function_loop, native_loop, std::shared_ptr<function_loop>>(core, "FunctionLoop")
      .def(py11::init<std::shared_ptr<const native_function>, std::uint64_t, std::uint64_t, py11::tuple>(),
           py11::arg("function"), py11::arg("n"), py11::arg("chunk"), py11::arg("arguments"))
      .def("failure", &function_loop::failure);
  py11::class_<item_loop, native_loop, std::shared_ptr<item_loop>>(core, "ItemLoop")
      .def("errors", &item_loop::errors);
  py11::class_<file_hashing, item_loop, std::shared_ptr<file_hashing>>(core, "FileHashing")
      .def(py11::init(
               [](std::vector<std::string> paths, const std::string& algorithm, const std::string& beside) {
                 return std::make_shared<file_hashing>(std::move(paths), algorithm_of(algorithm, beside));
               }),
           py11::arg("paths"), py11::arg("algorithm"), py11::arg("beside"))
      .def("results", &file_hashing::results);
  py11::class_<buffer_hashing, item_loop, std::shared_ptr<buffer_hashing>>(core, "BufferHashing")
      .def(py11::init([](const py11::list& items, const std::string& algorithm, const std::string& beside) {
             return std::make_shared<buffer_hashing>(items, algorithm_of(algorithm, beside));
           }),
           py11::arg("items"), py11::arg("algorithm"), py11::arg("beside"))
      .def("results", &buffer_hashing::results);
  py11::class_<file_sizes, item_loop, std::shared_ptr<file_sizes>>(core, "FileSizes")
      .def(py11::init<std::vector<std::string>>(), py11::arg("paths"));
  py11::class_<file_reading, item_loop, std::shared_ptr<file_reading>>(core, "FileReading")
      .def(py11::init<const file_sizes&>(), py11::arg("sizes"))
      .def("results", &file_reading::results);
  py11::class_<buffer_coding, item_loop, std::shared_ptr<buffer_coding>>(core, "BufferCoding")
      .def_static("compressing", &compressing, py11::arg("items"), py11::arg("name"), py11::arg("level"))
      .def_static("decompressing", &decompressing, py11::arg("items"), py11::arg("name"),
                  py11::arg("max_size"))
      .def("release_buffers", &buffer_coding::release_buffers);
  py11::class_<output_copying, item_loop, std::shared_ptr<output_copying>>(core, "OutputCopying")
      .def(py11::init<const buffer_coding&>(), py11::arg("source"), py11::keep_alive<1, 2>())
      .def("results", &output_copying::results);
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): without conversions load() compares types and throws nothing
native_work* native_work_of(PyObject* object) noexcept {
  py11::detail::make_caster<native_work> caster;
  return caster.load(object, false) ? static_cast<native_work*>(caster) : nullptr;
}

void register_native(py11::module_& core) {
  [[maybe_unused]] const py11::class_<native_work, std::shared_ptr<native_work>> work(core, "NativeWork");
  py11::class_<native_function, std::shared_ptr<native_function>>(core, "NativeFunction")
      .def(py11::init<std::uintptr_t, std::string, py11::tuple, py11::list, std::uintptr_t, py11::object>(),
           py11::arg("address"), py11::arg("name"), py11::arg("result"), py11::arg("parameters"),
           py11::arg("user_data"), py11::arg("keep"))
      .def_property_readonly("name", &native_function::name)
      .def(
          "call",
          [](std::shared_ptr<native_function> self, const py11::tuple& arguments) {
            return std::make_shared<native_call>(std::move(self), arguments);
          },
          py11::arg("arguments"));
  core.def("open_capsule", &open_capsule, py11::arg("capsule"));
  [[maybe_unused]] const py11::class_<native_call, native_work, std::shared_ptr<native_call>> call(
      core, "NativeCall");
  register_loops(core);
}

}  // namespace triga
