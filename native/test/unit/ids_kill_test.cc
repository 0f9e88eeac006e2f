// A process killed at any instant leaves the table usable: four workers of two threads each bind, release, put and
// remove while the test kills one every few milliseconds and starts another. Afterwards every live pair must agree, no
// number of the image may have been given away, and ten thousand births and a thousand objects must find their place.
//
// STASIS_KILL_SEED repeats a run's choices, STASIS_KILL_SECONDS makes it longer.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "runtime/ids_objects.h"
#include "runtime/ids_table.h"
#include "test/check.h"
#include "test/id_table.h"

namespace stasis::runtime {
namespace {

using test::fine_stamp;
using test::IdTable;
using wire::IdKind;
using wire::IdState;

constexpr u32 kWorkers = 4, kTasks = 40, kFirstTask = 5000;
constexpr u32 kShift = 40;  // every worker's first candidates are the next one's system numbers
constexpr u32 kReserved = 30, kFirstReserved = 5100;
constexpr u32 kNames = 64;

struct Counters {
  u64 wrong, births, objects;
};

bool no_group(u32) { return false; }
bool is_alive(u32 system_pid) { return ::kill(static_cast<pid_t>(system_pid), 0) == 0; }

u32 random_of(u32& seed) {
  seed = seed * 1664525 + 1013904223;
  return seed >> 8;
}

void count(u64& counter, u64 by = 1) { __atomic_add_fetch(&counter, by, __ATOMIC_RELAXED); }

// One birth, bound by parent and child at once.
void bear(const wire::IdTableView& table, u32 worker, u32& seed, Counters& counters) {
  const u32 system = kFirstTask + worker * kTasks + random_of(seed) % kTasks;
  for (u32 begun = fine_stamp(); fine_stamp() - begun < 2;) continue;  // a number is not used twice within a stamp
  const u32 born = fine_stamp();
  bool go = false;
  u32 of_child = 0;
  std::thread child([&] {
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) continue;
    of_child = bind_pid(table, {system, 0, born, fine_stamp()}, no_group);
  });
  __atomic_store_n(&go, true, __ATOMIC_RELEASE);
  const u32 of_parent = bind_pid(table, {system, 0, born, fine_stamp()}, no_group);
  child.join();
  count(counters.births);
  if (of_parent == 0 || of_parent != of_child || find_system(table, of_parent) != system ||
      find_virtual(table, system) != of_parent) {
    count(counters.wrong);
    std::fprintf(stderr, "system %u: %u in the parent, %u in the child\n", system, of_parent, of_child);
  }
  if (random_of(seed) % 2 == 0) release_pid(table, of_parent, system, fine_stamp());
}

// Names that all workers want; values tell who entered them.
void enter(const wire::IdTableView& table, u32 worker, u32& seed, Counters& counters) {
  const Claimer me{static_cast<u32>(::getpid()), is_alive};
  for (u32 i = 0; i < 20; i++) {
    const ObjectName name{IdKind::SharedMemory, 0, random_of(seed) % kNames};
    const u64 value = static_cast<u64>(worker) << 32 | name.virtual_id;
    u64 found = 0;
    if (find_object(table, name, &found) && (found & 0xffffffff) != name.virtual_id) count(counters.wrong);
    if (random_of(seed) % 2 == 0) {
      remove_object(table, name);
    } else if (put_object(table, name, value, me) == Put::Done) {
      count(counters.objects);
    }
  }
  // Own ones, and whatever a killed predecessor has left of them.
  u32 id = 0;
  const u32 value = worker * 1000 + random_of(seed) % 100;
  if (!bind_object(table, IdKind::Semaphore, 0, value, me, &id)) count(counters.wrong);
  u64 found = 0;
  if (!find_object(table, {IdKind::Semaphore, 0, id}, &found) || found != value) count(counters.wrong);
  if (random_of(seed) % 2 == 0) remove_object(table, {IdKind::Semaphore, 0, id});
}

[[noreturn]] void work(const wire::IdTableView& table, u32 worker, u32 seed, Counters& counters) {
  for (;;) {
    bear(table, worker, seed, counters);
    enter(table, worker, seed, counters);
  }
}

pid_t start_worker(const wire::IdTableView& table, u32 worker, u32 seed, Counters& counters) {
  const pid_t pid = ::fork();
  if (pid == 0) work(table, worker, seed, counters);
  return pid;
}

void check_pids(const wire::IdTableView& table) {
  u32 known = 0, disagreeing = 0, fresh = 0;
  for (u32 v = 0; v < wire::kPidLimit; v++) known += forward_word(table, v).state == IdState::Known;
  for (u32 s = 1; s < wire::kPidLimit; s++) {
    const u32 v = find_virtual(table, s);
    disagreeing += v != 0 && find_system(table, v) != s;
  }
  for (u32 s = 20000; s < 30000; s++) {
    const u32 v = bind_pid(table, {s, 0, fine_stamp(), fine_stamp()}, no_group);
    fresh += v != 0 && find_system(table, v) == s;
  }
  CHECK_EQUAL(known, kReserved);
  CHECK_EQUAL(disagreeing, 0u);
  CHECK_EQUAL(fresh, 10000u);
}

void check_objects(const wire::IdTableView& table) {
  const Claimer me{static_cast<u32>(::getpid()), is_alive};
  u32 twice = 0, fresh = 0;
  for (u32 name = 0; name < kNames; name++) {
    u32 removed = 0;
    while (remove_object(table, {IdKind::SharedMemory, 0, name})) removed++;
    twice += removed > 1;
    fresh += put_object(table, {IdKind::SharedMemory, 0, name}, name, me) == Put::Done;
  }
  CHECK_EQUAL(twice, 0u);
  CHECK_EQUAL(fresh, kNames);
  u32 id = 0, bound = 0;
  for (u32 value = 0; value < 1000; value++) bound += bind_object(table, IdKind::Timer, 1, value, me, &id);
  CHECK_EQUAL(bound, 1000u);
}

u32 number_from(const char* variable, u32 otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? static_cast<u32>(std::strtoul(text, nullptr, 10)) : otherwise;
}

TEST(ids_survive_kills_at_random) {
  u32 seed = number_from("STASIS_KILL_SEED", static_cast<u32>(::time(nullptr)));
  const u32 seconds = number_from("STASIS_KILL_SECONDS", 5);
  std::printf("ids_survive_kills_at_random: seed %u\n", seed);
  std::fflush(stdout);
  IdTable made(kShift);
  if (!CHECK(made.ok())) return;
  const wire::IdTableView table = made.view();
  void* shared = ::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!CHECK(shared != MAP_FAILED)) return;
  Counters& counters = *static_cast<Counters*>(shared);
  for (u32 i = 0; i < kReserved; i++) reserve_pid(table, kFirstReserved + i);
  pid_t workers[kWorkers];
  for (u32 i = 0; i < kWorkers; i++) workers[i] = start_worker(table, i, seed + i, counters);
  u32 kills = 0;
  for (const std::time_t end = ::time(nullptr) + seconds; ::time(nullptr) < end; kills++) {
    ::usleep(1000 + random_of(seed) % 2000);
    const u32 victim = random_of(seed) % kWorkers;
    ::kill(workers[victim], SIGKILL);
    ::waitpid(workers[victim], nullptr, 0);
    workers[victim] = start_worker(table, victim, seed + kills, counters);
  }
  for (pid_t worker : workers) {
    ::kill(worker, SIGKILL);
    ::waitpid(worker, nullptr, 0);
  }
  std::printf("    %u kills, %lu births, %lu objects\n", kills, counters.births, counters.objects);
  CHECK_EQUAL(counters.wrong, 0u);
  CHECK(kills > 10 && counters.births > 100 && counters.objects > 100);  // a slow machine does that too
  check_pids(table);
  check_objects(table);
  ::munmap(shared, sizeof(Counters));
}

}  // namespace
}  // namespace stasis::runtime
