// The rules of the translation table, one thread at a time and with eight at once.
#include "runtime/ids_table.h"

#include <array>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "runtime/ids_objects.h"
#include "test/check.h"
#include "test/id_table.h"

namespace stasis::runtime {
namespace {

using test::fine_stamp;
using test::IdTable;
using wire::IdKind;
using wire::IdState;

constexpr u32 kSecond = 64;  // stamps, and a little more

bool no_group(u32) { return false; }
bool any_group(u32) { return true; }
bool always_alive(u32) { return true; }
bool never_alive(u32) { return false; }

u32 bind(const wire::IdTableView& table, u32 system, u32 born, u32 now) {
  return bind_pid(table, {system, 0, born, now}, no_group);
}

TEST(ids_header_is_checked) {
  IdTable made(7);
  if (!CHECK(made.ok())) return;
  wire::IdTableHeader header = *made.view().header();
  CHECK(check_header(header));
  CHECK_EQUAL(header.shift, 7u);
  for (auto damage : std::vector<void (*)(wire::IdTableHeader&)>{
           [](wire::IdTableHeader& h) { h.magic++; }, [](wire::IdTableHeader& h) { h.version++; },
           [](wire::IdTableHeader& h) { h.table_bytes--; }, [](wire::IdTableHeader& h) { h.header_bytes = 0; },
           [](wire::IdTableHeader& h) { h.shift++; }, [](wire::IdTableHeader& h) { h.parts ^= 1; },
           [](wire::IdTableHeader& h) { h.application[63] = 1; }, [](wire::IdTableHeader& h) { h.checksum ^= 1; }}) {
    wire::IdTableHeader damaged = header;
    damage(damaged);
    CHECK(!check_header(damaged));
  }
}

TEST(ids_are_shifted_and_found_both_ways) {
  IdTable made(100000);
  const wire::IdTableView table = made.view();
  CHECK_EQUAL(bind(table, 500, 10, 10), 100500u);
  CHECK_EQUAL(find_system(table, 100500), 500u);
  CHECK_EQUAL(find_virtual(table, 500), 100500u);
  CHECK_EQUAL(find_system(table, 500), 0u);
  CHECK_EQUAL(find_virtual(table, 100500), 0u);
  CHECK_EQUAL(find_system(table, wire::kPidLimit + 1), 0u);
  CHECK_EQUAL(find_virtual(table, ~0u), 0u);
  CHECK_EQUAL(bind(table, 0, 10, 10), 0u);
  CHECK_EQUAL(bind(table, wire::kPidLimit, 10, 10), 0u);
  // A shift that leaves the range goes round, past the numbers of the boot.
  CHECK_EQUAL(bind(table, wire::kPidLimit - 100000 + 300, 10, 10), 300u);
  const u32 low = bind(table, wire::kPidLimit - 100000 + 1, 10, 10);
  CHECK(low >= wire::kFirstAllocatedPid);
  CHECK_EQUAL(find_system(table, low), wire::kPidLimit - 100000 + 1);
}

TEST(ids_parent_and_child_get_the_same) {
  IdTable made(50);
  const wire::IdTableView table = made.view();
  const u32 first = bind(table, 1000, 20, 21);
  CHECK_EQUAL(bind(table, 1000, 20, 25), first);
  release_pid(table, first, 1000, 26);  // the child has ended before its parent got there
  CHECK_EQUAL(find_system(table, first), 0u);
  CHECK_EQUAL(bind(table, 1000, 20, 27), first);
  CHECK_EQUAL(find_virtual(table, 1000, IdState::Gone), first);
  // The next life of the same system number, and one that nobody saw the end of.
  CHECK_EQUAL(bind(table, 1000, 30, 31), first);
  CHECK_EQUAL(find_system(table, first), 1000u);
  CHECK_EQUAL(bind(table, 1000, 40, 41), first);
  CHECK_EQUAL(forward_word(table, first).seen, 41u);
}

TEST(ids_of_strangers_become_own) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  CHECK_EQUAL(bind_pid(table, {700, wire::kIdForeign, kAnyAge, 9}, no_group), 700u);
  CHECK_EQUAL(forward_word(table, 700).flags, wire::kIdForeign);
  CHECK_EQUAL(bind_pid(table, {700, wire::kIdThread, 8, 10}, no_group), 700u);
  CHECK_EQUAL(forward_word(table, 700).flags, wire::kIdThread);
  CHECK_EQUAL(bind_pid(table, {700, wire::kIdForeign, kAnyAge, 11}, no_group), 700u);
  CHECK_EQUAL(forward_word(table, 700).flags, wire::kIdThread);
}

TEST(ids_of_an_image_are_never_given_away) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  table.header()->next_virtual = 800;
  for (u32 v = 800; v < 900; v++) reserve_pid(table, v);
  CHECK(place_pid(table, 850, 40, 0, 5));
  CHECK_EQUAL(find_virtual(table, 40), 850u);
  CHECK(!place_pid(table, 850, 41, 0, 5));
  CHECK(place_pid(table, 850, 40, 0, 6));
  std::set<u32> given;
  for (u32 s = 800; s < 1000; s++) {
    const u32 v = bind(table, s, 10, 10);
    CHECK(v < 800 || v >= 900);
    CHECK_EQUAL(find_system(table, v), s);
    given.insert(v);
  }
  CHECK_EQUAL(given.size(), 200u);
  CHECK_EQUAL(find_system(table, 850), 40u);
  CHECK_EQUAL(find_system(table, 860), 0u);
  reserve_pid(table, 850);  // has an entry already
  CHECK_EQUAL(find_system(table, 850), 40u);
}

TEST(ids_rest_before_they_are_given_away) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  CHECK(place_pid(table, 5000, 40, 0, 100));
  release_pid(table, 5000, 40, 100);
  CHECK(bind(table, 5000, 101, 101) != 5000u);  // too early
  CHECK(place_pid(table, 6000, 41, 0, 100));
  release_pid(table, 6000, 41, 100);
  CHECK(bind_pid(table, {6000, 0, 300, 300}, any_group) != 6000u);  // its group lives on
  CHECK(place_pid(table, 7000, 42, 0, 100));
  release_pid(table, 7000, 42, 100);
  CHECK_EQUAL(bind(table, 7000, 100 + kSecond, 100 + kSecond), 7000u);
  // Half an entry, as a killed process leaves it.
  table.forward()[8000] = wire::ForwardWord{43, IdState::Live, 0, 100}.pack();
  CHECK_EQUAL(find_system(table, 8000), 0u);
  CHECK(bind(table, 8000, 101, 101) != 8000u);
  table.forward()[9000] = wire::ForwardWord{44, IdState::Live, 0, 100}.pack();
  CHECK_EQUAL(bind(table, 9000, 300, 300), 9000u);
  table.forward()[44] = wire::ForwardWord{44, IdState::Live, 0, 100}.pack();
  CHECK_EQUAL(bind(table, 44, 300, 300), 44u);  // the same task finishes what it began
  refresh_pid(table, 44, 44, 400);
  CHECK_EQUAL(forward_word(table, 44).seen, 400u);
}

TEST(ids_stamps_wrap) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  const u32 before = ~0u - 5;
  CHECK_EQUAL(bind(table, 900, before, before), 900u);
  CHECK_EQUAL(bind(table, 900, before, 3), 900u);
  CHECK_EQUAL(forward_word(table, 900).seen, before);
  CHECK_EQUAL(bind(table, 900, 2, 3), 900u);
  CHECK_EQUAL(forward_word(table, 900).seen, 3u);
}

TEST(ids_overrides) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  CHECK(add_override(table, IdKind::Group, 10, 20));
  CHECK(add_override(table, IdKind::Session, 10, 30));
  CHECK_EQUAL(override_system(table, IdKind::Group, 10), 20u);
  CHECK_EQUAL(override_virtual(table, IdKind::Session, 30), 10u);
  CHECK_EQUAL(override_virtual(table, IdKind::Session, 20), 0u);
  u32 room = 2;
  while (add_override(table, IdKind::Group, 100 + room, 200 + room)) room++;
  CHECK_EQUAL(room, wire::kIdOverrides);
}

// As helpers of a restore do, which are processes of their own.
TEST(ids_overrides_at_once) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  constexpr u32 kThreads = 8, kEach = wire::kIdOverrides / kThreads;
  std::atomic<u32> refused = 0;
  std::vector<std::thread> threads;
  for (u32 id = 0; id < kThreads; id++) {
    threads.emplace_back([&, id] {
      for (u32 i = id * kEach + 1; i <= (id + 1) * kEach; i++) {
        if (!add_override(table, IdKind::Group, i, i + 10'000)) refused++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(refused.load(), 0u);
  CHECK(!add_override(table, IdKind::Group, 9'999, 19'999));
  for (u32 i = 1; i <= kThreads * kEach; i++) CHECK_EQUAL(override_system(table, IdKind::Group, i), i + 10'000);
}

// Eight threads, each the only one to make tasks of its system numbers, all after the same virtual ones.
TEST(ids_are_unique_among_threads) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  table.header()->next_virtual = 1000;
  for (u32 v = 2000; v < 2400; v++) reserve_pid(table, v);  // so that first candidates are taken
  std::atomic<u32> wrong = 0;
  std::vector<std::thread> threads;
  for (u32 id = 0; id < 8; id++) {
    threads.emplace_back([&, id] {
      for (u32 round = 0; round < 300; round++) {
        std::map<u32, u32> bound;
        const u32 born = fine_stamp();
        for (u32 i = 0; i < 50; i++) {
          const u32 system = 2000 + i * 8 + id;
          const u32 given = bind(table, system, born, fine_stamp());
          wrong += given < 300 || (given >= 2000 && given < 2400);
          bound[system] = given;
        }
        for (auto [system, given] : bound) {
          wrong += find_system(table, given) != system || find_virtual(table, system) != given;
          release_pid(table, given, system, fine_stamp());
        }
        while (fine_stamp() == born) continue;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(wrong.load(), 0u);
}

TEST(objects_are_found_both_ways) {
  IdTable made(1000);
  const wire::IdTableView table = made.view();
  const Claimer me{7, always_alive};
  u32 id = 0, found = 0;
  u64 value = 0;
  CHECK(bind_object(table, IdKind::SharedMemory, 0, 5, me, &id));
  CHECK_EQUAL(id, 1005u);
  CHECK(bind_object(table, IdKind::SharedMemory, 0, 5, me, &id));
  CHECK_EQUAL(id, 1005u);
  CHECK(bind_object(table, IdKind::Semaphore, 0, 5, me, &id));
  CHECK(bind_object(table, IdKind::Timer, 300, 5, me, &id));
  CHECK(find_object(table, {IdKind::Timer, 300, 1005}, &value));
  CHECK_EQUAL(value, 5u);
  CHECK(!find_object(table, {IdKind::Timer, 301, 1005}, &value));
  CHECK(find_object_by_value(table, IdKind::Semaphore, 0, 5, &found));
  CHECK_EQUAL(found, 1005u);
  CHECK(!find_object_by_value(table, IdKind::MessageQueue, 0, 5, &found));
  CHECK(put_object(table, {IdKind::Semaphore, 0, 1005}, 9, me) == Put::Taken);
  CHECK(remove_object(table, {IdKind::Semaphore, 0, 1005}));
  CHECK(!remove_object(table, {IdKind::Semaphore, 0, 1005}));
  CHECK(!find_object_by_value(table, IdKind::Semaphore, 0, 5, &found));
  CHECK(put_object(table, {IdKind::Semaphore, 0, 1005}, 9, me) == Put::Done);
  CHECK(bind_object(table, IdKind::Semaphore, 0, 5, me, &id));  // its own number is taken now
  CHECK(id != 1005u);
  CHECK(find_object(table, {IdKind::Semaphore, 0, id}, &value));
  CHECK_EQUAL(value, 5u);
}

TEST(objects_fill_the_table_and_leave_it_again) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  const Claimer me{7, always_alive};
  u32 id = 0;
  constexpr u32 kMany = 50000;
  for (u32 round = 0; round < 3; round++) {
    const u32 base = round * 1'000'000;
    u32 put = 0, right = 0;
    for (u32 i = 0; i < kMany; i++) put += bind_object(table, IdKind::Timer, 400, base + i, me, &id);
    for (u32 i = 0; i < kMany; i++) {
      u64 value = 0;
      u32 found = 0;
      right += find_object(table, {IdKind::Timer, 400, base + i}, &value) && value == base + i &&
               find_object_by_value(table, IdKind::Timer, 400, base + i, &found) && found == base + i;
    }
    CHECK_EQUAL(put, kMany);
    CHECK_EQUAL(right, kMany);
    for (u32 i = 0; i < kMany; i++) remove_object(table, {IdKind::Timer, 400, base + i});
  }
}

TEST(objects_of_a_dead_claimer_are_taken_over) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  // Every slot claimed, as if by a thread that was killed there.
  for (u32 i = 0; i < wire::kIdObjects; i++) {
    table.objects()[i].key = static_cast<u64>(wire::ObjectState::Claimed) | 99ul << 32;
  }
  u32 id = 0;
  CHECK(!bind_object(table, IdKind::Timer, 1, 5, {7, always_alive}, &id));
  CHECK(bind_object(table, IdKind::Timer, 1, 5, {7, never_alive}, &id));
  CHECK_EQUAL(id, 5u);
}

// Eight threads enter and remove the same names: each name is live at most once, with one of the values given.
TEST(objects_are_unique_among_threads) {
  IdTable made(0);
  const wire::IdTableView table = made.view();
  std::array<std::atomic<u32>, 16> holders{};
  std::atomic<u32> wrong = 0, puts = 0;
  std::vector<std::thread> threads;
  for (u32 id = 0; id < 8; id++) {
    threads.emplace_back([&, id] {
      u32 seed = id * 77 + 1;
      const Claimer me{100 + id, always_alive};
      for (u32 round = 0; round < 40000; round++) {
        seed = seed * 1664525 + 1013904223;
        const u32 name = seed >> 16 & 15;
        const u64 value = 1000 * id + name;
        if (put_object(table, {IdKind::SharedMemory, 0, name}, value, me) != Put::Done) continue;
        puts++;
        wrong += holders[name].fetch_add(1) != 0;
        u64 found = 0;
        wrong += !find_object(table, {IdKind::SharedMemory, 0, name}, &found) || found != value;
        u32 back = 0;
        wrong += !find_object_by_value(table, IdKind::SharedMemory, 0, value, &back) || back != name;
        holders[name]--;
        wrong += !remove_object(table, {IdKind::SharedMemory, 0, name});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(wrong.load(), 0u);
  CHECK(puts.load() > 10000);
}

}  // namespace
}  // namespace stasis::runtime
