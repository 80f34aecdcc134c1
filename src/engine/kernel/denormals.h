// While one exists, this thread's float operations take subnormal numbers as zero and give zero for them, as
// the processor's bfloat16 product always does: so the kernels give the same bits on every CPU.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace cresset::engine {

class DenormalsFlushed {
 public:
#if defined(__x86_64__)
  DenormalsFlushed() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero); }
  ~DenormalsFlushed() { _mm_setcsr(before_); }
#else
  DenormalsFlushed() = default;
#endif
  DenormalsFlushed(const DenormalsFlushed&) = delete;
  DenormalsFlushed& operator=(const DenormalsFlushed&) = delete;

#if defined(__x86_64__)
 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  unsigned before_;
#endif
};

}  // namespace cresset::engine
