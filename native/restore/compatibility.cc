// What must fit before anything of an image can run here: the architecture, the runtime it lived under, the processor's
// features.
//
// A program chooses its code by cpuid once, at its start, so every feature that it could see then must be here now;
// what is only a hint or a speed (ERMS, prefetches, HLE) does not count.
#include <fcntl.h>

#include <string>

#include "image/cpu.h"
#include "os/build_id.h"
#include "os/file.h"
#include "restore/builders.h"
#include "wire/layout.h"

namespace stasis::restore {

namespace {

constexpr std::uint32_t kMachineX86_64 = 62;  // EM_X86_64

using Word = std::uint32_t image::CpuFeatures::*;

struct Feature {
  Word word;
  int bit;
  const char* name;  // as in /proc/cpuinfo
};

constexpr Word k1Edx = &image::CpuFeatures::leaf1_edx, k1Ecx = &image::CpuFeatures::leaf1_ecx,
               k7Ebx = &image::CpuFeatures::leaf7_ebx, k7Ecx = &image::CpuFeatures::leaf7_ecx,
               k7Edx = &image::CpuFeatures::leaf7_edx, kExtendedEcx = &image::CpuFeatures::extended_ecx;

constexpr Feature kFeatures[] = {
    {k1Edx, 8, "cx8"},
    {k1Edx, 15, "cmov"},
    {k1Edx, 23, "mmx"},
    {k1Edx, 24, "fxsr"},
    {k1Edx, 25, "sse"},
    {k1Edx, 26, "sse2"},
    {k1Ecx, 0, "pni"},
    {k1Ecx, 1, "pclmulqdq"},
    {k1Ecx, 9, "ssse3"},
    {k1Ecx, 12, "fma"},
    {k1Ecx, 13, "cx16"},
    {k1Ecx, 19, "sse4_1"},
    {k1Ecx, 20, "sse4_2"},
    {k1Ecx, 22, "movbe"},
    {k1Ecx, 23, "popcnt"},
    {k1Ecx, 25, "aes"},
    {k1Ecx, 26, "xsave"},
    {k1Ecx, 27, "osxsave"},
    {k1Ecx, 28, "avx"},
    {k1Ecx, 29, "f16c"},
    {k1Ecx, 30, "rdrand"},
    {k7Ebx, 0, "fsgsbase"},
    {k7Ebx, 3, "bmi1"},
    {k7Ebx, 5, "avx2"},
    {k7Ebx, 8, "bmi2"},
    {k7Ebx, 11, "rtm"},
    {k7Ebx, 16, "avx512f"},
    {k7Ebx, 17, "avx512dq"},
    {k7Ebx, 18, "rdseed"},
    {k7Ebx, 19, "adx"},
    {k7Ebx, 21, "avx512ifma"},
    {k7Ebx, 23, "clflushopt"},
    {k7Ebx, 24, "clwb"},
    {k7Ebx, 26, "avx512pf"},
    {k7Ebx, 27, "avx512er"},
    {k7Ebx, 28, "avx512cd"},
    {k7Ebx, 29, "sha_ni"},
    {k7Ebx, 30, "avx512bw"},
    {k7Ebx, 31, "avx512vl"},
    {k7Ecx, 1, "avx512vbmi"},
    {k7Ecx, 4, "ospke"},
    {k7Ecx, 5, "waitpkg"},
    {k7Ecx, 6, "avx512_vbmi2"},
    {k7Ecx, 8, "gfni"},
    {k7Ecx, 9, "vaes"},
    {k7Ecx, 10, "vpclmulqdq"},
    {k7Ecx, 11, "avx512_vnni"},
    {k7Ecx, 12, "avx512_bitalg"},
    {k7Ecx, 14, "avx512_vpopcntdq"},
    {k7Ecx, 22, "rdpid"},
    {k7Ecx, 27, "movdiri"},
    {k7Ecx, 28, "movdir64b"},
    {k7Edx, 2, "avx512_4vnniw"},
    {k7Edx, 3, "avx512_4fmaps"},
    {k7Edx, 8, "avx512_vp2intersect"},
    {k7Edx, 14, "serialize"},
    {k7Edx, 22, "amx_bf16"},
    {k7Edx, 23, "avx512_fp16"},
    {k7Edx, 24, "amx_tile"},
    {k7Edx, 25, "amx_int8"},
    {kExtendedEcx, 0, "lahf_lm"},
    {kExtendedEcx, 5, "abm"},
    {kExtendedEcx, 6, "sse4a"},
    {kExtendedEcx, 11, "xop"},
    {kExtendedEcx, 16, "fma4"},
    {kExtendedEcx, 21, "tbm"},
};

struct StateComponent {
  int bit;
  const char* name;
};

// Enabled by the kernel in XCR0: without it the instructions fault even where the processor has them.
constexpr StateComponent kStateComponents[] = {
    {2, "AVX state"}, {5, "AVX-512 masks"}, {6, "AVX-512 upper halves"}, {7, "AVX-512 registers"}};

std::string missing_features(const image::CpuFeatures& wanted, const image::CpuFeatures& here) {
  std::string names;
  const auto add = [&](const char* name) { names += (names.empty() ? "" : ", ") + std::string(name); };
  for (const Feature& feature : kFeatures) {
    if ((wanted.*feature.word & ~(here.*feature.word)) >> feature.bit & 1) add(feature.name);
  }
  for (const StateComponent& component : kStateComponents) {
    if ((wanted.xcr0 & ~here.xcr0) >> component.bit & 1) add(component.name);
  }
  return names;
}

Status check_runtime(const image::Image& image, const std::string& path) {
  if (image.runtime.vdso_address != wire::kOwnVdsoAddress) {
    return Error::plain(ErrorKind::Incompatible,
                        "the image's runtime has its vdso page at another address than this version of Stasis",
                        "restore with the version of Stasis that made the image, " + image.header.creator);
  }
  UniqueFd file = STASIS_TRY(open_file_at(AT_FDCWD, path, O_RDONLY, 0, "opening the runtime of the image"));
  const std::string build_id = build_id_of(file.get());
  if (build_id == image.runtime.build_id) return {};
  return Error::plain(ErrorKind::Incompatible, "the image needs the runtime of build id " + image.runtime.build_id +
                                                   ", and this is " + (build_id.empty() ? "none" : build_id))
      .with_path(path);
}

}  // namespace

Status check_compatibility(const image::Image& image, const RestoreInputs& inputs) {
  if (image.header.architecture != kMachineX86_64) {
    return Error::plain(
        ErrorKind::Incompatible,
        "the image is of another architecture (ELF machine " + std::to_string(image.header.architecture) + ")",
        "restore on a host of that architecture");
  }
  const std::string missing = missing_features(image.header.cpu, image::cpu_features_of_this_host());
  if (!missing.empty()) {
    return Error::plain(ErrorKind::Incompatible,
                        "this host's processor lacks what the application may be using: " + missing,
                        "restore on a host whose processor has it");
  }
  return check_runtime(image, inputs.runtime_path);
}

}  // namespace stasis::restore
