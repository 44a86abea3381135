// SPDX-License-Identifier: MIT
#include "runtime/proc/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/base/scope_exit.h"

namespace triga::proc {
namespace {

constexpr int first_target = 3;

// Copies above every target number, so that placing one descriptor cannot overwrite the next.
result<std::vector<unique_fd>> copies_out_of_the_way(const std::vector<int>& descriptors) {
  const int above = first_target + static_cast<int>(descriptors.size());
  std::vector<unique_fd> copies;
  for (const int descriptor : descriptors) {
    copies.emplace_back(fcntl(descriptor, F_DUPFD_CLOEXEC, above));
    if (!copies.back()) return result<std::vector<unique_fd>>::last_error();
  }
  return copies;
}

int place(posix_spawn_file_actions_t& actions, const std::vector<unique_fd>& copies) {
  int target = first_target;
  for (const unique_fd& copy : copies) {
    if (const int error = posix_spawn_file_actions_adddup2(&actions, copy.get(), target++)) return error;
  }
  return posix_spawn_file_actions_addclosefrom_np(&actions, target);
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& each : strings) pointers.push_back(each.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

result<child_process> spawn(const spawn_options& options) {
  using returned = result<child_process>;
  auto copies = copies_out_of_the_way(options.descriptors);
  if (!copies) return returned::failure(copies.error());
  posix_spawn_file_actions_t actions;
  if (const int error = posix_spawn_file_actions_init(&actions)) return returned::failure(error);
  const scope_exit destroy([&] { posix_spawn_file_actions_destroy(&actions); });
  if (const int error = place(actions, *copies)) return returned::failure(error);
  std::vector<std::string> arguments = options.arguments;
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, options.path.c_str(), &actions, nullptr, pointers_to(arguments).data(), environ);
  if (error != 0) return returned::failure(error);
  return child_process::open(pid);
}

}  // namespace triga::proc
