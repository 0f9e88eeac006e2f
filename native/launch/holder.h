// The other side of the holder of TCP connections (keeper/holder.h, wire/held.h), of a checkpoint and of a restore.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "launch/spawn.h"
#include "os/unique_fd.h"
#include "wire/held.h"

namespace stasis::launch {

// What a holder of the connections of that image is called.
std::string name_of_holder(std::uint64_t records_checksum, std::uint64_t created_ns);

// A holder that was started here. Without a word it lets go, as if this process had been killed.
class Holder {
 public:
  // `keeper`: path of stasis-keeper. `image`: of whose connections it is, for who looks at the list of processes.
  static Result<Holder> start(const std::string& keeper, const std::string& image);

  // Before anything is done to the application's socket, which the holder has from then on even if this process is killed. `reuse`: its
  // SO_REUSEADDR.
  Status guard(int socket, int reuse, std::uint32_t flags);
  // `application`: a pidfd.
  Status ending(const std::string& name, std::uint32_t seconds, int application);
  Status done();

  struct Kept {
    int socket = -1;
    int reuse = 0;
    std::uint32_t send_buffer = 0;
    bool shut_down = false;
    std::vector<std::uint8_t> unsent;
  };
  Status keep(const Kept& kept);

  // From now on it lives without this object.
  Status hold(const std::string& name, std::uint32_t seconds);

 private:
  explicit Holder(UniqueFd control) : control_(std::move(control)) {}
  Status say(const wire::HeldRequest& request, const std::vector<int>& fds = {});

  UniqueFd control_;
  std::uint32_t guarded_ = 0;
};

// Whether somebody holds `connections` connections under the name. NotFound if not.
Status ask_holder(const std::string& name, std::size_t connections);

// Has them ended with a reset, if somebody holds them.
void reset_held(const std::string& name);

// The address of that name, for the restore's plan.
std::vector<std::uint8_t> address_of_holder(const std::string& name);

}  // namespace stasis::launch
