// SPDX-License-Identifier: MIT
#include "runtime/proc/clone.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <thread>

#include "runtime/proc/child_process.h"
#include "runtime/proc/process_traits.h"
#include "runtime/proc/spawn.h"
#include "runtime/proc/start_request.h"
#include "runtime/proc/zygote_server.h"

namespace triga::proc {
namespace {

struct pipe_ends {
  unique_fd read;
  unique_fd write;

  pipe_ends() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::bad_alloc();
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

int exit_code_of(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1000 - errno;
  }
  return returncode_of(status);
}

// A child with one thread. ThreadSanitizer gives each child of fork() a second thread at once, its own; a
// child of _Fork(), which is fork() without handlers, gets none.
pid_t fork_with_one_thread() { return _Fork(); }

TEST(CloneAsSibling, TheCloneIsAChildOfTheCallersParent) {
  const pipe_ends told;
  const pid_t self = getpid();
  const pid_t middle = fork_with_one_thread();
  if (middle == 0) {
    auto made = clone_as_sibling();
    if (!made) _exit(50);
    if (made->pid == 0) {
      const bool right = getppid() == self && gettid() == static_cast<pid_t>(syscall(SYS_gettid));
      _exit(right ? 42 : 43);
    }
    const pid_t sibling = made->pid;
    _exit(write(told.write.get(), &sibling, sizeof sibling) == sizeof sibling ? 0 : 51);
  }
  ASSERT_EQ(exit_code_of(middle), 0);
  pid_t sibling = 0;
  ASSERT_EQ(read(told.read.get(), &sibling, sizeof sibling), static_cast<ssize_t>(sizeof sibling));
  EXPECT_EQ(exit_code_of(sibling), 42) << "its parent, who is this test, can wait for it";
}

// pthread_mutex of the error-checking kind and raise() go by the thread's id that the C library has cached.
TEST(CloneAsSibling, TheClonesCachedThreadIdIsItsOwn) {
  const pipe_ends told;
  const pid_t middle = fork_with_one_thread();
  if (middle == 0) {
    auto made = clone_as_sibling();
    if (!made) _exit(50);
    if (made->pid == 0) {
      raise(SIGUSR1);  // ends the clone, and nobody else
      _exit(44);
    }
    const pid_t sibling = made->pid;
    _exit(write(told.write.get(), &sibling, sizeof sibling) == sizeof sibling ? 0 : 51);
  }
  ASSERT_EQ(exit_code_of(middle), 0);
  pid_t sibling = 0;
  ASSERT_EQ(read(told.read.get(), &sibling, sizeof sibling), static_cast<ssize_t>(sizeof sibling));
  EXPECT_EQ(exit_code_of(sibling), -SIGUSR1);
}

// Up to glibc 2.41 the kernel tells the word, which later ones have searched for.
TEST(CachedThreadId, IsTheWordThatTheKernelTellsWhereItTellsOne) {
  const pid_t child = fork_with_one_thread();
  if (child == 0) {
    int* told = nullptr;
    const bool known = prctl(PR_GET_TID_ADDRESS, &told, 0, 0, 0) == 0 && told != nullptr && *told == getpid();
    int* const found = find_cached_thread_id();
    _exit(found != nullptr && *found == getpid() && (!known || found == told) ? 0 : 1);
  }
  EXPECT_EQ(exit_code_of(child), 0);
}

TEST(CloneAsSibling, IsRefusedWhileAnotherThreadRuns) {
  const pipe_ends gate;
  std::thread other([&] {
    char byte = 0;
    EXPECT_EQ(read(gate.read.get(), &byte, 1), 1);
  });
  auto made = clone_as_sibling();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error(), ENOTSUP);
  EXPECT_EQ(write(gate.write.get(), "x", 1), 1);
  other.join();
}

TEST(PlaceDescriptors, PutsEachAtItsNumberEvenWhereNumbersCross) {
  const pid_t child = fork();
  if (child == 0) {
    const pipe_ends first;
    const pipe_ends second;
    std::vector<unique_fd> given;
    given.emplace_back(dup(first.write.get()));
    given.emplace_back(dup(second.write.get()));
    // Each wants the number that the other has.
    const std::vector<int> targets{given[1].get(), given[0].get()};
    auto placed = place_descriptors(std::move(given), targets);
    if (!placed || *placed != targets) _exit(1);
    if (write(targets[0], "1", 1) != 1 || write(targets[1], "2", 1) != 1) _exit(2);
    char byte = 0;
    if (read(first.read.get(), &byte, 1) != 1 || byte != '1') _exit(3);
    if (read(second.read.get(), &byte, 1) != 1 || byte != '2') _exit(4);
    _exit(fcntl(targets[0], F_GETFD) == 0 ? 0 : 5);
  }
  EXPECT_EQ(exit_code_of(child), 0);
}

TEST(Spawn, TheProgramHasItsDescriptorsFromThreeOnAndNoOthers) {
  const pipe_ends out;
  const unique_fd inheritable(dup(out.write.get()));
  const std::string script = "echo given >&3; test ! -e /proc/$$/fd/" + std::to_string(inheritable.get());
  auto child =
      spawn({.path = "/bin/sh", .arguments = {"sh", "-c", script}, .descriptors = {out.write.get()}});
  ASSERT_TRUE(child);
  ASSERT_EQ(child->await_end(never), wait_outcome::ended);
  EXPECT_EQ(child->reap(), 0) << "a descriptor that nobody listed was inherited";
  std::array<char, 200> text{};
  const ssize_t size = read(out.read.get(), text.data(), text.size());
  ASSERT_GT(size, 0);
  EXPECT_EQ(std::string(text.data(), static_cast<std::size_t>(size)), "given\n");
}

TEST(Spawn, AProgramThatIsNotThereIsAnError) {
  auto child = spawn({.path = "/nonexistent/program", .arguments = {"program"}, .descriptors = {}});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error(), ENOENT);
}

TEST(ProcessTraits, AreReadAndTakenOver) {
  auto now = current_traits();
  ASSERT_TRUE(now);
  EXPECT_EQ(current_traits()->fixed, now->fixed);
  const pid_t child = fork();
  if (child == 0) {
    inherited_traits wanted = now->inherited;
    wanted.file_mode_mask = 0027;
    wanted.blocked_signals = std::uint64_t{1} << (SIGUSR2 - 1);
    assume_traits(wanted);
    auto got = current_traits();
    _exit(got && got->inherited.file_mode_mask == 0027 &&
                  got->inherited.blocked_signals == wanted.blocked_signals
              ? 0
              : 1);
  }
  EXPECT_EQ(exit_code_of(child), 0);
}

TEST(ZygoteServer, EndsWithItsParentEvenWhileTheControlSocketIsHeldOpen) {
  pipe_ends control;
  const pid_t parent = fork();
  if (parent == 0) {
    pause();
    _exit(0);
  }
  zygote_server server(open_pidfd(parent).value_or_throw("pidfd_open"), std::move(control.read), unique_fd(),
                       unique_fd());
  ASSERT_EQ(kill(parent, SIGKILL), 0);
  EXPECT_EQ(server.await(), zygote_event::over);
  EXPECT_EQ(exit_code_of(parent), -SIGKILL);
}

TEST(ZygoteServer, SeesRequestsAndConnections) {
  pipe_ends control;
  pipe_ends listener;
  pipe_ends alive;
  zygote_server server(open_pidfd(getpid()).value_or_throw("pidfd_open"), std::move(control.read),
                       std::move(listener.read), std::move(alive.read));
  ASSERT_EQ(write(listener.write.get(), "x", 1), 1);
  EXPECT_EQ(server.await(), zygote_event::connection);
  ASSERT_EQ(write(control.write.get(), "x", 1), 1);
  EXPECT_EQ(server.await(), zygote_event::request);
  EXPECT_TRUE(server.drop_control()) << "it goes on while somebody keeps it alive";
  alive.write.reset();
  EXPECT_EQ(server.await(), zygote_event::over);
}

}  // namespace
}  // namespace triga::proc
