
-- When the next call may start, and what decides that: `next.rs` and `claim.rs`.

local GRACE, LONGEST_CLAIM = 1000000, 10 * MINUTE

-- The answer to what is larger than a whole limit; nil if it is not.
local function never(spend, opened)
  local refused = Meters.too_small(meters, spend)
  for _, part in ipairs(opened) do
    refused = refused or Meters.too_small(part, spend)
  end
  if not refused and limits.places and limits.places < 1 then
    refused = { 4, CONCURRENCY, limits.places }
  end
  return refused
end

-- The earliest slot, what decides it (of equal ones the last), and the upstream's meter or a part's if it
-- does, with the part's place.
local function slot_after(opened, spend, before, now)
  local at, lack, whole, of_part, part_place = max(state.slot, now), LACKS.requests, nil, nil, nil
  if state.paused >= at then
    at, lack = state.paused, PAUSE
  end
  for place, part in ipairs(opened) do
    for _, meter in ipairs(part) do
      local earliest = Meter.earliest(meter, spend[meter.dimension], now)
      if earliest >= at then
        at, lack, of_part, part_place = earliest, LACKS[meter.dimension], meter, place
      end
    end
  end
  for i = 1, #meters do
    local meter = meters[i]
    local more = meter.dimension == 'requests' and 0 or before and before[meter.dimension] or 0
    local earliest = Meter.earliest(meter, spend[meter.dimension] + more, now)
    if earliest >= at then
      at, lack, whole, of_part, part_place = earliest, LACKS[meter.dimension], meter, nil, nil
    end
  end
  return at, lack, whole, of_part, part_place
end

-- Whether a claim has its slot as well if a smaller ask goes first.
local function is_left_its_slot(claim, spend, now)
  for _, meter in ipairs(meters) do
    local units = spend[meter.dimension] + claim[meter.dimension]
    if units > meter.amount or Meter.earliest(meter, units, now) > state.claim_until - GRACE then
      return false
    end
  end
  return true
end

-- The same beside a claim, and whether it is behind that.
local function slot(opened, spend, claim, now)
  local at, lack, whole, of_part, part_place = slot_after(opened, spend, nil, now)
  if not claim or at <= state.claim_until - GRACE and is_left_its_slot(claim, spend, now) then
    return at, lack, whole, of_part, part_place, false
  end
  at, lack, whole, of_part, part_place = slot_after(opened, spend, claim, now)
  return at, lack, whole, of_part, part_place, true
end

-- The claim that goes before an ask.
local function claimed_before(spend, now)
  if now >= state.claim_until then
    return nil
  end
  local dimension, input, output, money = match(state.claim, '^(%a+) (%d+) (%d+) (%d+)$')
  local claim = Spend.new(tonumber(input), tonumber(output), tonumber(money))
  return spend[dimension] < claim[dimension] and claim or nil
end

local function set_claim(meter, spend, hold, at, now)
  state.claim, state.claim_until = '', 0
  local dimension = meter and meter.dimension
  local is_tokens = meter and dimension ~= 'requests' and dimension ~= 'money'
  local is_near = at <= now + LONGEST_CLAIM
  if is_tokens and is_near and Meter.refill(meter, spend[dimension]) > floor(hold / 5) * 2 then
    local numbers = { dimension, text(spend.input), text(spend.output), text(spend.money) }
    state.claim, state.claim_until = table.concat(numbers, ' '), at + GRACE
  end
end

-- When the next call could start if a place were free, and what it is taken to use.
local function start(now)
  local smaller = {}
  Spend.write_latest()
  for number in gmatch(state.latest, '%d+') do
    smaller[#smaller + 1] = tonumber(number)
  end
  local function least(place)
    return min(smaller[place] or 0, smaller[place + 3] or 0)
  end
  local spend = Spend.new(least(1), least(2), least(3))
  local at = slot({}, spend, claimed_before(spend, now), now)
  if state.breaker ~= '' then
    local passage, probe_at = Breaker.admit(now)
    at = passage == NOT_BEFORE and max(at, probe_at) or at
  end
  return at, spend
end

-- Calls that may be under way now; nil: any number.
local function places()
  if state.adaptive == '' then
    return limits.places
  end
  return Adaptive.places()
end

local function was_full()
  if state.adaptive ~= '' then
    Adaptive.was_full()
  end
end

-- How many more of those alike could go at the time at which one of them goes. It is no more than asking for
-- each would give.
local function room_at(at, spend, opened, now)
  if found or claimed_before(spend, now) then
    return 0
  end
  local most = places()
  local room = most and most - Calls.count or math.huge
  for i = 1, #meters do
    room = min(room, Meter.room(meters[i], spend[meters[i].dimension], at, now))
  end
  for _, part in ipairs(opened) do
    for _, meter in ipairs(part) do
      room = min(room, Meter.room(meter, spend[meter.dimension], at, now))
    end
  end
  return room
end

-- Gives slots to calls that are alike; returns the first one's number.
local function take_slots(count, spend, names, opened, at, ttl)
  state.slot = at
  Spend.note(spend)
  if found then
    Discovery.taken()
  end
  Meters.take(meters, spend, at, count)
  for i, part in ipairs(opened) do
    Meters.take(part, spend, at, count)
    Parts.used[names[i]] = true
  end
  last_end = max(last_end, at + ttl)
  local first = state.id + 1
  Calls.begin(state.id, count, at, ttl, spend, names)
  state.id = state.id + count
  return first
end

local function granted(at, id, is_probe)
  return format('%d %d %d', at, id, is_probe and 1 or 0)
end

return {
  never = never, slot = slot, claimed_before = claimed_before, set_claim = set_claim,
  start = start, places = places, was_full = was_full, room_at = room_at, take_slots = take_slots, granted = granted,
}
