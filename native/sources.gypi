{
  "variables": {
    "stasis_host_sources": [
      "native/base/error.cc",
      "native/image/checksum.cc",
      "native/image/codec.cc",
      "native/image/cpu.cc",
      "native/image/files.cc",
      "native/image/image.cc",
      "native/image/json.cc",
      "native/image/present.cc",
      "native/image/stamps.cc",
      "native/image/text.cc",
      "native/image/validate.cc",
      "native/image/validate_fds.cc",
      "native/image/validate_memory.cc",
      "native/image/validate_threads.cc",
      "native/image/write_files.cc",
      "native/os/build_id.cc",
      "native/os/file.cc",
      "native/restore/compatibility.cc",
      "native/restore/epoll.cc",
      "native/restore/eventfd.cc",
      "native/restore/files.cc",
      "native/restore/mapped_files.cc",
      "native/restore/memory.cc",
      "native/restore/pipes.cc",
      "native/restore/plan_builder.cc",
      "native/restore/prepare.cc",
      "native/restore/report.cc",
      "native/restore/signals.cc",
      "native/restore/sockets.cc",
      "native/restore/threads.cc",
      "native/restore/timerfd.cc",
      "native/restore/xstate.cc"
    ],
    "stasis_addon_sources": [],
    "stasis_keeper_sources": [
      "native/base/error.cc",
      "native/keeper/application.cc",
      "native/keeper/control.cc",
      "native/keeper/failure.cc",
      "native/keeper/main.cc",
      "native/keeper/options.cc",
      "native/keeper/signals.cc",
      "native/keeper/status.cc",
      "native/restore/report.cc"
    ],
    "stasis_runtime_sources": [
      "native/arch/x86_64/restore.S",
      "native/runtime/image_table.cc",
      "native/runtime/mapping_query.cc",
      "native/runtime/memory.cc",
      "native/runtime/remap.cc",
      "native/runtime/restore*.cc",
      "native/runtime/clock.cc",
      "native/runtime/timed_calls.cc"
    ],
    "stasis_unit_test_sources": [
      "native/test/image_document.cc",
      "native/test/image_samples.cc",
      "native/test/unit/image_codec_test.cc",
      "native/test/unit/image_files_test.cc",
      "native/test/unit/image_present_test.cc",
      "native/test/unit/image_validate_test.cc",
      "native/test/unit/restore_memory_test.cc",
      "native/test/unit/restore_plan_test.cc",
      "native/test/unit_main.cc"
    ],
    "stasis_host_cflags": ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"],
    "stasis_freestanding_cflags": [
      "-ffreestanding", "-nostdlib", "-fno-builtin", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
      "-fcf-protection=none", "-mno-red-zone", "-mgeneral-regs-only", "-fno-threadsafe-statics", "-fno-pic", "-fno-pie", "-mcmodel=large",
      "-fno-strict-aliasing", "-fvisibility=hidden", "-U_FORTIFY_SOURCE", "-fno-jump-tables", "-O2", "-Wall", "-Wextra"
    ],
    "stasis_freestanding_cxxflags": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
    "stasis_runtime_ldflags": ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=sha1", "-Wl,-z,noexecstack", "-Wl,-z,norelro", "-Wl,-z,max-page-size=4096"]
  }
}
