
-- The answers: `mod.rs` and `claim.rs`.

local REQUESTS, TOKENS, CONCURRENCY, PAUSE = 1, 2, 3, 4
local GRACE = 1000000

local function never(tokens, limit)
  local requests_meter, tokens_meter = meters.requests, meters.tokens
  if requests_meter and requests_meter.amount < 1 then
    return { 4, REQUESTS, requests_meter.amount }
  end
  if tokens_meter and tokens > tokens_meter.amount then
    return { 4, TOKENS, tokens_meter.amount }
  end
  if limit and limit < 1 then
    return { 4, CONCURRENCY, limit }
  end
end

local function prepare(tokens, now)
  if meters.requests then
    meter_prepare(meters.requests, 1, now)
  end
  if meters.tokens then
    meter_prepare(meters.tokens, tokens, now)
  end
end

-- The earliest slot, and what decides it: of equal ones the last.
local function next_slot(tokens, now)
  local at, lack = math.max(state.slot, now), TOKENS
  if state.paused >= at then
    at, lack = state.paused, PAUSE
  end
  if meters.tokens then
    local earliest = meter_earliest(meters.tokens, math.min(tokens, meters.tokens.amount), now)
    if earliest >= at then
      at, lack = earliest, TOKENS
    end
  end
  if meters.requests then
    local earliest = meter_earliest(meters.requests, 1, now)
    if earliest >= at then
      at, lack = earliest, REQUESTS
    end
  end
  return at, lack
end

local function take(tokens, at, ttl)
  state.slot = at
  if meters.requests then
    meter_take(meters.requests, 1, at)
  end
  if meters.tokens then
    meter_take(meters.tokens, tokens, at)
  end
  state.id = state.id + 1
  state.last_end = math.max(state.last_end or 0, at + ttl)
  begin_call(state.id, at, tokens, at + ttl)
  return { 1, at, state.id }
end

local function admit(tokens, hold, ttl, now)
  tokens = math.min(tokens, MOST_TOKENS)
  local limit = tonumber(state.concurrency)
  local refused = never(tokens, limit)
  if refused then
    return refused
  end
  if limit and calls.count >= limit then
    return { 3, first_end() }
  end
  prepare(tokens, now)
  local behind = (now < state.claim_until and tokens < state.claim) and state.claim or 0
  local at, lack = next_slot(tokens + behind, now)
  local too_far = at > now + (behind > 0 and 0 or hold)
  if behind == 0 then
    local claims = too_far and lack == TOKENS and meters.tokens and refill(meters.tokens, tokens) > hold
    state.claim, state.claim_until = claims and tokens or 0, claims and at + GRACE or 0
  end
  if too_far then
    return { 2, at, lack, lack == PAUSE and state.why or '' }
  end
  return take(tokens, at, ttl)
end

local function settle(id, used)
  local slot, tokens = end_call(id)
  if not slot then
    return 0
  end
  if meters.tokens and used then
    meter_correct(meters.tokens, slot, tokens, math.min(used, MOST_TOKENS))
  end
  return 1
end

local function pause(until_time, why)
  if until_time <= state.paused then
    return 0
  end
  state.paused, state.why = until_time, why
  return 1
end

local function report(now)
  prepare(0, now)
  local next_start = next_slot(0, now)
  return { calls.count, state.paused, state.why, next_start, state.requests, state.tokens, state.concurrency }
end

local function server_time()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local clock = tonumber(ARGV[1]) or server_time()
local valid_until = tonumber(ARGV[2])
if valid_until > 0 and clock > valid_until then
  return { clock }
end
local now, was_empty = open_state(clock)
-- Whoever was given a slot ahead by a state that was lost still goes: meters that know nothing
-- begin when the last of those has gone.
adopt(tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], now + tonumber(ARGV[7]))
local answers = { now, was_empty and 1 or 0 }
local place = 8
while ARGV[place] do
  local what, answer = ARGV[place], nil
  if what == 'ask' then
    answer = admit(tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2]), tonumber(ARGV[place + 3]), now)
    place = place + 4
  elseif what == 'settle' then
    answer = settle(ARGV[place + 1], tonumber(ARGV[place + 2]))
    place = place + 3
  elseif what == 'pause' then
    answer = pause(now + tonumber(ARGV[place + 1]), ARGV[place + 2])
    place = place + 3
  else
    answer = report(now)
    place = place + 1
  end
  answers[#answers + 1] = answer
end
keep(now)
close_state()
return answers
