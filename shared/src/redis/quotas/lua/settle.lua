
-- What the end of a call changes, and pauses: `settle.rs`.

-- Lets the rates be used as far as the last 429 allows. The server's clock stands still in a script.
local function throttle(now)
  if not throttled then
    throttled = share_at(state, recovery_window(meters), now)
    for _, meter in ipairs(meters) do
      if meter.dimension ~= 'money' then
        meter_throttle(meter, throttled)
      end
    end
  end
  return throttled
end

local function pause(until_time, why, now)
  if until_time <= state.paused then
    return 0
  end
  state.paused, state.why = until_time, why
  tell(until_time, PAUSE, why, now)
  return 1
end

-- Meters of a part that a call took from, unless they have forgotten it.
local function part_of_call(name, now)
  local since, key = match(name, '^(%d+)(.*)$')
  local rates = tonumber(since) == state.parts_since and limits[string.sub(key, 1, 2) == 't:' and 't' or key]
  local part = rates and read_part(name, rates)
  if part and now <= idle_at(part) then
    parts.used[name] = true
    return part
  end
end

local function correct_part(name, slot, reserved, used, now)
  local part = part_of_call(name, now)
  if part then
    correct(part, math.huge, slot, reserved, used)
  end
end

local function uncount_part(name, slot, now)
  local part = part_of_call(name, now)
  if part then
    uncount(part, math.huge, slot)
  end
end

local STANDING = '(%a+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+);'

local function hear(id, standings, now)
  if standings == '' then
    return
  end
  local news = false
  if found then
    for dimension, limit, _, reset, window in gmatch(standings, STANDING) do
      news = discovery_hear(dimension, tonumber(limit), tonumber(reset), tonumber(window), now) or news
    end
  end
  if news then
    meter_found(now)
  end
  for dimension, _, remaining, reset, window in gmatch(standings, STANDING) do
    for _, meter in ipairs(meters) do
      if meter.dimension == dimension then
        meter_heed(meter, tonumber(remaining), tonumber(reset), tonumber(window), id, state.id, now)
      end
    end
  end
end

local function said_429(id, pause_time, now)
  local until_time = limited(state, recovery_window(meters), id, pause_time, now)
  if not until_time then
    return
  end
  throttled = nil
  pause(until_time, '429', now)
  local used = 0
  for _, meter in ipairs(meters) do
    if meter.dimension ~= 'money' then
      meter_drain(meter, now)
    end
    if found and meter.dimension == 'requests' then
      log_forget(meter.log, now)
      used = meter.log.sum
    end
  end
  if found and discovery_limited(used, until_time) then
    meter_found(now)
  end
end

local function settle(id, used, verdict, pause_time, took, standings, now)
  local slot, reserved, names = end_call(id)
  if not slot then
    return 0
  end
  id = tonumber(id)
  throttle(now)
  local input, output, money = match(used, '^(%d+) (%d+) (%d+)$')
  if input then
    local spend = new_spend(tonumber(input), tonumber(output), tonumber(money))
    correct(meters, id, slot, reserved, spend)
    for _, name in ipairs(names) do
      correct_part(name, slot, reserved, spend, now)
    end
  end
  local open_until = breaker_record(id, slot, VERDICTS[verdict], now)
  if open_until then
    tell(open_until, BROKEN, breaker_note(now), now)
  end
  adaptive_record(id, VERDICTS[verdict], took)
  hear(id, standings, now)
  if verdict == 'r' then
    said_429(id, pause_time, now)
  end
  return 1
end

-- Ends a call that was not made: nothing of it counts.
local function give_back(id, now)
  local slot, _, names = call_under_way(id)
  if slot then
    throttle(now)
    uncount(meters, tonumber(id), slot)
    for _, name in ipairs(names) do
      uncount_part(name, slot, now)
    end
  end
  return settle(id, '0 0 0', 'u', 0, -1, '', now)
end
