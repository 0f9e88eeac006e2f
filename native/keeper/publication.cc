#include "keeper/publication.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keeper/options.h"

namespace stasis::keeper {

namespace {

Failure failure_to_publish(const Publication& publication, int error) {
  const auto* four = reinterpret_cast<const sockaddr_in*>(&publication.address);
  const auto* six = reinterpret_cast<const sockaddr_in6*>(&publication.address);
  const bool is_six = publication.address.ss_family == AF_INET6;
  char address[INET6_ADDRSTRLEN] = "", doing[128];
  inet_ntop(publication.address.ss_family, is_six ? static_cast<const void*>(&six->sin6_addr) : &four->sin_addr,
            address, sizeof address);
  snprintf(doing, sizeof doing, is_six ? "publishing [%s]:%d" : "publishing %s:%d", address, ntohs(four->sin_port));
  return failure_of_errno(error, doing);
}

}  // namespace

bool parse_publication(const char* text, Publication& publication) {
  char words[128];
  if (snprintf(words, sizeof words, "%s", text) >= static_cast<int>(sizeof words)) return false;
  char* rest = words;
  const char* protocol = strsep(&rest, ",");
  const char* address = strsep(&rest, ",");
  const char* port_text = strsep(&rest, ",");
  long port = 0, inside = 0;
  if (rest == nullptr || !parse_number(port_text, 1, 65535, port) || !parse_number(rest, 1, 65535, inside))
    return false;
  if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0) return false;
  publication.datagram = protocol[0] == 'u';
  publication.port = static_cast<u16>(inside);
  auto* four = reinterpret_cast<sockaddr_in*>(&publication.address);
  auto* six = reinterpret_cast<sockaddr_in6*>(&publication.address);
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<u16>(port));
    publication.address_bytes = sizeof *four;
  } else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<u16>(port));
    publication.address_bytes = sizeof *six;
  } else {
    return false;
  }
  return true;
}

int open_publication(const Publication& publication, Failure& failure) {
  const int type = (publication.datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const int one = 1;
  const int fd = socket(publication.address.ss_family, type, 0);
  bool good = fd >= 0;
  // For datagrams the option would let two of them share the port.
  if (good && !publication.datagram) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (good && publication.address.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  good = good && bind(fd, reinterpret_cast<const sockaddr*>(&publication.address), publication.address_bytes) == 0 &&
         (publication.datagram || listen(fd, SOMAXCONN) == 0);
  if (good) return fd;
  failure = failure_to_publish(publication, errno);
  if (fd >= 0) close(fd);
  return -1;
}

}  // namespace stasis::keeper
