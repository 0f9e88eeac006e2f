{
  "includes": ["native/sources.gypi"],
  "variables": { "xxhash_root%": "<!(node scripts/xxhash-root.cjs)" },
  "targets": [
    {
      "target_name": "stasis",
      "dependencies": ["stasis-runtime", "stasis-keeper"],
      "sources": ["<@(stasis_host_sources)", "<@(stasis_addon_sources)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")", "<(xxhash_root)"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "_FILE_OFFSET_BITS=64"],
      "cflags_cc!": ["-std=gnu++17"],
      "cflags_cc": ["-std=gnu++20", "-iquote", "<(module_root_dir)/native", "-fvisibility=hidden", "<@(stasis_host_cflags)"],
      "ldflags": ["-Wl,-z,now"]
    },
    {
      "target_name": "stasis-runtime",
      "type": "executable",
      "sources": ["<@(stasis_runtime_sources)"],
      "cflags!": ["-pthread", "-fno-omit-frame-pointer", "-fPIC", "-fPIE", "-O3"],
      "cflags": ["<@(stasis_freestanding_cflags)", "-iquote", "<(module_root_dir)/native"],
      "cflags_cc!": ["-std=gnu++17"],
      "cflags_cc": ["<@(stasis_freestanding_cxxflags)"],
      "ldflags!": ["-pthread", "-rdynamic"],
      "ldflags": ["<@(stasis_runtime_ldflags)", "-Wl,-T,<(module_root_dir)/native/runtime/runtime.ld"]
    },
    {
      "target_name": "stasis-keeper",
      "type": "executable",
      "sources": ["<@(stasis_keeper_sources)"],
      "cflags!": ["-fPIC", "-fPIE", "-pthread"],
      "cflags": ["-fno-pic", "-fno-pie", "-ffunction-sections", "-fdata-sections"],
      "cflags_cc!": ["-std=gnu++17"],
      "cflags_cc": ["-std=gnu++20", "-iquote", "<(module_root_dir)/native", "<@(stasis_host_cflags)"],
      "ldflags!": ["-pthread", "-rdynamic"],
      "ldflags": ["-static", "-no-pie", "-Wl,--gc-sections"]
    },
    {
      "target_name": "artifacts",
      "type": "none",
      "dependencies": ["stasis-runtime", "stasis-keeper"],
      "copies": [
        { "destination": "<(PRODUCT_DIR)/artifacts", "files": ["<(PRODUCT_DIR)/stasis-runtime", "<(PRODUCT_DIR)/stasis-keeper"] }
      ]
    }
  ]
}
