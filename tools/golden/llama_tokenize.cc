// The reference of make_token_golden.py: token ids of lines as llama.cpp gives them. Not part of the build.
//
//   llama_tokenize MODEL [special]     base64 lines on stdin; a line of ids for each on stdout
//
// Build beside a built llama.cpp (b11434):
//   g++ -O1 -std=c++17 llama_tokenize.cc -I$L/include -I$L/ggml/include $B/src/libllama.a
//   $B/ggml/src/libggml.a
//       $B/ggml/src/libggml-cpu.a $B/ggml/src/libggml-base.a -fopenmp -lpthread -ldl -o llama_tokenize
#include <iostream>
#include <string>
#include <vector>

#include "llama.h"

static std::string decode_base64(const std::string& text) {
  static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string::npos) continue;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return out;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  const llama_model* model = llama_model_load_from_file(argv[1], params);
  if (model == nullptr) return 1;
  const llama_vocab* vocab = llama_model_get_vocab(model);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string text = decode_base64(line);
    std::vector<llama_token> ids(text.size() * 4 + 16);
    const int n = llama_tokenize(vocab, text.data(), static_cast<int>(text.size()), ids.data(),
                                 static_cast<int>(ids.size()), false, argc > 2);
    for (int i = 0; i < n; ++i) std::cout << (i > 0 ? " " : "") << ids[i];
    std::cout << "\n";
  }
}
