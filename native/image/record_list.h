// The one list of record types: which member of Image holds the records of each type. Encoder, decoder, inspector and
// the tables of docs/image-format.md walk it, in this order; a new type of record is added here, in records.h and in
// Image.
#pragma once

#include <tuple>
#include <type_traits>
#include <vector>

#include "image/image.h"

namespace stasis::image {

template <class Member>
struct SlotTraits {  // a record that stands in every image exactly once
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
template <class Member, Member Image::* kMember>
struct Slot<kMember> {
  using Record = typename SlotTraits<Member>::Record;
  static constexpr bool kMany = SlotTraits<Member>::kMany;
  static Member& of(Image& image) { return image.*kMember; }
  static const Member& of(const Image& image) { return image.*kMember; }
};

using RecordList =
    std::tuple<Slot<&Image::runtime>, Slot<&Image::page_files>, Slot<&Image::process>, Slot<&Image::memory>,
               Slot<&Image::mappings>, Slot<&Image::threads>, Slot<&Image::actions>, Slot<&Image::queued_signals>,
               Slot<&Image::itimers>, Slot<&Image::clock>, Slot<&Image::known_ids>, Slot<&Image::open_files>,
               Slot<&Image::stdio>, Slot<&Image::pipes>, Slot<&Image::socket_pairs>, Slot<&Image::eventfds>,
               Slot<&Image::timerfds>, Slot<&Image::epolls>, Slot<&Image::listening_sockets>>;

// Calls function(slot) for each type of record.
template <class Function>
void for_each_slot(Function&& function) {
  std::apply([&](auto... slot) { (function(slot), ...); }, RecordList{});
}

// Calls function(record) for each record of the image whose type is known, in the order of the list.
template <class AnyImage, class Function>
void for_each_record(AnyImage& image, Function&& function) {
  for_each_slot([&](auto slot) {
    using S = decltype(slot);
    if constexpr (S::kMany) {
      for (auto& record : S::of(image)) function(record);
    } else {
      function(S::of(image));
    }
  });
}

}  // namespace stasis::image
