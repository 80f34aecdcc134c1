// NearCall: one request of the near client's: its bytes, its time limits, who hears its answer.
// near_client.cc drives it; nobody else includes this. Loop thread only.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "net/client.h"
#include "net/place.h"

namespace cresset::net {

class NearCall;
struct NearLink;

// What a call asks of the client that drives it.
class NearHost {
 public:
  virtual ~NearHost() = default;
  virtual void drop(NearCall& call) = 0;  // it is over, or nobody wants it any more
  virtual void read(const std::shared_ptr<NearLink>& link) = 0;
};

class NearCall final : public ClientCall, public std::enable_shared_from_this<NearCall> {
 public:
  using Clock = std::chrono::steady_clock;

  NearCall(NearHost& owner, std::shared_ptr<const Place> the_place, ClientRequest the_request,
           std::shared_ptr<Receiver> the_receiver)
      : request(std::move(the_request)),
        place(std::move(the_place)),
        receiver(std::move(the_receiver)),
        owner_(&owner) {}
  ~NearCall() override { cancel(); }

  void cancel() override;
  void pause() override { is_paused = true; }
  void resume() override;

  bool is_live() const { return owner_ != nullptr; }
  void let_go() { owner_ = nullptr; }
  // A control character in a header would make one header two, or one request.
  Status check() const;
  // Appends the request's head. It holds the secret: whoever has it wipes it.
  void write_head(std::string& out) const;
  // Whether a time limit has passed, and which.
  bool is_over(Clock::time_point now, Status& why);

  const ClientRequest request;
  const std::shared_ptr<const Place> place;
  std::shared_ptr<Receiver> receiver;
  std::shared_ptr<NearLink> link;  // the connection it is on
  bool is_paused = false;
  bool is_connected = false;
  bool has_head = false;
  bool has_heard = false;  // something has come since the last sweep

 private:
  NearHost* owner_;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point heard_ = begun_;
};

}  // namespace cresset::net
