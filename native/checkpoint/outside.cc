#include "checkpoint/outside.h"

#include <sys/socket.h>

#include <utility>

#include "base/scope_exit.h"

namespace stasis::checkpoint {

namespace {

constexpr std::uint32_t kHoldSeconds = 600;  // less than the kernel goes on sending again what nobody acknowledges

}  // namespace

Status OutsideConnections::prepare() {
  if (!holder_) holder_.emplace(STASIS_TRY(launch::Holder::start(options_.keeper, options_.output_directory)));
  return {};
}

Result<TcpConnectionState> OutsideConnections::save(UniqueFd socket, image::KeptConnection& record) {
  STASIS_TRY(prepare());
  int reuse = 0;
  socklen_t length = sizeof reuse;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, &length);
  STASIS_TRY(holder_->guard(socket.get(), reuse, ends_ ? wire::kHeldFiltered : 0));
  const int fd = socket.get();
  sockets_.push_back(std::move(socket));
  if (ends_) STASIS_TRY(attach_drop_filter(fd));
  TcpConnectionState state = STASIS_TRY(read_connection(fd));
  record.send_sequence = state.send_sequence;
  record.receive_sequence = state.receive_sequence;
  record.unsent = state.unsent;
  record.segment = state.segment;
  record.options = state.options;
  record.send_scale = state.send_scale;
  record.receive_scale = state.receive_scale;
  record.timestamp = state.timestamp;
  record.reuse_address = reuse != 0;
  record.window = state.window;
  return state;
}

Status OutsideConnections::before_end(const image::Header& header, const UniqueFd& application) {
  if (sockets_.empty()) return {};
  name_ = launch::name_of_holder(header.records_checksum, header.created_ns);
  return holder_->ending(name_, kHoldSeconds, application.get());
}

Status OutsideConnections::hold() {
  if (sockets_.empty()) return {};
  STASIS_TRY(holder_->hold(name_, kHoldSeconds));
  holder_.reset();
  sockets_.clear();
  return {};
}

void OutsideConnections::let_go() {
  if (ends_) {
    for (const UniqueFd& socket : sockets_) detach_filter(socket.get());
  }
  sockets_.clear();
  if (holder_) (void)holder_->done();
  holder_.reset();
}

}  // namespace stasis::checkpoint
