// The values that the 4-bit numbers of IQ4_NL, IQ4_XS and MXFP4 stand for. Plain data: the kernels read it
// too.
#pragma once

namespace cresset::engine {

// ggml's table of unequal steps (ggml-common.h, kvalues_iq4nl).
constexpr signed char kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

// Twice the values of FP4 E2M1 (OCP Microscaling Formats 1.0, section 5.3.3), so that all are whole.
constexpr signed char kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace cresset::engine
