// The kinds of files behind descriptors, one source file each, and the order in which they are asked.
#pragma once

#include "checkpoint/objects.h"

namespace stasis::checkpoint {

// Each takes the descriptions it is responsible for, marks them saved, and adds records to `image` and lines to `findings`.
// Contents (pipes, socket queues) are read only when the application is stopped. The order is that of save_fds, which asks
// SocketSaver (sockets.h) between them.
Status save_stdio(Objects& objects, image::Image& image, Findings& findings);
Status save_pipes(Objects& objects, image::Image& image, Findings& findings);
Status save_eventfds(Objects& objects, image::Image& image, Findings& findings);
Status save_timerfds(Objects& objects, image::Image& image, Findings& findings);
Status save_signalfds(Objects& objects, image::Image& image, Findings& findings);
Status save_pidfds(Objects& objects, image::Image& image, Findings& findings);
Status save_terminals(Objects& objects, image::Image& image, Findings& findings);
Status save_posix_queues(Objects& objects, image::Image& image, Findings& findings);
// After the application's end: a restore makes them anew. Returns a warning for each that somebody has begun to use, which stays.
std::vector<std::string> remove_posix_queues(const image::Image& image);
Status save_files(Objects& objects, image::Image& image, Findings& findings);
Status save_inotifies(Objects& objects, image::Image& image, Findings& findings);
Status save_locks(Objects& objects, image::Image& image, Findings& findings);   // behind all files
Status save_epolls(Objects& objects, image::Image& image, Findings& findings);  // last: they name other objects

// After save_terminals: which of them controls the sessions of the members, whose sections stand first.
void record_controlling_terminals(Members members, image::Image& image);

// All of the above, then a finding for everything that is left, then the descriptors of image.processes, whose sections
// (but for zombies) stand in the order of the members.
Status save_fds(Objects& objects, image::Image& image, Findings& findings);

}  // namespace stasis::checkpoint
