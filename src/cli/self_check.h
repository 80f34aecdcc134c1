// The first answer of a fresh server, asked by itself: proof, for its owner's eyes, that the default model
// answers on this machine, and how fast. Lives on the loop.
#pragma once

#include <functional>
#include <string>

#include "cli/answer.h"
#include "provider/provider.h"
#include "provider/threads.h"
#include "sys/env.h"

namespace cresset::cli {

inline constexpr std::string_view kSelfCheckPrompt = "Why is the sky blue? Answer in one sentence.";

// Asks; `done` on the loop.
void ask_itself(sys::Env& env, provider::Schedule& schedule, provider::Local& local,
                const provider::InstalledModel& model, std::function<void(Result<Answer>)> done);

}  // namespace cresset::cli
