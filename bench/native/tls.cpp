// SPDX-License-Identifier: MIT
// What TLS and the sockets cost a program that does nothing else: both ends of one loopback connection in one
// process, OpenSSL on memory BIOs, epoll between any two steps.
//
//   tls echo SIZE COUNT     COUNT messages there and back
//   tls bulk SIZE COUNT     COUNT messages there
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "openssl.h"

namespace {

const auto bio_new = named<BIO*(const void*)>("BIO_new");
const auto bio_s_mem = named<const void*()>("BIO_s_mem");
const auto bio_read = named<int(BIO*, void*, int)>("BIO_read");
const auto bio_write = named<int(BIO*, const void*, int)>("BIO_write");
const auto ssl_set_bio = named<void(SSL*, BIO*, BIO*)>("SSL_set_bio");

// With a key and a certificate of its own, as bench/programs/tls.py makes them, which are in no file
// afterwards.
SSL_CTX* server_context() {
  constexpr int pem = 1;
  using use_file = int(SSL_CTX*, const char*, int);
  std::string folder = (std::filesystem::temp_directory_path() / "triga-bench-tls-XXXXXX").string();
  require(mkdtemp(folder.data()) != nullptr, "mkdtemp");
  const std::string key = folder + "/key.pem";
  const std::string certificate = folder + "/certificate.pem";
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
      "-keyout '" +
      key + "' -out '" + certificate + "' 2>/dev/null";
  SSL_CTX* const context =
      named<SSL_CTX*(const void*)>("SSL_CTX_new")(named<const void*()>("TLS_server_method")());
  const bool loaded =
      std::system(command.c_str()) == 0 &&
      named<use_file>("SSL_CTX_use_certificate_file")(context, certificate.c_str(), pem) == 1 &&
      named<use_file>("SSL_CTX_use_PrivateKey_file")(context, key.c_str(), pem) == 1;
  std::filesystem::remove_all(folder);
  require(loaded, "making a key and a certificate with the command openssl");
  return context;
}

constexpr std::size_t piece = 256 * 1024;  // what a loop reads at once

class end {
 public:
  end(SSL_CTX* context, int socket, const char* state)
      : ssl_(ssl_new(context)), socket_(socket), memory_(piece) {
    ssl_set_bio(ssl_, in_, out_);
    named<void(SSL*)>(state)(ssl_);
  }

  [[nodiscard]] int socket() const { return socket_; }
  [[nodiscard]] bool shake_hands() {
    const bool done = ssl_do_handshake(ssl_) == 1;
    send();
    return done;
  }

  void write(const std::vector<char>& message) {
    const int size = static_cast<int>(message.size());
    require(ssl_write(ssl_, message.data(), size) == size, "SSL_write");
    send();
  }

  // Sends what is encrypted, as far as the kernel takes it; what it does not is sent by the next call.
  void send() {
    for (;;) {
      if (sent_ == pending_) {
        pending_ = std::max(0, bio_read(out_, memory_.data(), static_cast<int>(piece)));
        sent_ = 0;
        if (pending_ == 0) return;
      }
      const ssize_t size =
          ::send(socket_, memory_.data() + sent_, static_cast<std::size_t>(pending_ - sent_), 0);
      if (size < 0) return require(errno == EAGAIN, "send");
      sent_ += static_cast<int>(size);
    }
  }

  // Receives once. Returns how many bytes that decrypts to.
  std::size_t receive() {
    static std::vector<char> received(piece);
    static std::vector<char> decrypted(piece);
    const ssize_t size = ::recv(socket_, received.data(), piece, 0);
    if (size < 0) return require(errno == EAGAIN, "recv"), 0;
    require(bio_write(in_, received.data(), static_cast<int>(size)) == size, "BIO_write");
    std::size_t total = 0;
    for (int got = 0; (got = ssl_read(ssl_, decrypted.data(), static_cast<int>(piece))) > 0;) {
      total += static_cast<std::size_t>(got);
    }
    return total;
  }

 private:
  SSL* ssl_;
  BIO* in_ = bio_new(bio_s_mem());
  BIO* out_ = bio_new(bio_s_mem());
  int socket_;
  std::vector<char> memory_;
  int pending_ = 0;  // encrypted bytes in memory_, of which `sent_` are sent
  int sent_ = 0;
};

struct pair {
  int client = -1;
  int server = -1;
};

pair connect_to_self() {
  const int listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  check(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  check(listen(listener, 1), "listen");
  check(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  pair made;
  made.client = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
  check(connect(made.client, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
  made.server = check(accept(listener, nullptr, nullptr), "accept");
  for (const int each : {made.client, made.server}) {
    const int one = 1;
    check(setsockopt(each, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "setsockopt");
    check(fcntl(each, F_SETFL, O_NONBLOCK), "fcntl");
  }
  close(listener);
  return made;
}

// Waits until one of the ends can read, as a loop does.
class poller {
 public:
  explicit poller(const pair& sockets) : epoll_(check(epoll_create1(0), "epoll_create1")) {
    for (const int each : {sockets.client, sockets.server}) {
      epoll_event wanted{};
      wanted.events = EPOLLIN;
      wanted.data.fd = each;
      check(epoll_ctl(epoll_, EPOLL_CTL_ADD, each, &wanted), "epoll_ctl");
    }
  }

  void wait() const {
    epoll_event ready[2];
    check(epoll_wait(epoll_, ready, 2, 1000), "epoll_wait");
  }

 private:
  int epoll_;
};

// One message's way.
void pass(end& from, end& to, const poller& ready, const std::vector<char>& message) {
  from.write(message);
  for (std::size_t got = 0; got < message.size();) {
    ready.wait();
    got += to.receive();
    from.send();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: tls echo|bulk SIZE COUNT\n", stderr), 2;
  const bool echoes = argv[1] == std::string("echo");
  const std::vector<char> message(static_cast<std::size_t>(std::atol(argv[2])), 'x');
  const int count = std::atoi(argv[3]);
  const pair sockets = connect_to_self();
  const poller ready(sockets);
  end client(client_context(), sockets.client, "SSL_set_connect_state");
  end server(server_context(), sockets.server, "SSL_set_accept_state");
  for (bool ours = client.shake_hands(), theirs = false; !ours || !theirs;) {
    ready.wait();
    server.receive();
    theirs = server.shake_hands();
    ready.wait();
    client.receive();
    ours = client.shake_hands();
  }
  const auto run = [&](int times) {
    for (int i = 0; i < times; ++i) {
      pass(client, server, ready, message);
      if (echoes) pass(server, client, ready, message);
    }
  };
  run(count / 10 + 1);
  const std::int64_t begin = nanoseconds(CLOCK_MONOTONIC);
  const std::int64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  run(count);
  print_result(count, nanoseconds(CLOCK_MONOTONIC) - begin, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}
