// SPDX-License-Identifier: MIT
#include "bindings/processes/task_meter.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <ctime>
#include <string_view>

#include "runtime/base/unique_fd.h"

namespace triga {
namespace {

std::int64_t nanoseconds_of(clockid_t clock) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

void set_peak_back() noexcept {
  const unique_fd file(::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC));
  if (file) [[maybe_unused]]
    const ssize_t ignored = ::write(file.get(), "5", 1);
}

// VmHWM of /proc/self/status, in bytes; 0 if /proc is not mounted.
std::int64_t peak() noexcept {
  const unique_fd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  std::array<char, 2048> text{};
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : 0;
  const std::string_view all(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  const std::size_t at = all.find("VmHWM:");
  if (at == std::string_view::npos) return 0;
  const std::size_t digits = all.find_first_of("0123456789", at);
  std::int64_t kibibytes = 0;
  if (digits != std::string_view::npos)
    std::from_chars(all.data() + digits, all.data() + all.size(), kibibytes);
  return kibibytes * 1024;
}

}  // namespace

task_meter::task_meter() noexcept {
  set_peak_back();
  cpu_ = nanoseconds_of(CLOCK_PROCESS_CPUTIME_ID);
  wall_ = nanoseconds_of(CLOCK_MONOTONIC);
}

task_usage task_meter::read() const noexcept {
  return {.cpu_nanoseconds = nanoseconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_,
          .wall_nanoseconds = nanoseconds_of(CLOCK_MONOTONIC) - wall_,
          .peak_bytes = peak()};
}

}  // namespace triga
