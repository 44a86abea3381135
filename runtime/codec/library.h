// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <stdexcept>
#include <string>

namespace triga::codec {

// A shared library of the system that is not there, or is too old: what() names the package to install.
class library_missing : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A shared library that is loaded at run time, so that triga can be built without its headers and runs
// without it. Never unloaded.
class library {
 public:
  // Loads the first of `names` that the process has loaded already, else the first that can be loaded, else
  // `beside`: a library linked with the wanted one (an extension module of Python; empty: none), which has it
  // under whatever name. `package`: what to install where there is none. Throws library_missing.
  library(std::span<const char* const> names, const char* package, const std::string& beside = {});

  // Sets `function` to the library's function of this name. Throws library_missing.
  template <class Function>
  void find(const char* name, Function*& function) const {
    // The one way from dlsym()'s object pointer to a function pointer, by POSIX.
    function = reinterpret_cast<Function*>(address_of(name));
  }

  // False: it has no such function, and `function` is not touched.
  template <class Function>
  bool try_find(const char* name, Function*& function) const noexcept {
    void* const address = try_address_of(name);
    if (address == nullptr) return false;
    function = reinterpret_cast<Function*>(address);
    return true;
  }

 private:
  [[nodiscard]] void* address_of(const char* name) const;
  [[nodiscard]] void* try_address_of(const char* name) const noexcept;

  void* handle_ = nullptr;
  const char* package_;
  const char* first_name_;
};

}  // namespace triga::codec
