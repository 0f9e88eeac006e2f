// TCP connections to peers outside the application, which a holder has (wire/held.h): its sockets are taken over, and go on in the
// last instant of the restore. Until then nothing is sent and nothing arrives; should the restore fail, the holder still has them.
//
// The connection to the holder stays open until then, in the first process, at a number that no program has.
#include <linux/fcntl.h>

#include "runtime/restore_sockets.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/held.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::HeldAnswer;
using wire::HeldRequest;
using wire::HeldVerb;
using wire::Step;

constexpr u32 kPacketSocket = 5, kPeerCredentials = 17, kRights = 1;  // SOCK_SEQPACKET, SO_PEERCRED, SCM_RIGHTS
constexpr u32 kNoSignal = 0x4000, kCloseOnExec = 0x40000000;          // MSG_NOSIGNAL, MSG_CMSG_CLOEXEC
constexpr u16 kReadable = 1;                                          // POLLIN
constexpr i32 kPatienceMs = 10'000;
constexpr i64 kNobody = 0;  // no number of the restorer's own, and data of the runtime begins as zeros

i64 g_holder;

struct Rights {  // struct cmsghdr with one descriptor
  u64 bytes;
  i32 level, type, fd, padding;
};

struct Packet {  // struct user_msghdr
  void* name;
  i32 name_bytes;
  void* vector;
  u64 vector_count;
  void* control;
  u64 control_bytes;
  u32 flags;
};

// 0 or -errno. The descriptor that came with the answer is in `fd`, or -1.
i64 ask(HeldVerb verb, u32 index, i64& fd) {
  HeldRequest request{};
  request.verb = verb;
  request.index = index;
  fd = -1;
  const i64 sent = raw_syscall(__NR_sendto, g_holder, &request, sizeof request, kNoSignal, nullptr, 0);
  if (is_error(sent)) return sent;
  struct {
    i32 fd;
    u16 events, got;
  } query = {static_cast<i32>(g_holder), kReadable, 0};
  if (raw_syscall(__NR_poll, &query, 1, kPatienceMs) <= 0) return -ETIMEDOUT;
  HeldAnswer answer{};
  u64 vector[2] = {reinterpret_cast<u64>(&answer), sizeof answer};
  Rights rights{};
  Packet packet = {nullptr, 0, vector, 1, &rights, sizeof rights, 0};
  const i64 got = raw_syscall(__NR_recvmsg, g_holder, &packet, kCloseOnExec);
  if (is_error(got)) return got;
  if (got != sizeof answer) return -EPIPE;
  if (rights.bytes >= sizeof(u64) + 3 * sizeof(i32) && rights.type == static_cast<i32>(kRights)) fd = rights.fd;
  return -answer.error;
}

// Who holds the connections must be who may trace us anyway.
bool is_trusted() {
  struct {
    i32 pid;
    u32 uid, gid;
  } peer = {};
  u32 bytes = sizeof peer;
  if (is_error(raw_syscall(__NR_getsockopt, g_holder, kLevelSocket, kPeerCredentials, &peer, &bytes))) return false;
  return peer.uid == 0 || peer.uid == static_cast<u32>(raw_syscall(__NR_geteuid));
}

void reach_holder(const FdEntry& entry) {
  if (g_holder != kNobody) return;
  const char* text = plan_text(entry.path);
  const i64 fd = must(raw_syscall(__NR_socket, kFamilyUnix, kPacketSocket | O_CLOEXEC, 0), Step::TakeConnection,
                      entry.image_fd, 0, text);
  must(raw_syscall(__NR_connect, fd, entry.address, entry.address_bytes), Step::TakeConnection, entry.image_fd, 0,
       text);
  g_holder = must(raw_syscall(__NR_dup3, fd, holder_home(), O_CLOEXEC), Step::ParkFd, entry.image_fd);
  raw_syscall(__NR_close, fd);
  if (!is_trusted()) report_fail(Step::TakeConnection, EACCES, entry.image_fd, 0, text);
}

}  // namespace

void take_connection(const FdEntry& entry) {
  reach_holder(entry);
  i64 fd;
  const i64 result = ask(HeldVerb::Take, entry.option, fd);
  must(result, Step::TakeConnection, entry.image_fd, 0, plan_text(entry.path));
  if (fd < 0) report_fail(Step::TakeConnection, EBADF, entry.image_fd, 0, plan_text(entry.path));
  park(fd, entry.slot, entry);
}

bool holds_connections() { return g_holder != kNobody; }

void let_connections_go() {
  if (g_holder == kNobody) return;
  i64 none;
  must(ask(HeldVerb::Go, 0, none), Step::TakeConnection);
  raw_syscall(__NR_close, g_holder);
  g_holder = kNobody;
}

}  // namespace stasis::runtime
