// SPDX-License-Identifier: MIT
#include "runtime/aio/file_operation.h"

#include <unistd.h>

#include <cerrno>

namespace triga::aio {
namespace {

std::int64_t call(file_operation& operation) noexcept {
  const bool positioned = operation.offset >= 0;
  switch (operation.what) {
    case verb::open:
      return ::open(operation.path.c_str(), operation.flags, operation.mode);
    case verb::read:
      return positioned ? ::pread(operation.fd, operation.data, operation.size, operation.offset)
                        : ::read(operation.fd, operation.data, operation.size);
    case verb::write:
      return positioned ? ::pwrite(operation.fd, operation.data, operation.size, operation.offset)
                        : ::write(operation.fd, operation.data, operation.size);
    case verb::sync:
      return ::fsync(operation.fd);
    case verb::size:
      return ::statx(operation.fd, "", AT_EMPTY_PATH, STATX_SIZE, &operation.about);
    case verb::truncate:
      return ::ftruncate(operation.fd, operation.offset);
    case verb::close:
      return ::close(operation.fd);
  }
  errno = EINVAL;
  return -1;
}

}  // namespace

std::int64_t outcome_of(const file_operation& operation, std::int64_t value) noexcept {
  return value == 0 && operation.what == verb::size ? static_cast<std::int64_t>(operation.about.stx_size)
                                                    : value;
}

std::int64_t perform(file_operation& operation) noexcept {
  for (;;) {
    const std::int64_t value = call(operation);
    if (value >= 0) return outcome_of(operation, value);
    // close() must not be tried again: the descriptor is gone.
    if (errno != EINTR || operation.what == verb::close) return -errno;
  }
}

}  // namespace triga::aio
