// SPDX-License-Identifier: MIT
#include "runtime/codec/library.h"

#include <dlfcn.h>

namespace triga::codec {

library::library(std::span<const char* const> names, const char* package, const std::string& beside)
    : package_(package), first_name_(names.front()) {
  for (const int mode : {RTLD_NOW | RTLD_NOLOAD, RTLD_NOW}) {
    for (const char* const name : names) {
      handle_ = dlopen(name, mode | RTLD_LOCAL);
      if (handle_ != nullptr) return;
    }
  }
  // dlsym() on it looks through the libraries that it was linked with.
  if (!beside.empty()) handle_ = dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ != nullptr) return;
  throw library_missing(std::string(first_name_) + " cannot be loaded; install the package " + package_ +
                        " (its name on Debian and Ubuntu)");
}

void* library::try_address_of(const char* name) const noexcept { return dlsym(handle_, name); }

void* library::address_of(const char* name) const {
  if (void* const address = try_address_of(name)) return address;
  throw library_missing(std::string(first_name_) + " has no function " + name +
                        ": it is too old or another library; install a newer package " + package_);
}

}  // namespace triga::codec
