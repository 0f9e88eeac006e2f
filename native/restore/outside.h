// TCP connections whose peers are outside the application: before a restore makes anything, somebody on this host must hold them
// (keeper/holder.h), so that the restored application can take them over. If the holder that the checkpoint left is there no more, or was on
// another host, the connections are made again from the image, in the kernel's repair mode, and held by a new one.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "image/image.h"
#include "restore/start.h"

namespace stasis::restore {

// The address of who holds them; nothing if the image has none, or they are to be reset. Nothing has been sent to anybody then. Errors:
// Permission without CAP_NET_ADMIN, Failed naming the connection that cannot be made.
Result<std::vector<std::uint8_t>> hold_outside_connections(const image::Image& image, const StartOptions& options);

}  // namespace stasis::restore
