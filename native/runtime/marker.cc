// Parsing and writing the marker (see marker.h, wire/launch.h).
#include "runtime/marker.h"

#include "runtime/text.h"

namespace stasis::runtime {

bool is_marker(const char* text) { return starts_with(text, wire::kMarkerPrefix); }

namespace {

// Moves `text` behind `key` if it starts with it.
bool take_key(const char*& text, const char* key) {
  if (!starts_with(text, key)) return false;
  text += string_length(key);
  return true;
}

// Numbers, each with a point behind it: how many mappings there are, the pages of each, where the functions begin.
bool take_layout(const char*& text, VdsoLayout* layout) {
  const auto next = [&text](u32* number) {
    *number = static_cast<u32>(read_decimal(text));
    return *text++ == '.';
  };
  VdsoLayout read{};
  if (!next(&read.count) || read.count > VdsoLayout::kMostParts) return false;
  for (u32 i = 0; i < read.count; i++) {
    if (!next(&read.pages[i])) return false;
  }
  for (u32& entry : read.entries) {
    if (!next(&entry)) return false;
  }
  *layout = read;
  return true;
}

char* write_layout(char* to, const VdsoLayout& layout) {
  const auto add = [&to](u64 number) { to = write_text(write_decimal(to, number), "."); };
  to = write_text(to, "vdso=");
  add(layout.count);
  for (u32 i = 0; i < layout.count; i++) add(layout.pages[i]);
  for (const u32 entry : layout.entries) add(entry);
  return write_text(to, ";");
}

bool take_field(const char*& text, Marker* marker) {
  if (take_key(text, "filter=")) {
    marker->first_launch = read_decimal(text) != 0;
  } else if (take_key(text, "restore=")) {
    marker->restore = read_decimal(text) != 0;
  } else if (take_key(text, "clock=")) {
    marker->restored_filter = read_decimal(text) != 0;
  } else if (take_key(text, "socket=")) {
    marker->plan_socket = static_cast<i32>(read_decimal(text));
  } else if (take_key(text, "plan=")) {
    marker->plan_fd = static_cast<i32>(read_decimal(text));
  } else if (take_key(text, "report=")) {
    marker->report_fd = static_cast<i32>(read_decimal(text));
  } else if (take_key(text, "done=")) {
    marker->done_fd = static_cast<i32>(read_decimal(text));
  } else if (take_key(text, "close=")) {
    marker->program_fd = static_cast<i32>(read_decimal(text));
  } else if (take_key(text, "ids=")) {
    marker->ids_fd = static_cast<i32>(read_decimal(text));
  } else if (take_key(text, "parts=")) {
    marker->parts = static_cast<u32>(read_decimal(text));
  } else if (take_key(text, "filters=")) {
    marker->stacked_filters = static_cast<u32>(read_decimal(text));
  } else if (take_key(text, "forgone=")) {
    marker->forgone = static_cast<u32>(read_decimal(text));
  } else if (take_key(text, "name=")) {
    marker->name_index = static_cast<u32>(read_decimal(text));
  } else if (take_key(text, "mono=")) {
    marker->monotonic_offset_ns = read_signed(text);
  } else if (take_key(text, "boot=")) {
    marker->boottime_offset_ns = read_signed(text);
  } else if (take_key(text, "vdso=")) {
    if (!take_layout(text, &marker->vdso)) return false;
  } else {
    return false;
  }
  return *text++ == ';';
}

char* write_field(char* to, const char* key, i64 value) {
  to = write_signed(write_text(to, key), value);
  return write_text(to, ";");
}

}  // namespace

bool parse_marker(const char* text, Marker* marker) {
  if (!is_marker(text)) return false;
  text += wire::kMarkerPrefixBytes;
  while (!starts_with(text, "rt=")) {
    if (!take_field(text, marker)) return false;
  }
  marker->runtime_path = text + 3;
  return *marker->runtime_path != 0;
}

u64 format_marker(const Marker& marker, char* to) {
  char* end = write_text(to, wire::kMarkerPrefix);
  if (marker.first_launch) end = write_field(end, "filter=", 1);
  if (marker.restore) end = write_field(end, "restore=", 1);
  if (marker.plan_socket >= 0) end = write_field(end, "socket=", marker.plan_socket);
  if (marker.plan_fd >= 0) end = write_field(end, "plan=", marker.plan_fd);
  if (marker.report_fd >= 0) end = write_field(end, "report=", marker.report_fd);
  if (marker.done_fd >= 0) end = write_field(end, "done=", marker.done_fd);
  if (marker.program_fd >= 0) end = write_field(end, "close=", marker.program_fd);
  if (marker.ids_fd >= 0) end = write_field(end, "ids=", marker.ids_fd);
  if (marker.parts != 0) end = write_field(end, "parts=", marker.parts);
  if (marker.stacked_filters != 0) end = write_field(end, "filters=", marker.stacked_filters);
  if (marker.forgone != 0) end = write_field(end, "forgone=", marker.forgone);
  if (marker.name_index != 0) end = write_field(end, "name=", marker.name_index);
  if (marker.vdso.count != 0) end = write_layout(end, marker.vdso);
  if (marker.restored_filter) {
    end = write_field(end, "mono=", marker.monotonic_offset_ns);
    end = write_field(end, "boot=", marker.boottime_offset_ns);
    end = write_field(end, "clock=", 1);
  }
  end = write_text(write_text(end, "rt="), marker.runtime_path);
  return static_cast<u64>(end - to);
}

}  // namespace stasis::runtime
