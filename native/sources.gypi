{
  "variables": {
    "stasis_host_sources": [
      "native/base/error.cc",
      "native/image/checksum.cc",
      "native/image/codec.cc",
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
      "native/os/file.cc"
    ],
    "stasis_addon_sources": [],
    "stasis_keeper_sources": [],
    "stasis_runtime_sources": [],
    "stasis_unit_test_sources": [],
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
