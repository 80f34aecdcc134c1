// top: what a running server does, live.
#pragma once

#include <string>

#include "cli/commands.h"
#include "cli/metrics_text.h"

namespace cresset::cli {

Command top_command();

// Two readings of a server's metrics, `seconds` apart; 0: there is only one, and times are since its start.
struct TopView {
  const MetricsText& now;
  const MetricsText& before;
  double seconds = 0;
};
Json top_json(const TopView& view);
// A line a model under a heading, and what the whole server does.
std::string top_frame(const TopView& view);

}  // namespace cresset::cli
