// The lists of record types: which member of Image, or of the section of a process, holds the records of each type. Encoder, decoder,
// inspector and the tables of docs/image-format.md walk them, in this order; a new type of record is added here, in a records_*.h and
// in Image or ProcessImage.
#pragma once

#include <tuple>
#include <type_traits>
#include <vector>

#include "image/image.h"

namespace stasis::image {

template <class Member>
struct SlotTraits {  // a record that stands exactly once
  using Record = Member;
  static constexpr bool kMany = false;
};
template <class Element>
struct SlotTraits<std::vector<Element>> {  // any number of records, none included
  using Record = Element;
  static constexpr bool kMany = true;
};

template <auto kMember>
struct Slot;
template <class Owner, class Member, Member Owner::* kMember>
struct Slot<kMember> {
  using Record = typename SlotTraits<Member>::Record;
  static constexpr bool kMany = SlotTraits<Member>::kMany;
  static Member& of(Owner& owner) { return owner.*kMember; }
  static const Member& of(const Owner& owner) { return owner.*kMember; }
};

using ImageSlots =
    std::tuple<Slot<&Image::runtime>, Slot<&Image::page_files>, Slot<&Image::clock>, Slot<&Image::known_ids>,
               Slot<&Image::shared_memory>, Slot<&Image::open_files>, Slot<&Image::stdio>, Slot<&Image::pipes>,
               Slot<&Image::socket_pairs>, Slot<&Image::eventfds>, Slot<&Image::timerfds>, Slot<&Image::epolls>,
               Slot<&Image::listening_sockets>, Slot<&Image::tcp_connections>, Slot<&Image::sockets>,
               Slot<&Image::inotifies>, Slot<&Image::signalfds>, Slot<&Image::pidfds>, Slot<&Image::terminals>,
               Slot<&Image::posix_queues>, Slot<&Image::semaphores>, Slot<&Image::message_queues>>;

// `process` first: it begins the section.
using SectionSlots =
    std::tuple<Slot<&ProcessImage::process>, Slot<&ProcessImage::memory>, Slot<&ProcessImage::mappings>,
               Slot<&ProcessImage::threads>, Slot<&ProcessImage::actions>, Slot<&ProcessImage::queued_signals>,
               Slot<&ProcessImage::itimers>, Slot<&ProcessImage::posix_timers>, Slot<&ProcessImage::credentials>,
               Slot<&ProcessImage::limits>, Slot<&ProcessImage::scheduling>, Slot<&ProcessImage::own_filters>,
               Slot<&ProcessImage::semaphore_undo>, Slot<&ProcessImage::descriptors>>;

// Calls function(slot) for each type of record of the image as a whole, or of a section.
template <class Slots, class Function>
void for_each_slot(Function&& function) {
  std::apply([&](auto... slot) { (function(slot), ...); }, Slots{});
}

template <class Slots, class Owner, class Function>
void for_each_record_of(Owner& owner, Function&& function) {
  for_each_slot<Slots>([&](auto slot) {
    using S = decltype(slot);
    if constexpr (S::kMany) {
      for (auto& record : S::of(owner)) function(record);
    } else {
      function(S::of(owner));
    }
  });
}

// Calls function(record) for each record of the image whose type is known, in the order in which they are written.
template <class AnyImage, class Function>
void for_each_record(AnyImage& image, Function&& function) {
  for_each_record_of<ImageSlots>(image, function);
  for (auto& section : image.processes) for_each_record_of<SectionSlots>(section, function);
}

}  // namespace stasis::image
