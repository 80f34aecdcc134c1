// Codec: one dialect's way to say things. Between the bytes of a dialect and the vocabulary of chat/ stands
// exactly one of these; nothing above it knows a field name, nothing below it knows a dialect. The same codec
// serves the clients of a dialect (decode_request, encode_answer) and calls its providers (encode_request,
// decode_answer).
//
// A codec is stateless and const: any thread. An encoder or decoder of one stream belongs to whoever made it.
// Codecs do no input or output, keep no clock and make no ids: what varies comes in as AnswerIdentity.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/event.h"
#include "chat/request.h"
#include "wire/answer.h"
#include "wire/dropped.h"
#include "wire/fault.h"

namespace cresset::wire {

using Headers = std::vector<std::pair<std::string, std::string>>;

// What an answer says about itself beside its events.
struct AnswerIdentity {
  std::string id;  // with the dialect's prefix: "chatcmpl-…"
  int64_t created_unix_s = 0;
  std::string model;                            // as the client named it
  std::string fingerprint;                      // of the engine that answers
  chat::Dialect origin = chat::Dialect::kNone;  // whose extras and citations the events carry
};

// What is known of the model that a request is encoded for.
struct Target {
  std::string_view model{};            // as the provider names it; empty: the request's
  bool wants_usage = false;            // counts at the end of a stream, whoever asks for them
  int answer_tokens_max = 0;           // 0: not known
  bool has_adaptive_thinking = false;  // Anthropic's newer models refuse a budget
};

// Events to the bytes of one stream, framing included.
class StreamEncoder {
 public:
  virtual ~StreamEncoder() = default;
  // Appends what `event` says. The Finished of the last choice also ends the stream (usage, "[DONE]"); a
  // Failed ends it as an error, in the dialect's shape.
  virtual void encode(const chat::Event& event, std::string& out) = 0;
};

// Bytes of one stream to events, cut anywhere.
class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  // Appends the events that are complete now. After an error, or after a Failed, the rest means nothing.
  virtual Status feed(std::string_view bytes, std::vector<chat::Event>& out) = 0;
  // The bytes have ended: appends what was still to be said. kUnavailable: the stream was cut.
  virtual Status end(std::vector<chat::Event>& out) = 0;
};

class Codec {
 public:
  virtual ~Codec() = default;
  virtual std::string_view name() const = 0;  // "openai_chat"
  virtual chat::Dialect dialect() const = 0;
  virtual std::string_view id_prefix() const = 0;  // "chatcmpl-"

  // Every parameter that the vocabulary knows is checked; every other is kept in extras.
  virtual Decoded<chat::Request> decode_request(std::string_view body) const = 0;
  // The inverse, for the same dialect: decode_request(encode_request(x)) = x. Of another dialect's request,
  // what cannot be said here is named in `dropped`.
  virtual std::string encode_request(const chat::Request& request, const Target& target,
                                     Dropped& dropped) const = 0;
  std::string encode_request(const chat::Request& request) const {
    Dropped ignored;
    return encode_request(request, {}, ignored);
  }
  // What the own engine cannot honour is refused by its name in this dialect; none is silently dropped.
  virtual Checked check_own(const chat::Request& request) const = 0;

  virtual std::string encode_answer(const chat::Request& request, const Answer& answer,
                                    const AnswerIdentity& identity) const = 0;
  virtual std::unique_ptr<StreamEncoder> make_stream_encoder(const chat::Request& request,
                                                             AnswerIdentity identity) const = 0;
  virtual std::string encode_error(const Fault& fault) const = 0;
  virtual std::string_view stream_content_type() const { return "text/event-stream; charset=utf-8"; }
  // What keeps a stream open while there is nothing to say, and means nothing; empty: the dialect has none.
  virtual std::string_view ping() const { return ": ping\n\n"; }

  // The provider's side. `asked` is what was encoded.
  virtual Decoded<std::vector<chat::Event>> decode_answer(const chat::Request& asked,
                                                          std::string_view body) const;
  virtual std::unique_ptr<StreamDecoder> make_stream_decoder(const chat::Request& asked) const;
  // What a provider's error status and body say.
  virtual chat::Failed decode_error(int status, std::string_view body) const;
  // Where a request is posted, after the provider's base URL.
  virtual std::string request_path(std::string_view model, bool stream) const;
  // How many answers one request may ask for.
  virtual int choices_max() const { return 1; }
};

// Answers that a request asks for: prompts (or the one chat) times choices.
int count_choices(const chat::Request& request);

// The codec of a provider's dialect; null: the dialect is not one of a provider's.
const Codec* find_provider_codec(chat::Dialect dialect);

}  // namespace cresset::wire
