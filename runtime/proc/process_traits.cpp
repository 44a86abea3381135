// SPDX-License-Identifier: MIT
#include "runtime/proc/process_traits.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "runtime/base/unique_fd.h"

namespace triga::proc {
namespace {

// One read tells credentials, capabilities, signals and the file mode mask of the calling thread; the mask
// has no other way to be read that would not change it for a moment, under the feet of other threads.
result<std::string> read_status() {
  const unique_fd file(open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC));
  if (!file) return result<std::string>::last_error();
  std::string text(8192, '\0');
  const ssize_t size = read(file.get(), text.data(), text.size());
  if (size < 0) return result<std::string>::last_error();
  text.resize(static_cast<std::size_t>(size));
  return text;
}

// The value of the line "Name:\tvalue"; empty if this kernel has no such line.
std::string_view field(std::string_view text, std::string_view name) {
  std::string start = "\n";
  start.append(name).append(":\t");
  const std::size_t at = text.find(start);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = text.substr(at + start.size());
  return rest.substr(0, rest.find('\n'));
}

std::uint64_t number(std::string_view value, int base) {
  return std::strtoull(std::string(value).c_str(), nullptr, base);
}

template <class Value>
void append(std::string& bytes, const Value& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_limits(std::string& bytes) {
  for (int which = 0; which < RLIM_NLIMITS; ++which) {
    rlimit limit{};
    getrlimit(static_cast<__rlimit_resource_t>(which), &limit);
    append(bytes, limit.rlim_cur);
    append(bytes, limit.rlim_max);
  }
}

// The identity of what a link of /proc/self leads to.
void append_identity(std::string& bytes, const char* path) {
  struct stat found{};
  if (stat(path, &found) != 0) found = {};
  append(bytes, found.st_dev);
  append(bytes, found.st_ino);
}

// What a link of /proc/self/ns says, "mnt:[4026531841]": the number is the namespace's. To follow it takes
// the kernel longer.
void append_target(std::string& bytes, const char* path) {
  std::array<char, 64> target{};
  const ssize_t size = readlink(path, target.data(), target.size());
  bytes.append(target.data(), size < 0 ? 0 : static_cast<std::size_t>(size)).append("\n");
}

std::string fixed_traits(std::string_view status) {
  std::string bytes;
  for (const char* name : {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                           "NoNewPrivs", "Seccomp", "Seccomp_filters"}) {
    bytes.append(field(status, name)).append("\n");
  }
  append_limits(bytes);
  append(bytes, getsid(0));
  append(bytes, sched_getscheduler(0));
  append_identity(bytes, "/proc/self/root");
  for (const char* path : {"/proc/self/ns/mnt", "/proc/self/ns/net", "/proc/self/ns/user",
                           "/proc/self/ns/pid_for_children", "/proc/self/ns/cgroup"}) {
    append_target(bytes, path);
  }
  return bytes;
}

}  // namespace

result<process_traits> current_traits() {
  const auto status = read_status();
  if (!status) return result<process_traits>::failure(status.error());
  process_traits traits{.inherited = {}, .fixed = fixed_traits(*status)};
  inherited_traits& given = traits.inherited;
  given.blocked_signals = number(field(*status, "SigBlk"), 16);
  given.ignored_signals = number(field(*status, "SigIgn"), 16);
  given.file_mode_mask = static_cast<std::uint32_t>(number(field(*status, "Umask"), 8));
  CPU_ZERO(&given.processors);
  sched_getaffinity(0, sizeof given.processors, &given.processors);
  given.process_group = getpgrp();
  given.niceness = getpriority(PRIO_PROCESS, 0);
  return traits;
}

void assume_traits(const inherited_traits& traits) noexcept {
  umask(static_cast<mode_t>(traits.file_mode_mask));
  if (getpgrp() != traits.process_group) setpgid(0, traits.process_group);
  if (getpriority(PRIO_PROCESS, 0) != traits.niceness) setpriority(PRIO_PROCESS, 0, traits.niceness);
  cpu_set_t processors;
  CPU_ZERO(&processors);
  sched_getaffinity(0, sizeof processors, &processors);
  if (CPU_EQUAL(&processors, &traits.processors) == 0) {
    sched_setaffinity(0, sizeof traits.processors, &traits.processors);
  }
  // The kernel's own call: glibc's would leave out the two signals that it keeps for itself.
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &traits.blocked_signals, nullptr, sizeof traits.blocked_signals);
}

}  // namespace triga::proc
