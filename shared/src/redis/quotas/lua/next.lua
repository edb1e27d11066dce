
-- When the next call may start, and what decides that: `next.rs` and `claim.rs`.

local GRACE = 1000000

-- The answer to what is larger than a whole limit; nil if it is not.
local function never(spend, opened)
  local refused = too_small(meters, spend)
  for _, part in ipairs(opened) do
    refused = refused or too_small(part, spend)
  end
  if not refused and limits.places and limits.places < 1 then
    refused = { 4, CONCURRENCY, limits.places }
  end
  return refused
end

-- The earliest slot, what decides it (of equal ones the last), and the upstream's meter or a part's if it
-- does, with the part's place.
local function next_slot(opened, spend, before, now)
  local at, lack, whole, of_part, part_place = max(state.slot, now), LACKS.requests, nil, nil, nil
  if state.paused >= at then
    at, lack = state.paused, PAUSE
  end
  for place, part in ipairs(opened) do
    for _, meter in ipairs(part) do
      local earliest = meter_earliest(meter, spend[meter.dimension], now)
      if earliest >= at then
        at, lack, of_part, part_place = earliest, LACKS[meter.dimension], meter, place
      end
    end
  end
  for i = 1, #meters do
    local meter = meters[i]
    local more = meter.dimension == 'requests' and 0 or before and before[meter.dimension] or 0
    local earliest = meter_earliest(meter, spend[meter.dimension] + more, now)
    if earliest >= at then
      at, lack, whole, of_part, part_place = earliest, LACKS[meter.dimension], meter, nil, nil
    end
  end
  return at, lack, whole, of_part, part_place
end

-- What goes before an ask.
local function claimed_before(spend, now)
  if now >= state.claim_until then
    return nil
  end
  local dimension, input, output, money = match(state.claim, '^(%a+) (%d+) (%d+) (%d+)$')
  local claim = new_spend(tonumber(input), tonumber(output), tonumber(money))
  return spend[dimension] < claim[dimension] and claim or nil
end

local function set_claim(meter, spend, hold, at)
  state.claim, state.claim_until = '', 0
  local dimension = meter and meter.dimension
  local is_tokens = meter and dimension ~= 'requests' and dimension ~= 'money'
  if is_tokens and refill(meter, spend[dimension]) > floor(hold / 5) * 2 then
    local numbers = { dimension, text(spend.input), text(spend.output), text(spend.money) }
    state.claim, state.claim_until = table.concat(numbers, ' '), at + GRACE
  end
end

-- When the next call could start if a place were free, and what it is taken to use.
local function next_start(now)
  local smaller = {}
  write_latest()
  for number in gmatch(state.latest, '%d+') do
    smaller[#smaller + 1] = tonumber(number)
  end
  local function least(place)
    return min(smaller[place] or 0, smaller[place + 3] or 0)
  end
  local spend = new_spend(least(1), least(2), least(3))
  local at = next_slot({}, spend, claimed_before(spend, now), now)
  local passage, probe_at = breaker_admit(now)
  return passage == NOT_BEFORE and max(at, probe_at) or at, spend
end

-- Why the breaker refuses.
local function breaker_note(now)
  return now < state['breaker.until'] and 'open' or 'one call tries whether the upstream is well again'
end

-- Gives a slot; returns the call's number.
local function take_slot(spend, names, opened, at, ttl)
  state.slot = at
  note_spend(spend)
  discovery_taken()
  take(meters, spend, at)
  for i, part in ipairs(opened) do
    take(part, spend, at)
    parts.used[names[i]] = true
  end
  state.id = state.id + 1
  state.last_end = max(state.last_end or 0, at + ttl)
  begin_call(text(state.id), at, spend, names, at + ttl)
  return state.id
end

local function granted(at, id, is_probe)
  return format('%d %d %d', at, id, is_probe and 1 or 0)
end
