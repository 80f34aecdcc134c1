// What templates may call: filters, tests, methods of texts and dicts, functions. Each table is closed; an
// unknown name is refused when the template is parsed (or, where the name is computed, when it is run).
#pragma once

#include <optional>
#include <string_view>

#include "engine/token/jinja/syntax.h"

namespace cresset::engine::jinja {

FilterFunction find_filter(std::string_view name);  // nullptr: unknown
FilterFunction find_number_filter(std::string_view name);
TestFunction find_test(std::string_view name);
std::optional<Function> find_function(std::string_view name);

// Whether values of this kind have such a method, and the call of it.
bool has_method(const Value& self, std::string_view name);
Value call_method(Interpreter& in, const Value& self, std::string_view name, const Arguments& arguments);
Value call_function(Interpreter& in, Function function, const Arguments& arguments);

}  // namespace cresset::engine::jinja
