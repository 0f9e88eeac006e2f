// Pseudoterminals whose both ends the application has, and which of them controls a session.
#include <algorithm>
#include <cstring>

#include "restore/builders.h"

namespace stasis::restore {

Status plan_terminals(const image::Image& image, GroupBuilder& plan) {
  const auto is_master = [](const image::Terminal& terminal) { return terminal.object == terminal.master; };
  for (const image::Terminal& terminal : image.terminals) {
    if (!is_master(terminal)) continue;
    const GroupBuilder::Place place = plan.add_slot(terminal.object);
    if (place.fd < 0) continue;
    const bool has_slave =
        std::any_of(image.terminals.begin(), image.terminals.end(),
                    [&](const image::Terminal& other) { return !is_master(other) && other.master == terminal.object; });
    const std::uint64_t settings = plan.add_bytes(terminal.settings);
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Master, place.slot, place.fd);
    entry.flags = terminal.flags;
    entry.value = terminal.index;
    entry.data = settings;
    entry.data_bytes = terminal.settings.size();
    std::memcpy(entry.address, terminal.size.data(), sizeof terminal.size);
    entry.option = (terminal.locked ? wire::kTerminalLocked : 0) | (terminal.packet ? wire::kTerminalPacket : 0) |
                   (!has_slave && !terminal.locked ? wire::kTerminalHungUp : 0);
  }
  for (const image::Terminal& terminal : image.terminals) {
    if (is_master(terminal)) continue;
    const GroupBuilder::Place place = plan.add_slot(terminal.object);
    if (place.fd < 0) continue;
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Slave, place.slot, place.fd);
    entry.peer_slot = plan.slot_of(terminal.master, 0);
    entry.flags = terminal.flags;
    if (entry.peer_slot == wire::kNoSlot) {
      return Error::plain(ErrorKind::Damaged, "a terminal whose master no process has").with_fd(place.fd);
    }
  }
  return {};
}

void plan_controlling_terminal(const image::ProcessImage& section, const GroupBuilder& group, PlanBuilder& plan) {
  plan.plan.terminal_slot = section.process.terminal != 0 ? group.slot_of(section.process.terminal, 0) : wire::kNoSlot;
  plan.plan.foreground_group = section.process.foreground_group;
}

}  // namespace stasis::restore
