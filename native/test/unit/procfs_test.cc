// Texts of /proc as kernels write them, and as they could be made to look.
#include "os/procfs.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include "test/check.h"

namespace stasis::procfs {
namespace {

TEST(maps_lines) {
  const auto maps = parse_maps(
      "5645c6d44000-5645c6d45000 r--p 00001000 fe:01 2163219                    /tmp/a b\\012c\n"
      "7f7f8cc12000-7f7f8cc15000 rw-s 00000000 00:01 77 \n"
      "not a line\n"
      "7ffdd6145000-7ffdd6166000 ---p 00000000 00:00 0                          [stack]\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]");
  if (!CHECK_EQUAL(maps.size(), 4u)) return;
  CHECK_EQUAL(maps[0].start, 0x5645c6d44000u);
  CHECK_EQUAL(maps[0].end, 0x5645c6d45000u);
  CHECK_EQUAL(maps[0].offset, 0x1000u);
  CHECK_EQUAL(maps[0].protection, 1u);
  CHECK(!maps[0].shared);
  CHECK_EQUAL(maps[0].device, makedev(0xfe, 1));
  CHECK_EQUAL(maps[0].inode, 2163219u);
  CHECK_EQUAL(maps[0].name, "/tmp/a b\nc");
  CHECK(maps[1].shared);
  CHECK_EQUAL(maps[1].name, "");
  CHECK_EQUAL(maps[2].protection, 0u);
  CHECK_EQUAL(maps[3].protection, 4u);
}

TEST(smaps_flags) {
  const auto maps = parse_maps(
      "1000-2000 rw-p 00000000 00:00 0 [heap]\n"
      "Size:                  4 kB\nKernelPageSize:        4 kB\nVmFlags: rd wr mr mw me dc sd \n"
      "3000-4000 rw-p 00000000 00:00 0 \nVmFlags: rd dd\n");
  if (!CHECK_EQUAL(maps.size(), 2u)) return;
  CHECK(maps[0].has_flag("dc"));
  CHECK(maps[0].has_flag("sd"));
  CHECK(!maps[0].has_flag("dd"));
  CHECK(maps[1].has_flag("dd"));
  CHECK(!maps[1].has_flag("dc"));
}

TEST(stat_with_any_name) {
  const auto stat = parse_stat("12 (a) (b c) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99");
  if (!CHECK(stat.ok())) return;
  CHECK_EQUAL(stat.value().state, 'S');
  CHECK_EQUAL(stat.value().field[4], 7u);
  CHECK_EQUAL(stat.value().field[6], 9u);
  CHECK_EQUAL(stat.value().field[22], 4711u);
  CHECK(!parse_stat("12 (a").ok());
  CHECK(!parse_stat("").ok());
}

TEST(fields) {
  const Fields fields("Name:\ta\nNameX:\tb\nSigIgn:\t0000000000001006\nflags:\t0100002\nit_value: (1, 5)\nempty:\n");
  CHECK_EQUAL(fields.find("Name"), "a");
  CHECK_EQUAL(fields.find("NameX"), "b");
  CHECK_EQUAL(fields.number("SigIgn", 16), 0x1006u);
  CHECK_EQUAL(fields.number("flags", 8), 0100002u);
  CHECK_EQUAL(fields.find("it_value"), "(1, 5)");
  CHECK(!fields.has("Nam"));
  CHECK(!fields.has("empty"));
  CHECK_EQUAL(fields.number("none"), 0u);
}

TEST(this_process) {
  const auto maps = read_smaps(::getpid());
  if (CHECK(maps.ok())) {
    bool stack = false;
    for (const MapLine& line : maps.value()) stack |= line.name == "[stack]" && line.has_flag("gd");
    CHECK(stack);
  }
  CHECK(list_threads(::getpid()).ok());
  CHECK_EQUAL(read_maps(0x3fffffff).error().kind == ErrorKind::NotFound, true);
}

}  // namespace
}  // namespace stasis::procfs
