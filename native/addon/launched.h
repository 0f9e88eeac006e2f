// What launch and restore have in common: their options and the value they give.
#pragma once

#include <napi.h>

#include "addon/arguments.h"
#include "launch/launch.h"
#include "restore/start.h"

namespace stasis::addon {

std::uint32_t shift_of(const Options& options);  // shiftIds; 0 if absent
launch::LaunchOptions launch_options(const Options& options);
restore::StartOptions start_options(const Options& options);

// {pid, startTime, keeperPid}
Napi::Object launched_value(Napi::Env env, const launch::Launched& launched);

}  // namespace stasis::addon
