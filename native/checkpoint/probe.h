// What this host can do for `stasis check`: every kernel feature that Stasis uses is tried, never guessed from a
// version.
#pragma once

#include <string>
#include <vector>

namespace stasis::checkpoint {

struct Feature {
  std::string name;        // as in man pages and kernel sources
  std::string needed_for;  // which part of Stasis uses it
  bool available = false;
  std::string detail;     // what the trial gave, such as an errno or a value
  std::string remedy;     // how to get it, or what is used in its place; empty if available
  bool required = false;  // without it checkpoint or restore is impossible
};

// Runs a few short-lived child processes; takes some milliseconds. Any thread.
std::vector<Feature> probe_features();

}  // namespace stasis::checkpoint
