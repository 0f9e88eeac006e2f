// Encodings: Intel SDM 2A, 2.1 "Instruction format", table 2-2 for ModR/M.
#include "runtime/site_code.h"

#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr u8 kMoveToEax = 0xb8;
constexpr u8 kLea = 0x8d, kLoad = 0x8b, kMoveRegister = 0x89, kMoveSigned = 0x63, kXor = 0x31, kMoveConstant = 0xb8;
constexpr u32 kSp = 4;  // as rm: a SIB byte follows

struct ModRm {
  u8 mode, reg, rm;
};
ModRm split(u8 byte) { return {static_cast<u8>(byte >> 6), static_cast<u8>(byte >> 3 & 7), static_cast<u8>(byte & 7)}; }

bool is_rip_relative(ModRm modrm) { return modrm.mode == 0 && modrm.rm == 5; }

// Bytes from the ModR/M byte on, of an operand in memory; 0 for what is not taken.
u32 memory_operand_bytes(const u8* modrm_byte) {
  const ModRm modrm = split(modrm_byte[0]);
  if (is_rip_relative(modrm)) return 5;
  if (modrm.mode == 3 || (modrm.mode == 0 && modrm.rm != kSp)) return modrm.mode == 3 ? 0 : 1;
  u32 bytes = modrm.mode == 1 ? 2 : modrm.mode == 2 ? 5 : 1;
  if (modrm.rm == kSp) {
    if (modrm_byte[1] != 0x24) return 0;  // the stack pointer without an index, and nothing else
    bytes++;
  }
  return bytes;
}

}  // namespace

// The processor came to the system call with that number in eax, so a longer instruction that merely ends in these bytes
// leaves eax alone; and where it reads memory, rax is not the base, since the number is no address. What is left:
bool is_plain_site(const u8* site, u64 number) {
  if (site[0] != kMoveToEax || memcmp(site + 1, &number, 4) != 0) return false;
  const u8 before = site[-1];
  if (before == kLea) return false;                             // lea number(%rax), %edi
  if ((before & 0xf0) == 0x40 || before == 0x66) return false;  // a prefix: another register, or half of one
  // The last bytes of a 64-bit constant: REX.W, b8+r, 8 bytes.
  if ((site[-5] & 0xf8) == 0x48 && (site[-4] & 0xf8) == 0xb8) return false;
  // A store, comparison or product with a 32-bit constant and a displacement of one byte, with and without SIB.
  const auto takes_constant = [](u8 opcode) {
    return opcode == 0xc7 || opcode == 0x81 || opcode == 0x69 || opcode == 0xf7;
  };
  const auto has_short_displacement = [](u8 modrm) { return modrm >> 6 == 1; };
  if (takes_constant(site[-2]) && has_short_displacement(site[-1])) return false;
  return !(takes_constant(site[-3]) && has_short_displacement(site[-2]) && (site[-2] & 7) == 4);
}

u32 movable_instruction(const u8* code) {
  const bool has_rex = (code[0] & 0xf0) == 0x40;
  const bool wide = has_rex && (code[0] & 8) != 0, high_reg = has_rex && (code[0] & 4) != 0;
  const bool high_rm = has_rex && (code[0] & 1) != 0;
  const u32 prefix = has_rex ? 1 : 0;
  if (has_rex && (code[0] & 2) != 0) return 0;  // an index register
  const u8 opcode = code[prefix];
  const ModRm modrm = split(code[prefix + 1]);
  const bool writes_reg_rax = modrm.reg == 0 && !high_reg, writes_rm_rax = modrm.rm == 0 && !high_rm;
  if ((opcode == kLea || opcode == kLoad) && wide && !writes_reg_rax) {
    if (high_rm && is_rip_relative(modrm)) return 0;
    const u32 operand = memory_operand_bytes(code + prefix + 1);
    return operand != 0 ? prefix + 1 + operand : 0;
  }
  if (opcode == kMoveRegister && modrm.mode == 3 && !writes_rm_rax) return prefix + 2;
  if (opcode == kMoveSigned && wide && modrm.mode == 3 && !writes_reg_rax) return prefix + 2;
  if (opcode == kXor && modrm.mode == 3 && modrm.reg == modrm.rm && high_reg == high_rm && !writes_rm_rax) {
    return prefix + 2;
  }
  const bool constant = (opcode & 0xf8) == kMoveConstant && !wide && !high_reg;
  if (constant && ((opcode & 7) != 0 || high_rm)) return prefix + 5;
  return 0;
}

bool move_instruction(const u8* from, u32 bytes, u8* to, u64 to_address) {
  memcpy(to, from, bytes);
  const u32 prefix = (from[0] & 0xf0) == 0x40 ? 1 : 0;
  const u8 opcode = from[prefix];
  if ((opcode != kLea && opcode != kLoad) || !is_rip_relative(split(from[prefix + 1]))) return true;
  i32 displacement;
  memcpy(&displacement, from + bytes - 4, sizeof displacement);
  const i64 moved = static_cast<i64>(reinterpret_cast<u64>(from) - to_address) + displacement;
  if (moved != static_cast<i32>(moved)) return false;
  displacement = static_cast<i32>(moved);
  memcpy(to + bytes - 4, &displacement, sizeof displacement);
  return true;
}

}  // namespace stasis::runtime
