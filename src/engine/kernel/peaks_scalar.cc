// One number at a time, as the scalar kernels compute.
#include <bit>

#include "engine/kernel/peaks.h"

namespace cresset::engine {
namespace {

struct Unit {
  using Int = uint64_t;
  using Float = float;
  static void keep(Int& v) { asm volatile("" : "+r"(v)); }
  static void keep(Float& v) {
#if defined(__x86_64__)
    asm volatile("" : "+x"(v));
#else
    asm volatile("" : "+w"(v));
#endif
  }
  static Int load(const unsigned char* p) {
    Int v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static Int either(Int a, Int b) { return a | b; }
  static uint64_t total(Int v) { return v; }
  static uint64_t total(Float v) { return std::bit_cast<uint32_t>(v); }
  struct Int8 {
    using Vector = Int;
    static constexpr uint64_t kOperations = 2;
    static Int start() { return 1; }
    static Int step(Int sum, Int x) { return sum + x * x; }
  };
  struct Float32 {
    using Vector = Float;
    static constexpr uint64_t kOperations = 2;
    static Float start() { return 1e-9f; }
    static Float step(Float sum, Float x) { return sum + x * x; }
  };
};

}  // namespace
}  // namespace cresset::engine

#include "engine/kernel/peaks_simd.h"

namespace cresset::engine {
namespace {

constexpr Peaks kTable{.int8_instruction = "imul",
                       .read = read_all,
                       .int8 = kLoop<Unit::Int8>,
                       .float32 = kLoop<Unit::Float32>,
                       .bfloat16 = {nullptr, 0}};

}  // namespace
const Peaks* const kScalarPeaks = &kTable;
}  // namespace cresset::engine
