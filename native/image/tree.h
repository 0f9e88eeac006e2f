// The order in which the processes of an application are made again, so that each comes to be in its session and process
// group and a child of its parent. Pure computation: a checkpoint asks it whether the tree can be rebuilt at all, a
// restore follows it.
//
// What the kernel gives: a child begins in the session and group of its maker; setsid and setpgid(0, 0) make new ones; a
// process may join any group of its session, never another session; the child of one that ends becomes the child of the
// nearest subreaper above, at last of the keeper. So a process in a session that its parent is not in was made
//   before its parent did setsid itself, or
//   by somebody in that session who has ended: a *helper* takes his place, makes the process, and ends.
// A helper also leads a session or group whose leader has ended. docs/adr/0015.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "image/image.h"

namespace stasis::image {

inline constexpr std::size_t kNoTask = SIZE_MAX;

struct TreeProcess {
  std::int32_t pid = 0, parent_pid = 0, group_id = 0, session_id = 0;
  bool zombie = false;
  bool orphan = false;  // a child of the keeper
  bool subreaper = false;
};

enum class TreeTaskKind { Process, Zombie, Helper };

struct TreeTask {
  TreeTaskKind kind = TreeTaskKind::Process;
  std::size_t process = kNoTask;  // index of what order_tree was given; kNoTask for a helper
  std::int32_t pid = 0;           // of a helper that leads: of the leader that has ended; 0 for others
  std::size_t maker = kNoTask;    // index of the task; kNoTask: the first
  std::size_t first_child = 0, child_count = 0;
  bool leads_session = false, leads_group = false;
  bool before_setsid = false;        // made before its maker does setsid
  bool orphan = false;               // made by the first process as the keeper's child
  bool reaps_helpers = false;        // has to be a subreaper until all helpers have ended
  bool of_helper = false;            // its maker ends
  std::size_t group_task = kNoTask;  // whose group it joins; kNoTask: its own, or its maker's
};

// Task 0 is processes[0], the application's first process, whose session and group are given: it leads neither. The
// children of a task lie together, those of before_setsid first. Unsupported, with the process, where no order gives this
// tree; Damaged where it is no tree.
Result<std::vector<TreeTask>> order_tree(std::span<const TreeProcess> processes);

std::vector<TreeProcess> tree_of(const Image& image);

}  // namespace stasis::image
