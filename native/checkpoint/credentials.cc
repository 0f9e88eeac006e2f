// Users, groups and capabilities, from /proc/PID/status. The kernel keeps them by thread (credentials(7)); the C library
// keeps a process's threads alike, and that is what can be saved.
#include <algorithm>
#include <charconv>

#include "checkpoint/settings.h"

namespace stasis::checkpoint {

namespace {

constexpr const char* kNames[] = {"Uid",    "Gid",    "Groups", "CapInh",    "CapPrm",
                                  "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"};

std::vector<std::uint32_t> numbers_in(std::string_view text) {
  std::vector<std::uint32_t> numbers;
  for (std::size_t at = 0; at < text.size();) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), number);
    if (error == std::errc()) {
      numbers.push_back(number);
      at = static_cast<std::size_t>(end - text.data());
    } else {
      ++at;
    }
  }
  return numbers;
}

std::array<std::uint32_t, 4> four_in(std::string_view text) {
  std::array<std::uint32_t, 4> four{};
  const auto numbers = numbers_in(text);
  std::copy_n(numbers.begin(), std::min(numbers.size(), four.size()), four.begin());
  return four;
}

}  // namespace

void record_credentials(const Settings& settings, const procfs::Fields& status, image::ProcessImage& section) {
  image::Credentials record;
  record.uids = four_in(status.find("Uid"));
  record.gids = four_in(status.find("Gid"));
  record.groups = numbers_in(status.find("Groups"));
  constexpr const char* kSets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
  for (std::size_t i = 0; i < std::size(kSets); ++i) record.capabilities[i] = status.number(kSets[i], 16);
  record.securebits = settings.securebits;
  record.no_new_privs = status.number("NoNewPrivs") != 0;
  section.credentials = {record};
}

void refuse_credentials(const Subject& subject, const procfs::Fields& status, Findings& findings) {
  const auto threads = procfs::list_threads(subject.pid);
  if (!threads.ok()) return;
  for (const pid_t tid : threads.value()) {
    if (tid == subject.pid) continue;
    const auto text = procfs::read_text(subject.pid, "task/" + std::to_string(tid) + "/status");
    if (!text.ok()) continue;  // it has ended
    const procfs::Fields own(text.value());
    for (const char* name : kNames) {
      if (own.find(name) == status.find(name)) continue;
      // The C library changes one thread after the other.
      findings.add_passing(subject.where() + ", thread " + std::to_string(tid),
                           std::string("credentials (") + name + ") other than those of the main thread",
                           "let all threads have the same (setresuid(2) of the C library, libcap's psx)");
      break;
    }
  }
}

}  // namespace stasis::checkpoint
